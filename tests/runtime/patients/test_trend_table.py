"""A course on the terminal: rows and remarks."""

from __future__ import annotations

from dataclasses import replace

from exam_makers import MODEL, course_exam, exams_by_id, scored_report, skipped_report

from lungsev.moment import Moment
from lungsev.report import QualityFlag, SeverityReport
from lungsev.runtime.patients.trend import Trend, patient_trend
from lungsev.runtime.patients.trend_sentences import sentence
from lungsev.runtime.patients.trend_table import trend_remarks, trend_table
from lungsev.standing import Standing


def trend_of(**reports: SeverityReport) -> Trend:
    trend = patient_trend(list(exams_by_id(**reports).values()))
    assert trend is not None
    return trend


def test_a_row_holds_time_view_grades_total_change_and_remarks() -> None:
    tilted = (QualityFlag("tilted", "warn", "The patient is tilted."),)
    newer = replace(MODEL, version="2.0.0")
    trend = trend_of(
        a=scored_report(taken="2026-11-20T08:00:00", grades="000111"),
        b=scored_report(taken="2026-11-21T08:00:00", view="PA", flags=tilted),
        c=scored_report(taken="2026-11-21T20:00:00", view=None, model=newer),
    )
    table = trend_table(trend)
    assert str(table.title) == "brixia, 3 X-rays"
    assert [column.header for column in table.columns] == [
        "taken", "view", "A B C D E F", "total", "since previous", "remark",
    ]  # fmt: skip
    change = trend.points[1].change
    assert change is not None
    assert list(zip(*(column.cells for column in table.columns), strict=True)) == [
        ("2026-11-20 08:00", "AP", "0 0 0 1 1 1", " 3 (1-5)", "", ""),
        (
            "2026-11-21 08:00", "PA", "0 1 2 3 2 1", " 9 (7-11)", "+6 in 24 h",
            f"{change.words}, different view, quality flags",
        ),
        (
            "2026-11-21 20:00", "?", "0 1 2 3 2 1", " 9 (7-11)", "±0 in 12 h",
            "scored by another model: not comparable, different view",
        ),
    ]  # fmt: skip
    assert change.direction == "worse"


def test_a_drift_a_reader_an_outlier_and_an_unknown_hour_are_told() -> None:
    drifting = patient_trend([course_exam(total, 24 * i) for i, total in enumerate((4, 5, 6, 7, 8, 9))])
    assert drifting is not None
    remarks = [str(cell) for cell in list(trend_table(drifting).columns)[-1].cells]
    assert any("since 02 Mar 08:15" in remark for remark in remarks)
    exams = [course_exam(total, 24 * i) for i, total in enumerate((4, 14, 4))]
    dated = replace(exams[2].report, acquired=Moment.from_iso("2026-03-03"))
    signed = replace(
        dated, standing=Standing("corrected", 2, {"brixia": dict.fromkeys("ABCDEF", 1)}, "A"), stop="Stop."
    )
    trend = patient_trend([exams[0], exams[1], replace(exams[2], report=signed)])
    assert trend is not None
    rows = list(zip(*(column.cells for column in trend_table(trend).columns), strict=True))
    assert rows[1][0] == "2026-03-03"
    assert rows[1][3] == " 6 (corrected)"
    assert rows[1][4] == "+2"
    assert "Stop." in trend_remarks(trend)
    spike = patient_trend(exams)
    assert spike is not None
    assert "stands out" in str(list(trend_table(spike).columns)[-1]._cells[1])


def test_remarks_name_the_newest_change_its_zones_and_what_is_left_out() -> None:
    trend = trend_of(
        a=scored_report(taken="2026-11-20T08:00:00", grades="000111"), b=scored_report(taken="2026-11-21T08:00:00"),
        c=scored_report(taken=None), d=skipped_report("WARD-1"), e=skipped_report("WARD-1"),
    )  # fmt: skip
    zones = trend.points[1].region_changes
    assert {zone.code for zone in zones} <= {"C", "D"}
    assert zones
    assert trend_remarks(trend) == [
        f"Latest: {sentence(trend.points[1])}",
        f"Zones that changed: {'; '.join(f'{z.code} {z.before} to {z.after}, {z.words}' for z in zones)}.",
        "Left out: 1 scored X-ray without a date that can be right.",
        "Left out: 2 X-rays without a score.",
    ]


def test_a_course_without_dates_has_no_rows_and_no_latest_image() -> None:
    trend = patient_trend([course_exam(3, None)])
    assert trend is not None
    assert trend_table(trend).row_count == 0
    assert trend_remarks(trend) == ["Left out: 1 scored X-ray without a date that can be right."]


def test_offsets_are_shown_where_a_course_has_several() -> None:
    moments = [
        Moment("2026-03-02T08:30", "minute", "+01:00", "value"),
        Moment("2026-03-02T08:00", "minute", "+00:00", "value"),
    ]
    exams = [course_exam(3, hours) for hours in (0, 24)]
    trend = patient_trend(
        [
            replace(exam, report=replace(exam.report, acquired=moment))
            for exam, moment in zip(exams, moments, strict=True)
        ]
    )
    assert trend is not None
    assert list(trend_table(trend).columns[0].cells) == ["2026-03-02 08:30 +01:00", "2026-03-02 08:00 +00:00"]
