"""Patients who have left the board."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from exam_makers import courses_of, exams_by_id, failed_report, labels, scored_report, signed, skipped_report

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
    assert [row.patient for row in page.rows] == ["LAST-WEEK", "YESTER-WEEK"]
    assert (page.everyone, page.pager.total) == (2, 2)


def test_a_search_finds_by_part_of_the_id_in_any_case() -> None:
    page = page_of(find="yester")
    assert [row.patient for row in page.rows] == ["YESTER-WEEK"]
    assert (page.everyone, page.pager.total) == (2, 1)
    assert page_of(find="present").rows == ()


def test_long_lists_have_pages() -> None:
    exams = exams_by_id(
        **{f"n{i}": scored_report(f"P{i}", f"2026-10-{1 + i % 28:02d}T{i % 24:02d}:00:00") for i in range(70)}
    )
    courses = courses_of(exams).values()
    first = earlier_page(courses, labels(), NOW, board_hours=48)
    second = earlier_page(courses, labels(), NOW, board_hours=48, page=2)
    assert (len(first.rows), len(second.rows)) == (EARLIER_PER_PAGE, 70 - EARLIER_PER_PAGE)
    assert not {row.patient for row in first.rows} & {row.patient for row in second.rows}


def test_a_row_says_what_stands_and_what_to_know() -> None:
    stopped = replace(scored_report("STOP", "2026-11-01T08:00:00"), stop="Two people may share this patient id.")
    exams = exams_by_id(
        a=scored_report("SIGNED", "2026-11-03T08:00:00"), b=skipped_report("REFUSED", "2026-11-02T08:00:00"), c=stopped
    )
    exams["a"] = signed(exams["a"], A=3)
    page = earlier_page(courses_of(exams).values(), labels(), NOW, board_hours=48)
    assert [(row.patient, row.remark, row.is_stopped) for row in page.rows] == [
        ("SIGNED", "corrected by AB, model said 9", False),
        ("REFUSED", "This is not a frontal chest radiograph.", False),
        ("STOP", "Two people may share this patient id.", True),
    ]
    assert [row.score.total if row.score else None for row in page.rows] == [12, None, 9]
    assert (page.rows[0].taken, page.rows[0].image_count) == ("3 Nov 2026, 08:00", 1)
