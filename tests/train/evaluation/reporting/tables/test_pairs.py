"""The table of tests says how many there are."""

from __future__ import annotations

from lungsev.train.evaluation.reporting.cells import shown
from lungsev.train.evaluation.reporting.comparisons import compare
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.reporting.tables.pairs import paired_table


def test_rows_are_pairs_by_part_with_both_p_values(runs: list[RunReport]) -> None:
    few = runs[2:4]
    table = shown(paired_table(few, compare(few)))
    assert [(row[0].text, row[1].text) for row in table.rows] == [
        ("PAFE minus SN", "consensus part"),
        ("PAFE minus SN", "test part"),
    ]
    assert [head for head, _ in table.heads] == [
        "comparison",
        "part",
        "difference in accuracy (argmax), percentage points",
        "difference in MAE (argmax), grades",
    ]
    assert all(cell.remark.startswith("p ") and ", Holm " in cell.remark for row in table.rows for cell in row[2:])
    assert table.notes[0].startswith("4 tests on this page")
    assert "the pairs are" in paired_table(runs, compare(runs)).note
