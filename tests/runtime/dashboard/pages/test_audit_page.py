"""The page of corrections."""

from __future__ import annotations

from exam_makers import exams_by_id, scored_report

from lungsev.runtime.dashboard.pages.audit_page import AuditPage, AuditRow, audit_page
from lungsev.runtime.patients.decision import Correction

FIRST = Correction(1, "a1", "brixia", "A", 0, 0, 2, "effusion", "AB", "m 1", "2026-11-21T09:00:00+00:00")
SECOND = Correction(2, "gone", "brixia", "B", 1, 1, 3, "effusion", "CD", "m 1", "2026-11-21T09:05:00+00:00")


def test_corrections_stay_in_order_and_say_whose_image_it_is() -> None:
    exams = exams_by_id(a1=scored_report("WARD-1"))
    assert audit_page([SECOND, FIRST], exams) == AuditPage(
        (AuditRow(SECOND, "X-ray no longer stored", False), AuditRow(FIRST, "WARD-1", True))
    )


def test_ids_are_hidden_in_privacy_mode() -> None:
    (row,) = audit_page([FIRST], exams_by_id(a1=scored_report("WARD-1")), private=True).rows
    assert row.patient == "Patient C3F7"
