"""Patients who have left the board."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from exam_makers import courses_of, exams_by_id, failed_report, labels, scored_report

from lungsev.runtime.dashboard.pages.earlier_page import EARLIER_PER_PAGE, EarlierPage, earlier_page

NOW = datetime(2026, 11, 22, 12, 0).astimezone()
EXAMS = exams_by_id(
    a=scored_report("PRESENT", "2026-11-22T08:00:00"),
    b=scored_report("LAST-WEEK", "2026-11-15T08:00:00"),
    c=scored_report("YESTER-WEEK", "2026-11-08T08:00:00"),
    f=failed_report(),
)


def page_of(**options: Any) -> EarlierPage:
    return earlier_page(courses_of(EXAMS).values(), labels(), NOW, board_hours=48, **options)


def test_who_left_last_comes_first_and_who_is_present_not_at_all() -> None:
    page = page_of()
    assert [card.patient for card in page.cards] == ["LAST-WEEK", "YESTER-WEEK"]
    assert (page.everyone, page.pager.total) == (2, 2)


def test_a_search_finds_by_part_of_the_id_in_any_case() -> None:
    page = page_of(find="yester")
    assert [card.patient for card in page.cards] == ["YESTER-WEEK"]
    assert (page.everyone, page.pager.total) == (2, 1)
    assert page_of(find="present").cards == ()


def test_long_lists_have_pages() -> None:
    exams = exams_by_id(
        **{f"n{i}": scored_report(f"P{i}", f"2026-10-{1 + i % 28:02d}T{i % 24:02d}:00:00") for i in range(70)}
    )
    courses = courses_of(exams).values()
    first = earlier_page(courses, labels(), NOW, board_hours=48)
    second = earlier_page(courses, labels(), NOW, board_hours=48, page=2)
    assert (len(first.cards), len(second.cards)) == (EARLIER_PER_PAGE, 70 - EARLIER_PER_PAGE)
    assert not {card.patient for card in first.cards} & {card.patient for card in second.cards}
