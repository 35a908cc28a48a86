"""Table 2 has SN and PAFE of every start, with the gain that the paper has in parentheses."""

from __future__ import annotations

import dataclasses
from typing import Any

from report_runs import read_images, run

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.measurement import difference
from lungsev.train.evaluation.reporting.comparisons import CorrectedTest, compare
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.reporting.tables.portability import is_transfer, portability_table

PROBE = {"source": "a/run", "freeze": "all_but_heads"}


def of_inha(label: str, skill: float, initial: dict[str, Any] | None = None, **network: Any) -> RunReport:
    parts = {"test": read_images(24, skill, scheme=load_scheme("inha"))}
    one = run(label, parts, initial, **network)
    return dataclasses.replace(
        one, metrics={"data": ["inha-icu"]}, source_label="brixia of BrixIA (run)" if initial else ""
    )


def test_the_gain_is_the_paired_difference_of_the_same_start_and_backbone() -> None:
    runs = [
        of_inha("probe PAFE", 0.9, PROBE, position_aware=True),
        of_inha("probe SN", 0.4, PROBE, position_aware=False),
        of_inha("scratch PAFE", 0.5, position_aware=True),
        of_inha("scratch SN", 0.3, position_aware=False),
    ]
    table = portability_table(runs, compare(runs))
    assert [row[0] for row in table.rows] == ["scratch SN", "scratch PAFE", "probe SN", "probe PAFE"]
    assert [row[1:4] for row in table.rows[1:3]] == [
        ("inha of inha-icu", "scratch", "-"),
        ("inha of inha-icu", "linear probe", "brixia of BrixIA (run)"),
    ]
    for row, sn, pafe in ((table.rows[1], runs[3], runs[2]), (table.rows[3], runs[1], runs[0])):
        gain = row[5]
        assert isinstance(gain, CorrectedTest)
        assert gain.difference == difference(sn.parts["test"], pafe.parts["test"], "accuracy")
    assert table.rows[0][5] == table.rows[2][5] == "-"


def test_fine_tuned_brixia_runs_and_their_twins_from_scratch_belong_to_table_2() -> None:
    parts = {"test": read_images(12, 0.5)}
    tuned, scratch, elsewhere = run("tuned", parts, {"source": "a/run"}), run("scratch", parts), run("other", parts)
    tuned, scratch = (dataclasses.replace(one, metrics={"data": ["cohen"]}) for one in (tuned, scratch))
    elsewhere = dataclasses.replace(elsewhere, metrics={"data": ["brixia"]})
    runs = [tuned, scratch, elsewhere]
    assert [is_transfer(one, runs) for one in runs] == [True, True, False]
    assert not is_transfer(scratch, [scratch, elsewhere])


def test_a_bundle_that_was_evaluated_has_no_start() -> None:
    bundle = dataclasses.replace(of_inha("bundle", 0.5), settings={})
    assert portability_table([bundle], compare([bundle])).rows[0][2:4] == ("-", "-")
