"""The unit board, field by field."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from exam_makers import (
    MODEL,
    course_key,
    courses_of,
    exams_by_id,
    failed_report,
    scheme_score,
    scored_report,
    skipped_report,
)

from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.report import ImageInfo, QualityFlag, SeverityReport
from lungsev.runtime.dashboard.pages.board_page import BoardPage, Card, Score, UnreadFile, board_page
from lungsev.runtime.patients.history import Exam

NOW = datetime(2026, 11, 22, 12, 0).astimezone()


def board_of(exams: dict[str, Exam], corrected: dict | None = None, **options: Any) -> BoardPage:
    courses = courses_of(exams).all().values()
    return board_page(courses, corrected or {}, NOW, alias=lambda patient: f"alias of {patient}", **options)


def only_card(exams: dict[str, Exam], corrected: dict | None = None, *, private: bool = False) -> Card:
    (card,) = board_of(exams, corrected, private=private).cards
    return card


def test_a_card_shows_total_change_course_and_zones() -> None:
    flags = (QualityFlag("tilted", "warn", "The patient is tilted."),)
    exams = exams_by_id(
        a1=scored_report(taken="2026-11-20T08:00:00", grades="000111"),
        a2=scored_report(taken="2026-11-21T08:00:00", grades="012321", flags=flags),
    )
    assert only_card(exams) == Card(
        exam_id="a2",
        patient="WARD-1",
        state="worse",
        headline="Probably worse, 84 %",
        detail="+6 points in 24 h since the previous X-ray",
        score=Score(
            total=9, total_max=18, interval=(7, 11), model_total=None, severity=6,
            grades=(("A", 0, 0), ("B", 1, 4), ("C", 2, 8), ("D", 3, 12), ("E", 2, 8), ("F", 1, 4)),
        ),
        spark=((4.0, 27.3), (116.0, 18.0)),
        flags=("The patient is tilted.",),
        refusal=None,
        age="28 h ago",
        taken="2026-11-21 08:00",
        image_count=2,
        alias=f"alias of {course_key('WARD-1')}",
    )  # fmt: skip


def test_a_first_image_has_neither_change_nor_course() -> None:
    card = only_card(exams_by_id(a1=scored_report()))
    assert (card.state, card.headline, card.detail, card.spark, card.image_count) == ("first", "First X-ray", "", (), 1)


def test_a_small_difference_is_not_called_a_change() -> None:
    exams = exams_by_id(
        a1=scored_report(grades="111111"), a2=scored_report(taken="2026-11-26T08:00:00", grades="111122")
    )
    card = only_card(exams)
    assert (card.state, card.headline) == ("steady", "No clear change")
    assert card.detail == "+2 points in 6 days since the previous X-ray"


def test_a_slow_improvement_is_told_from_where_it_began() -> None:
    exams = exams_by_id(
        a1=scored_report(taken="2026-11-19T08:00:00", grades="222222"),
        a2=scored_report(taken="2026-11-20T08:00:00", grades="112222"),
        a3=scored_report(taken="2026-11-21T08:00:00", grades="111122"),
    )
    card = only_card(exams)
    assert (card.state, card.headline) == ("better", "Probably better, 72 %")
    assert card.detail == "-4 points since 19 Nov 08:00 (-2 points in 24 h since the previous X-ray)"


def test_scores_of_two_models_are_not_compared() -> None:
    newer = scored_report(taken="2026-11-21T08:00:00", grades="333333", model=replace(MODEL, version="2.0.0"))
    card = only_card(exams_by_id(a1=scored_report(), a2=newer))
    assert (card.state, card.headline) == ("steady", "Scored by another model")
    assert card.detail == "not comparable"


def test_a_refused_newest_image_says_why_and_keeps_the_score_of_the_previous_one() -> None:
    exams = exams_by_id(a1=scored_report("WARD-2", "2026-11-20T08:00:00"), a2=skipped_report())
    card = only_card(exams)
    assert (card.exam_id, card.state, card.headline, card.detail) == ("a2", "refused", "Newest X-ray has no score", "")
    assert card.refusal == "This is not a frontal chest radiograph."
    assert card.score is not None
    assert (card.score.total, card.taken, card.flags) == (9, "2026-11-21 10:00", ())


def test_a_patient_without_any_score_has_a_card_without_a_number() -> None:
    card = only_card(exams_by_id(a=replace(skipped_report(), message=None)))
    assert (card.state, card.score, card.spark, card.refusal) == ("refused", None, (), "No reason was recorded.")


def test_flags_of_a_refused_image_give_way_to_the_reason() -> None:
    report = skipped_report()
    quality = replace(report.quality, flags=(QualityFlag("lungs_not_found", "refuse", "No lungs."),))
    assert only_card(exams_by_id(a=replace(report, quality=quality))).flags == ()


def test_corrections_count_and_the_models_total_is_kept() -> None:
    exams = exams_by_id(a1=scored_report())
    score = only_card(exams, {("a1", "brixia"): {"A": 3, "F": 0}, ("a1", "inha"): {"A": 1}}).score
    assert score is not None
    assert (score.total, score.model_total, score.severity) == (11, 9, 7)
    assert (score.grades[0], score.grades[5], score.interval) == (("A", 3, 12), ("F", 0, 0), (7, 11))


def test_the_main_scheme_is_shown_and_grades_count_from_its_lowest() -> None:
    report = scored_report(grades="1355", scheme="inha")
    score = only_card(exams_by_id(a=report)).score
    assert score is not None
    assert (score.total, score.total_max, score.severity) == (14, 20, 8)
    assert score.grades == (("RT", 1, 0), ("RB", 3, 6), ("LT", 5, 12), ("LB", 5, 12))
    both = replace(report, scores={**report.scores, "brixia": scheme_score("111111")})
    shown = only_card(exams_by_id(a=both)).score
    assert shown is not None
    assert shown.total == 6


def test_a_score_without_a_date_is_shown_without_a_change() -> None:
    card = only_card({"a": Exam("a", scored_report(taken=None), NOW.timestamp() - 3600)})
    assert (card.state, card.age) == ("first", "1 h ago")
    assert card.score is not None


def test_files_without_patient_and_score_are_listed_below_newest_id_first() -> None:
    stranger = SeverityReport("skipped", ImageInfo(), MODEL, reason="rotated")
    exams = {name: Exam(name, report, NOW.timestamp() - 600) for name, report in
             {"f1": failed_report(), "f2": stranger}.items()}  # fmt: skip
    page = board_of(exams)
    assert page.cards == ()
    assert page.unread == (
        UnreadFile("f2", "No reason was recorded.", "10 min ago"),
        UnreadFile("f1", "The file was cut off.", "10 min ago"),
    )
    assert page.counts["patients"] == 0


def test_a_failed_file_of_a_patient_is_listed_and_a_score_without_a_patient_has_a_card() -> None:
    failed = replace(failed_report(), image=ImageInfo(patient_id="WARD-5"))
    page = board_of(exams_by_id(f=failed, s=scored_report(None)))
    assert [file.exam_id for file in page.unread] == ["f"]
    assert [card.patient for card in page.cards] == ["(no patient id) s"]


def test_who_got_worse_comes_first_however_old_the_images_are() -> None:
    def course(patient: str, day: int, second: str) -> dict[str, SeverityReport]:
        return {
            f"{patient}1": scored_report(patient, f"2026-11-{day - 1}T08:00:00", "111111"),
            f"{patient}2": scored_report(patient, f"2026-11-{day}T08:00:00", second),
        }

    exams = exams_by_id(
        **course("better", 19, "000000"), first1=scored_report("first", "2026-11-18T08:00:00"),
        **course("steady", 17, "111111"), refused1=skipped_report("refused", "2026-11-16T08:00:00"),
        **course("worse", 15, "222222"),
    )  # fmt: skip
    page = board_of(exams)
    assert [card.patient for card in page.cards] == ["worse", "refused", "steady", "first", "better"]
    assert page.counts == {"patients": 5, "worse": 1, "refused": 1, "steady": 1, "first": 1, "better": 1}


def test_within_a_state_the_newest_image_comes_first_and_ids_decide_between_equals() -> None:
    exams = exams_by_id(**{f"n{day}": scored_report(f"P{day}", f"2026-11-{day}T08:00:00") for day in range(11, 19)})
    exams |= exams_by_id(x=scored_report("X", "2026-11-18T08:00:00"))
    found = [card.patient for card in board_of(exams).cards]
    assert found == ["X", *(f"P{day}" for day in range(18, 10, -1))]


def test_a_patient_with_a_score_has_a_card_whatever_became_of_the_other_files() -> None:
    patient, taken = PatientInfo(id="WARD-1"), Moment("2026-11-21T08:00:00", "second")
    failed = replace(failed_report(), patient=patient, acquired=taken)
    page = board_of(exams_by_id(a1=scored_report(), a2=failed))
    assert ([card.state for card in page.cards], page.unread) == (["refused"], ())


def test_the_course_is_drawn_to_a_tenth_and_colours_count_from_zero() -> None:
    exams = exams_by_id(
        a1=scored_report(taken="2026-11-20T00:00:00", grades="000111"),
        a2=scored_report(taken="2026-11-20T08:00:00", grades="000111"),
        a3=scored_report(taken="2026-11-21T00:00:00", grades="000111"),
    )
    card = only_card(exams)
    assert card.spark == ((4.0, 27.3), (41.3, 27.3), (116.0, 27.3))
    assert card.score is not None
    assert card.score.severity == 2


def test_ids_are_hidden_in_privacy_mode() -> None:
    exams = exams_by_id(a1=scored_report("WARD-1"))
    assert only_card(exams).patient == "WARD-1"
    assert only_card(exams, private=True).patient.startswith("Patient ")


@pytest.mark.parametrize("problem", [None, "cannot read reports"])
def test_problems_are_passed_on(problem: str | None) -> None:
    page = board_of({}, problem=problem, unsent=["Results have not arrived at pacs."])
    assert (page.problem, page.unsent) == (problem, ("Results have not arrived at pacs.",))
