"""How a result came about."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from exam_makers import exams_by_id, scored_report, signed, skipped_report

from lungsev.runtime.dashboard.pages.result_history import HistoryRow, history_rows
from lungsev.standing import Standing, StandingEntry


def test_a_result_that_nobody_changed_has_no_history() -> None:
    assert history_rows(exams_by_id(a=scored_report())["a"]) == ()


def test_each_step_says_who_when_what_and_why() -> None:
    exam = signed(exams_by_id(a=scored_report())["a"], by="Dr A", reason="effusion", A=3, F=0)
    model, corrected = history_rows(exam, ZoneInfo("Europe/Rome"))
    assert (model.state, model.by, model.total, model.changes) == ("Model", "lungsev-brixia 1.2.0", "9", "")
    assert corrected == HistoryRow(
        "22 Nov 2026, 11:00", "Corrected", "Dr A", "11", "A 0 to 3, F 1 to 0", "effusion"
    )  # fmt: skip


def test_a_step_of_nobody_is_lungsevs_and_a_time_that_cannot_be_read_is_shown_as_it_is() -> None:
    entry = StandingEntry("superseded", "some day", None, "The header was corrected.")
    standing = Standing("superseded", superseded_by="b", history=(entry,))
    exam = exams_by_id(a=replace(scored_report(), standing=standing))["a"]
    assert history_rows(exam)[1] == HistoryRow("some day", "Replaced", "lungsev", "9", "", "The header was corrected.")


def test_an_image_without_a_score_has_no_totals() -> None:
    entry = StandingEntry("superseded", "2026-11-22T10:00:00+00:00")
    exam = exams_by_id(a=replace(skipped_report(), standing=Standing("superseded", history=(entry,))))["a"]
    assert [row.total for row in history_rows(exam)] == ["", ""]
