"""A course on the terminal: rows and remarks."""

from __future__ import annotations

from dataclasses import replace

from exam_makers import MODEL, course_exam, exams_by_id, scored_report, skipped_report

from lungsev.report import QualityFlag, SeverityReport
from lungsev.runtime.patients.trend import Trend, patient_trend
from lungsev.runtime.patients.trend_table import trend_remarks, trend_table


def trend_of(**reports: SeverityReport) -> Trend:
    trend = patient_trend(list(exams_by_id(**reports).values()))
    assert trend is not None
    return trend


def test_a_row_holds_time_view_grades_total_change_and_remarks() -> None:
    tilted = (QualityFlag("tilted", "warn", "The patient is tilted."),)
    newer = replace(MODEL, version="2.0.0")
    table = trend_table(
        trend_of(
            a=scored_report(taken="2026-11-20T08:00:00", grades="000111"),
            b=scored_report(taken="2026-11-21T08:00:00", view="PA", flags=tilted),
            c=scored_report(taken="2026-11-21T20:00:00", view=None, model=newer),
        )
    )
    assert str(table.title) == "brixia, 3 X-rays"
    assert [column.header for column in table.columns] == [
        "taken", "view", "A B C D E F", "total", "since previous", "remark",
    ]  # fmt: skip
    assert list(zip(*(column.cells for column in table.columns), strict=True)) == [
        ("2026-11-20 08:00", "AP", "0 0 0 1 1 1", " 3 (1-5)", "", ""),
        ("2026-11-21 08:00", "PA", "0 1 2 3 2 1", " 9 (7-11)", "+6 in 24 h", "worse +6, different view, quality flags"),
        ("2026-11-21 20:00", "?", "0 1 2 3 2 1", " 9 (7-11)", "±0 in 12 h", "different view, another model"),
    ]


def test_remarks_name_the_newest_change_its_zones_and_what_is_left_out() -> None:
    trend = trend_of(
        a=scored_report(taken="2026-11-20T08:00:00", grades="000111"), b=scored_report(taken="2026-11-21T08:00:00"),
        c=scored_report(taken=None), d=skipped_report("WARD-1"), e=skipped_report("WARD-1"),
    )  # fmt: skip
    assert trend_remarks(trend) == [
        "Latest: Worse by 6 since 20 Nov 08:00: more than the 2 points by which two readers usually differ.",
        "Zones that changed by more than one grade: C 0 to 2, D 1 to 3.",
        "Left out: 1 scored X-ray without a date.",
        "Left out: 2 X-rays without a score.",
    ]


def test_a_course_without_dates_has_no_rows_and_no_latest_image() -> None:
    trend = patient_trend([course_exam(3, None)])
    assert trend is not None
    assert trend_table(trend).row_count == 0
    assert trend_remarks(trend) == ["Left out: 1 scored X-ray without a date."]
