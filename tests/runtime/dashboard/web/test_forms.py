"""Forms: grades, and addresses that stay on this dashboard."""

from __future__ import annotations

import pytest

from lungsev.runtime.dashboard.web.forms import grades_of, own_path


def test_grades_are_read_by_region_and_other_fields_left_out() -> None:
    assert grades_of({"grade-A": "2", "grade-LT": "10", "reason": "3"}) == {"A": 2, "LT": 10}


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "\u0663"])
def test_a_grade_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="the grade of region A is not a number"):
        grades_of({"grade-A": value})


@pytest.mark.parametrize(
    ("address", "path"),
    [("/exams/a1", "/exams/a1"), ("http://here:8080/earlier?page=2&find=x", "/earlier?page=2&find=x"), (None, "/"),
     ("", "/"), ("//evil.example", "/"), ("http://here//evil.example", "/"), ("/\\evil.example", "/"),
     ("javascript:alert(1)", "/"), ("exams/a1", "/"), ("http://[", "/"), ("/a\nb", "/ab")],
)  # fmt: skip
def test_only_a_path_is_kept_of_an_address(address: str | None, path: str) -> None:
    assert own_path(address) == path


def test_a_zone_that_cannot_be_assessed_is_no_grade() -> None:
    assert grades_of({"grade-A": "none", "grade-B": "0"}) == {"A": None, "B": 0}
