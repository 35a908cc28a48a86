"""The page of decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from decision_makers import correction, decision, people
from exam_makers import course_key, exams_by_id, labels, scored_report

from lungsev.patient import PatientInfo
from lungsev.runtime.dashboard.pages.audit_page import ROWS_PER_PAGE, AuditRow, audit_page
from lungsev.runtime.patients.decision import Decision, DecisionLog

EXAMS = exams_by_id(a1=scored_report("WARD-1"), b1=scored_report("WARD-2"))


def rows(*decisions: Decision, **options: Any) -> tuple[AuditRow, ...]:
    return audit_page(DecisionLog.of(decisions), EXAMS, labels(), zone=ZoneInfo("UTC"), **options).rows


def test_decisions_are_told_newest_first_with_patient_signer_and_reason() -> None:
    second, first = rows(correction(1, "a1", {"A": (0, 2)}), correction(2, "gone", {"B": (1, 3)}, by="CD"))
    assert first == AuditRow(
        seq=1, at="22 Nov 2026, 12:01", what="correction", patient="WARD-1", exam_id="a1",
        detail="brixia: A 0 to 2 (model 0)", by="AB", source="dashboard", reason="a reason", undone="",
        can_be_undone=False,
    )  # fmt: skip
    assert (second.patient, second.exam_id, second.by) == ("X-ray no longer stored", None, "CD")


def test_every_kind_says_what_was_decided() -> None:
    one, other = course_key("WARD-1"), course_key("WARD-2")
    jane, richard = PatientInfo(name="DOE^JANE"), PatientInfo(name="ROE^RICHARD")
    told = rows(
        decision(1, "agreement", "a1", details={"grades": {"brixia": {"A": 1, "B": 2}}}),
        replace(decision(2, "superseded", "a1", "b1"), by=None),
        decision(3, "merge", one, other, people((jane,))),
        decision(4, "split", one, None, people((jane,), (richard,))),
        decision(5, "same_person", one, None, people((jane, richard))),
        decision(6, "rescored", "a1", None, {"model": "lungsev-brixia 2.0.0"}),
        decision(7, "undo", one, None, {"undoes": 4}),
    )
    assert [(row.patient, row.detail) for row in reversed(told)] == [
        ("WARD-1", "total brixia 3"),
        ("WARD-1", "by an X-ray of WARD-2"),
        ("WARD-1", "into WARD-2; one person"),
        ("WARD-1", "2 people"),
        ("WARD-1", "one person"),
        ("WARD-1", "lungsev-brixia 2.0.0"),
        ("WARD-1", "decision 4, identity split"),
    ]
    assert told[5].by == "lungsev"
    assert [row.can_be_undone for row in reversed(told)] == [True, True, True, False, True, False, False]
    assert told[3].undone == "taken back by AB, 22 Nov 2026, 12:07"


def test_ids_are_hidden_in_privacy_mode() -> None:
    page = audit_page(DecisionLog.of([correction(1, "a1", {"A": (0, 2)})]), EXAMS, labels(private=True))
    assert page.rows[0].patient == "Patient ALIAS "


def test_long_lists_have_pages() -> None:
    decisions = [correction(1 + i % 59, "a1", {"A": (0, 2)}) for i in range(ROWS_PER_PAGE + 1)]
    page = audit_page(DecisionLog.of(decisions), EXAMS, labels(), page=2)
    assert len(page.rows) == 1
