"""No value can pass for one of another part, decision or number of images."""

from __future__ import annotations

from dataclasses import replace

from report_runs import read_images

from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.reporting.cells import Table, shown, source_of

TEST = read_images(48, 0.8)


def test_a_head_says_what_its_values_share_and_a_cell_what_differs() -> None:
    one, two = measure(TEST, "mae"), measure(read_images(40, 0.8, 1), "mae")
    other = measure(read_images(26, 0.8), "mae", "consensus", "median")
    found = shown(Table("t", "T", ("run", ""), (("a", one), ("b", one), ("c", other), ("d", two))))
    assert found.heads[1] == ("MAE (argmax), grades", "test part: 48 images of 24 patients")
    assert [row[1].remark for row in found.rows] == [
        "",
        "",
        "consensus part: 26 images of 13 patients; MAE (median), grades",
        "test part: 40 images of 20 patients",
    ]


def test_a_part_that_differs_by_row_has_a_column_and_a_cell_of_other_images_says_so() -> None:
    whole, total = measure(TEST, "accuracy"), measure(TEST, "total_mae")
    assert whole.images > total.images
    rows = (("a", whole, measure(TEST, "mae"), total), ("b", replace(whole, part="consensus"), "-", "-"))
    found = shown(Table("t", "T", ("who", "", "", ""), rows, sources="rows"))
    assert [head[0] for head in found.heads][:2] == ["who", "part"]
    assert found.rows[0][1].line() == "test part (48 images of 24 patients)"
    assert found.rows[0][4].remark == source_of(total)
    assert found.rows[1][1].text == "consensus part"


def test_cautions_are_marked_in_order_and_explained_below() -> None:
    few = measure(read_images(6, 0.8), "accuracy")
    fitted = replace(measure(TEST, "accuracy"), caution="fitted on these images: no measurement")
    found = shown(Table("t", "T", ("run", ""), (("a", few), ("b", fitted), ("c", few)), "A note."))
    assert [row[1].mark for row in found.rows] == ["†", "‡", "†"]
    assert found.notes == (
        "A note.",
        "† 3 patients: too few to say anything.",
        "‡ Fitted on these images: no measurement.",
    )


def test_seeds_are_said_with_the_spread_between_them() -> None:
    found = measure([TEST, read_images(48, 0.8, 1)], "accuracy")
    cell = shown(Table("t", "T", ("run", ""), (("a", found),))).rows[0][1]
    assert cell.remark == "mean of 2 seeds"
    assert " ± " in cell.text
    assert cell.line() == f"{found.text()} (mean of 2 seeds)"
