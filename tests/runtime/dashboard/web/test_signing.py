"""What people sign: agreements, corrections, identities; and what could not be saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dashboard_browser import Browser
from exam_makers import put_report, scored_report

from lungsev.report import SeverityReport

ENTERED = {"scheme": "brixia", "grade-A": "3", "reason": "an effusion <b>", "reader": "Dr A"}


def named(name: str, taken: str, patient: str = "4711") -> SeverityReport:
    report = scored_report(patient, taken)
    return replace(report, patient=replace(report.patient, name=name))


@pytest.fixture
def two_people(out: Path) -> None:
    put_report(out, "p1", named("DOE^JANE", "2026-11-20T08:00:00"))
    put_report(out, "p2", named("ROE^RICHARD", "2026-11-21T08:00:00"))


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [({"form": "0" * 64}, 403, "did not come from this dashboard"), ({"grade-B": "9"}, 422, "Not saved: scheme")],
)
def test_what_was_entered_is_on_the_page_again(
    browser: Browser, wrong: dict[str, str], status: int, words: str
) -> None:
    found, body = browser.sign("/exams/a2/corrections", **{**ENTERED, **wrong})
    assert found == status
    assert words in body
    assert 'name="grade-A" value="3" checked' in body
    assert 'value="an effusion &lt;b&gt;"' in body
    assert 'value="Dr A"' in body
    assert "<details open" in body


def test_an_agreement_takes_one_click_once_the_name_is_known(browser: Browser) -> None:
    assert browser.sign("/exams/a2/agreements", reader="Dr A") == (303, "/exams/a2?saved=agreed")
    page = browser.get("/exams/a2?saved=agreed")
    assert "Saved: you agree with the result." in page
    assert "Agreed by Dr A" in page
    assert "How this result came about" in page
    other = browser.get("/exams/b1")
    agree = other[other.index('class="agree') : other.index("I agree")]
    assert 'value="Dr A"' in agree
    assert "agreed by Dr A" in browser.get("/")
    assert "Agreement" in browser.get("/audit")


def test_what_is_not_a_known_outcome_is_not_told(browser: Browser) -> None:
    assert "call 555" not in browser.get("/exams/a2?saved=call+555")


def test_images_that_disagree_are_stopped_on_board_and_page(browser: Browser, two_people: None) -> None:
    board = browser.get("/")
    assert "1 to check who it is" in board
    card = board[board.index("4711") : board.index("</li>", board.index("4711"))]
    assert "Check who this is" in card
    assert "orse" not in card
    page = browser.get("/exams/p2")
    assert "ROE, RICHARD" in page
    assert "DOE, JANE" in page
    assert 'id="course"' not in page


def test_one_person_is_signed_and_the_stop_is_gone(browser: Browser, two_people: None) -> None:
    assert browser.sign("/exams/p2/same-person", reason="married") == (303, "/exams/p2?saved=same-person")
    page = browser.get("/exams/p2")
    assert "Check who this is" not in page
    assert 'id="course"' in page


def test_several_people_get_courses_of_their_own(browser: Browser, two_people: None) -> None:
    assert browser.sign("/exams/p2/split")[1] == "/exams/p2?saved=split"
    for image, name in (("p1", "DOE, JANE"), ("p2", "ROE, RICHARD")):
        page = browser.get(f"/exams/{image}")
        assert "X-ray 1 of 1" in page
        assert name in page
        assert "Check who this is" not in page
    assert browser.sign("/exams/a1/split")[0] == 422, "one person cannot be split"


def test_a_merge_names_the_patient_that_stays(browser: Browser) -> None:
    assert browser.sign("/exams/b1/merge", other=" ward-1 ") == (303, "/exams/b1?saved=merged")
    assert "X-ray 3 of 3" in browser.get("/exams/a2") or "X-ray 2 of 3" in browser.get("/exams/a2")
    audit = browser.get("/audit")
    assert "Identities merged" in audit
    assert "into WARD-1" in audit


@pytest.mark.parametrize(("other", "words"), [("", "give the id"), ("nobody", "there is no patient with this id")])
def test_a_merge_with_nobody_is_not_saved_and_filled_in_again(browser: Browser, other: str, words: str) -> None:
    status, body = browser.sign("/exams/a2/merge", other=other, reason="two ids")
    assert status == 422
    assert words in body
    assert 'value="two ids"' in body


def test_an_id_of_two_issuers_must_be_told_apart(browser: Browser, out: Path) -> None:
    for name, issuer in (("i1", "HOSP-A"), ("i2", "HOSP-B")):
        report = scored_report("77")
        put_report(out, name, replace(report, patient=replace(report.patient, issuer=issuer)))
    status, body = browser.sign("/exams/a2/merge", other="77")
    assert status == 422
    assert "77 (HOSP-A), 77 (HOSP-B)" in body
    assert browser.sign("/exams/a2/merge", other="77 (HOSP-B)")[0] == 303


def test_a_decision_is_taken_back_with_a_reason_and_both_stay(browser: Browser) -> None:
    browser.sign("/exams/b1/merge", other="WARD-1")
    assert browser.sign("/audit/undo", seq="1", reason="a mistake", reader="Dr B") == (303, "/audit")
    audit = browser.get("/audit")
    assert "taken back by Dr B" in audit
    assert "X-ray 2 of 2" in browser.get("/exams/a2")
    for seq in ("1", "99", "x"):
        status, body = browser.sign("/audit/undo", seq=seq)
        assert status == 422
        assert "Not taken back:" in body


@pytest.mark.parametrize("path", ["corrections", "agreements", "merge", "split", "same-person"])
def test_a_form_from_elsewhere_signs_nothing(browser: Browser, path: str) -> None:
    assert browser.sign(f"/exams/a2/{path}", **ENTERED, form="0" * 64)[0] == 403
    assert browser.sign("/audit/undo", seq="1", form="0" * 64)[0] == 403
    assert "No decisions yet." in browser.get("/audit")
