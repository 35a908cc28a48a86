"""Sentences that the card of a bundle and that of a run share."""

from __future__ import annotations

from lungsev.bundle.card_text import joined_lists, scheme_line
from lungsev.grading import Calibration
from lungsev.schemes import load_scheme


def test_a_scheme_is_one_item_with_regions_grades_and_its_interval() -> None:
    line = scheme_line(load_scheme("brixia"), Calibration(decision="median", interval_margin=0.5, coverage=0.9))
    assert line.startswith("- **Brixia score** (")
    assert "6 regions (A right upper zone, " in line
    assert line.endswith("decided by median, total interval calibrated for 90% of images.")
    assert scheme_line(load_scheme("brixia"), Calibration()).endswith("total interval not calibrated.")


def test_items_that_follow_each_other_are_one_list() -> None:
    assert joined_lists(["a", "- b", "- c", "d", "- e"]) == ["a", "- b\n- c", "d", "- e"]
