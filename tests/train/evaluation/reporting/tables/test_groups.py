"""Groups by view position, finding and severity; small ones together."""

from __future__ import annotations

import dataclasses

import numpy as np
from report_runs import read_images, run

from lungsev.train.evaluation.reporting.cells import shown
from lungsev.train.evaluation.reporting.tables.groups import group_table, grouped, severity_groups


def test_small_groups_are_shown_together_and_images_without_a_word_in_none() -> None:
    words = ["COVID-19"] * 6 + ["SARS"] * 2 + ["ARDS"] * 3 + [""] * 9
    assert {name: len(rows) for name, rows in grouped(words).items()} == {"COVID-19": 6, "others (ARDS; SARS)": 5}
    assert list(grouped(words[:8])) == ["COVID-19"]


def test_severity_is_in_thirds_of_the_range_and_an_image_without_a_total_in_none() -> None:
    found = read_images(6, 0.5)
    totals = (0, 6, 7, 12, 13, 18)
    graded = np.stack([np.full(6, total / 6.0) for total in totals])
    graded[1:5] = [[1] * 6, [2, *[1] * 5], [2] * 6, [3, *[2] * 5]]
    every = dataclasses.replace(found, readings={"senior": graded})
    low, middle, high = "total 0-6", "total 7-12", "total 13-18"
    assert severity_groups(every) == (low, low, middle, middle, high, high)
    graded[0, 3] = np.nan
    assert severity_groups(every)[0] == ""


def test_rows_name_group_part_and_images_and_hold_coverage() -> None:
    table = shown(group_table([run("one", {"test": read_images(40, 0.6)})], "view position"))
    assert [row[1].line() for row in table.rows] == [
        "AP of the test part (27 images of 19 patients)",  # that have a total; of 30
        "PA of the test part (8 images of 8 patients)",
    ]
    assert table.rows[0][2].remark == "AP of the test part: 30 images of 20 patients"
    assert [head for head, _ in table.heads][-2:] == [
        "coverage of the interval (interval), %",
        "width of the interval (interval), points",
    ]


def test_one_view_position_is_no_comparison() -> None:
    found = read_images(12, 0.6)
    alike = dataclasses.replace(found, view_positions=("AP",) * 12)
    assert group_table([run("one", {"test": alike})], "view position").rows == ()
