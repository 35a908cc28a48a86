"""Text of the pages."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from exam_makers import exams_by_id, scored_report

from lungsev.runtime.dashboard.pages.formatting import format_age, format_span, patient_label, printable

NOW = datetime(2026, 11, 22, 12, 0).astimezone()


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(-301, "dated in the future"), (-300, "just now"), (0, "just now"), (59, "just now"), (60, "1 min ago"),
     (119, "1 min ago"), (3599, "59 min ago"), (3600, "1 h ago"), (2 * 86400 - 1, "47 h ago"),
     (2 * 86400, "2 days ago"), (3 * 86400 - 1, "2 days ago"), (6 * 86400, "6 days ago")],
)  # fmt: skip
def test_an_age_is_given_in_the_largest_unit_that_fits(seconds: float, age: str) -> None:
    assert format_age(NOW - timedelta(seconds=seconds), NOW) == age


@pytest.mark.parametrize(
    ("hours", "span"),
    [(0.2, "12 min"), (0.98, "59 min"), (1, "1 h"), (23.9, "24 h"), (47.9, "48 h"), (48, "2 days"), (143, "6 days")],
)
def test_a_span_is_rounded_to_its_unit(hours: float, span: str) -> None:
    assert format_span(hours * 3600) == span


def test_the_patient_is_shown_by_id_or_by_a_stand_in_that_stays_the_same() -> None:
    exams = exams_by_id(a=scored_report("WARD-1"), b=scored_report("WARD-1"), c=scored_report("WARD-2\u202e"))
    assert patient_label(exams["a"], private=False) == "WARD-1"
    assert patient_label(exams["c"], private=False) == "WARD-2\ufffd"
    hidden = [patient_label(exam, private=True) for exam in exams.values()]
    assert hidden[0] == hidden[1] == "Patient C3F7"
    assert hidden[2] != hidden[0]


def test_control_direction_and_line_characters_are_replaced() -> None:
    assert printable("a\x1b[31m\u202eb\nc é") == "a\ufffd[31m\ufffdb\ufffdc é"
