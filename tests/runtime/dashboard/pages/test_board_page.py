"""The unit board: who is on it, in which order, and what is only a file."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from exam_makers import courses_of, exams_by_id, failed_report, labels, scored_report, signed, skipped_report

from lungsev.report import SeverityReport
from lungsev.runtime.dashboard.pages.board_page import CARDS_PER_PAGE, BoardPage, board_page
from lungsev.runtime.dashboard.pages.file_list import FileLine
from lungsev.runtime.patients.history import Exam
from lungsev.standing import OutputState, Standing

NOW = datetime(2026, 11, 22, 12, 0).astimezone()


def board_of(exams: dict[str, Exam], **options: Any) -> BoardPage:
    return board_page(courses_of(exams).values(), labels(), NOW, **{"board_hours": 240, **options})


def patients(page: BoardPage) -> list[str]:
    return [card.patient for card in page.cards]


def taken(hours: float, patient: str = "WARD-1", grades: str = "111111") -> SeverityReport:
    return scored_report(patient, (NOW - timedelta(hours=hours)).replace(tzinfo=None).isoformat(), grades)


def received(hours: float, report: SeverityReport, name: str = "x") -> Exam:
    return Exam(name, report, (NOW - timedelta(hours=hours)).timestamp())


def test_a_patient_leaves_the_board_some_hours_after_the_last_image() -> None:
    exams = exams_by_id(a1=taken(90), a2=taken(47.9), b1=taken(48.1, "WARD-2"))
    page = board_of(exams, board_hours=48)
    assert (patients(page), page.earlier, page.counts["patients"]) == (["WARD-1"], 1, 1)
    assert patients(board_of(exams, board_hours=49)) == ["WARD-1", "WARD-2"]


@pytest.mark.parametrize("dated", [None, "2099-01-01T00:00:00", "1900-01-01T00:00:00"])
def test_an_image_that_cannot_have_been_taken_then_counts_by_its_receipt(dated: str | None) -> None:
    for hours, count in ((47, 1), (49, 0)):
        page = board_of({"x": received(hours, scored_report(taken=dated))}, board_hours=48)
        assert (len(page.cards), page.earlier) == (count, 1 - count)


def test_a_date_without_an_hour_keeps_a_patient_for_the_whole_day_but_never_past_the_receipt() -> None:
    exam = received(100, scored_report(taken="2026-11-20"))
    assert len(board_of({"x": replace(exam, written_at=NOW.timestamp())}, board_hours=48).cards) == 1
    assert board_of({"x": exam}, board_hours=48).cards == ()


def test_an_image_written_again_does_not_bring_its_patient_back() -> None:
    exam = Exam("20261119T080000-0123abcd", scored_report(taken=None), NOW.timestamp())
    assert board_of({exam.id: exam}, board_hours=48).earlier == 1


def test_a_replaced_image_neither_shows_nor_keeps_a_patient() -> None:
    gone = replace(taken(1), standing=Standing("superseded", superseded_by="b1"))
    page = board_of(exams_by_id(a1=gone, b1=taken(2, "WARD-2")), board_hours=48)
    assert (patients(page), page.earlier) == (["WARD-2"], 0)


def test_files_are_lines_and_leave_the_cards_alone() -> None:
    duplicate = replace(skipped_report("WARD-1", "2026-11-22T11:00:00"), reason="duplicate", message="Scored before.")
    exams = exams_by_id(a1=taken(30), a2=taken(6, grades="333333"))
    alone = board_of(exams)
    page = board_of({**exams, "d": received(0.5, duplicate, "d"), "f": received(1, failed_report(), "f")})
    assert page.cards == alone.cards
    assert page.counts == alone.counts
    assert page.files == (
        FileLine("d", "WARD-1", "Scored before.", "30 min ago"),
        FileLine("f", "", "The file was cut off.", "1 h ago"),
    )


def test_old_files_are_counted_and_only_the_newest_ones_shown() -> None:
    exams = {f"f{i:02d}": received(i, failed_report(), f"f{i:02d}") for i in range(60)}
    page = board_of(exams, board_hours=48)
    assert [file.exam_id for file in page.files] == [f"f{i:02d}" for i in range(12)]
    assert page.file_count == 60
    assert board_of({"f": received(49, failed_report())}, board_hours=48).files == ()


def test_who_must_be_checked_and_who_got_worse_come_first_however_old_the_images_are() -> None:
    def course(patient: str, hours: float, second: str) -> dict[str, SeverityReport]:
        return {f"{patient}1": taken(hours + 24, patient), f"{patient}2": taken(hours, patient, second)}

    exams = exams_by_id(
        **course("better", 10, "000000"), first1=taken(20, "first"), **course("steady", 30, "111111"),
        refused1=skipped_report("refused", "2026-11-20T08:00:00"), **course("worse", 60, "333333"),
        stop1=replace(taken(80, "stop"), stop="Two people may share this patient id."),
    )  # fmt: skip
    page = board_of(exams)
    assert patients(page) == ["stop", "worse", "refused", "steady", "first", "better"]
    assert page.counts == {"patients": 6, "stop": 1, "worse": 1, "refused": 1, "steady": 1, "first": 1, "better": 1}


def test_within_a_state_the_newest_image_comes_first_and_ids_decide_between_equals() -> None:
    exams = exams_by_id(**{f"n{hours}": taken(hours, f"P{hours}") for hours in range(8)}, x=taken(3, "X"))
    assert patients(board_of(exams)) == ["P0", "P1", "P2", "X", "P3", "P4", "P5", "P6", "P7"]


def test_more_patients_than_fit_are_on_further_pages_and_all_are_counted() -> None:
    exams = exams_by_id(**{f"n{i:03d}": taken(i, f"P{i:03d}") for i in range(CARDS_PER_PAGE + 2)})
    page = board_of(exams, page=2)
    assert patients(page) == [f"P{CARDS_PER_PAGE:03d}", f"P{CARDS_PER_PAGE + 1:03d}"]
    assert (page.counts["patients"], page.pager.count) == (CARDS_PER_PAGE + 2, 2)


def test_a_patient_is_found_by_id_name_and_birth_date() -> None:
    jane = taken(1, "4711")
    jane = replace(jane, patient=replace(jane.patient, name="DOE^JANE", birth_date="1961-04-02"))
    exams = exams_by_id(a=jane, b=taken(2, "4812"))
    for find in ("471", "doe, j", "2 apr"):
        page = board_of(exams, find=find)
        assert (patients(page), page.counts["patients"]) == (["4711"], 2)
    assert patients(board_of(exams, find="nobody")) == []


def test_what_could_not_be_written_is_counted() -> None:
    missing = (OutputState("hl7", "missing", "The UID has 72 characters."),)
    exams = exams_by_id(a=replace(taken(1), outputs=missing), b=replace(taken(2), outputs=(OutputState("hl7"),)))
    assert board_of(exams).unwritten == 1


def test_a_signed_total_is_the_one_on_the_board() -> None:
    exams = exams_by_id(a=taken(1))
    (card,) = board_of({"a": signed(exams["a"], A=3)}).cards
    assert card.score is not None
    assert (card.score.total, card.score.interval, card.score.signature) == (8, None, "corrected by AB, model said 6")


@pytest.mark.parametrize("problem", [None, "cannot read reports"])
def test_problems_are_passed_on(problem: str | None) -> None:
    page = board_of({}, problem=problem, notices=["Results have not arrived at pacs."], backend=("the CPU", True))
    assert (page.backend, page.backend_degraded) == ("the CPU", True)
    assert (page.problem, page.notices) == (problem, ("Results have not arrived at pacs.",))
