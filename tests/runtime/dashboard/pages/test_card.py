"""The card of a patient, field by field."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from exam_makers import MODEL, course_key, courses_of, exams_by_id, labels, scheme_score, scored_report, skipped_report
from partial_scores import without_zones

from lungsev.moment import Moment
from lungsev.report import QualityFlag
from lungsev.runtime.dashboard.pages.card import Card, Score, make_card, signature_of
from lungsev.runtime.patients.history import Exam
from lungsev.standing import Standing

NOW = datetime(2026, 11, 22, 12, 0).astimezone()


def only_card(exams: dict[str, Exam], **options: Any) -> Card:
    (course,) = courses_of(exams).values()
    return make_card(course, labels(**options), NOW)


def test_a_card_shows_who_total_change_course_and_zones() -> None:
    flags = (QualityFlag("tilted", "warn", "The patient is tilted."),)
    newest = scored_report(taken="2026-11-21T08:00:00", grades="012321", flags=flags)
    newest = replace(newest, patient=replace(newest.patient, name="DOE^JANE", birth_date="1961-04-02", sex="F"))
    exams = exams_by_id(a1=scored_report(taken="2026-11-20T08:00:00", grades="000111"), a2=newest)
    card = only_card(exams)
    assert card == Card(
        exam_id="a2",
        alias=f"alias of {course_key('WARD-1')}",
        patient="WARD-1",
        details=("DOE, JANE", "born 2 Apr 1961", "female"),
        state="worse",
        headline=card.headline,
        detail="+6 points in 24 h since the previous X-ray",
        score=Score(
            total=9, total_max=18, interval=(7, 11), signature="", severity=6,
            grades=(("A", 0, 0), ("B", 1, 4), ("C", 2, 8), ("D", 3, 12), ("E", 2, 8), ("F", 1, 4)),
        ),
        spark=((4.0, 27.3), (116.0, 18.0)),
        flags=("The patient is tilted.",),
        refusal=None,
        age="28 h ago",
        taken="21 Nov 2026, 08:00",
        image_count=2,
        last=datetime(2026, 11, 21, 8, 0, 0, 999_999).astimezone(),
    )  # fmt: skip
    assert "orse, " in card.headline
    assert card.headline.endswith(" %")
    assert card.said == f"{card.headline}, 9 of 18"


def test_a_first_image_has_neither_change_nor_course() -> None:
    card = only_card(exams_by_id(a1=scored_report()))
    assert (card.state, card.headline, card.detail, card.spark, card.image_count) == ("first", "First X-ray", "", (), 1)


def test_scores_of_two_models_are_not_compared() -> None:
    newer = scored_report(taken="2026-11-21T08:00:00", grades="333333", model=replace(MODEL, version="2.0.0"))
    card = only_card(exams_by_id(a1=scored_report(), a2=newer))
    assert (card.state, card.headline, card.detail) == ("steady", "Scored by another model", "not comparable")


def test_behind_a_red_stop_there_is_no_change_and_no_course() -> None:
    exams = exams_by_id(
        a1=scored_report(grades="000000"), a2=scored_report(taken="2026-11-21T08:00:00", grades="333333")
    )
    stopped = {name: replace(exam, report=replace(exam.report, stop="Two people.")) for name, exam in exams.items()}
    card = only_card(stopped)
    assert (card.state, card.headline, card.detail, card.spark, card.refusal) == (
        "stop", "Check who this is", "", (), "Two people.",
    )  # fmt: skip
    assert card.score is not None
    assert card.said == "Check who this is, 18 of 18: Two people."


def test_a_refused_newest_image_says_why_and_keeps_the_score_of_the_previous_one() -> None:
    flags = (QualityFlag("lungs_not_found", "refuse", "No lungs."),)
    refused = replace(skipped_report(), quality=replace(skipped_report().quality, flags=flags))
    exams = exams_by_id(a1=scored_report("WARD-2", "2026-11-20T08:00:00"), a2=refused)
    card = only_card(exams)
    assert (card.exam_id, card.state, card.headline, card.detail) == ("a2", "refused", "Newest X-ray has no score", "")
    assert card.refusal == "This is not a frontal chest radiograph."
    assert card.score is not None
    assert (card.score.total, card.taken, card.flags) == (9, "21 Nov 2026, 10:00", ())


def test_a_patient_without_any_score_has_a_card_without_a_number() -> None:
    card = only_card(exams_by_id(a=replace(skipped_report(), message=None)))
    assert (card.state, card.score, card.spark, card.refusal) == ("refused", None, (), "No reason was recorded.")


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


def test_a_long_course_is_drawn_by_its_newest_images() -> None:
    exams = exams_by_id(**{f"a{i:02d}": scored_report(taken=f"2026-11-{i:02d}T08:00:00") for i in range(1, 29)})
    assert len(only_card(exams).spark) == 24


def test_a_time_that_is_not_known_is_not_made_up() -> None:
    day = only_card(exams_by_id(a=replace(scored_report(), acquired=Moment("2026-11-22", "day"))))
    assert (day.taken, day.age) == ("22 Nov 2026, time not recorded", "today")


def test_ids_names_and_dates_of_birth_are_hidden_in_privacy_mode() -> None:
    report = scored_report()
    report = replace(report, patient=replace(report.patient, name="DOE^JANE", birth_date="1961-04-02"))
    card = only_card(exams_by_id(a=report), private=True)
    assert (card.patient, card.details) == ("Patient ALIAS ", ())
    assert "doe" not in card.found_by


def test_a_signature_names_the_reader_and_the_models_total_where_it_differs() -> None:
    report = scored_report()
    for standing, words in (
        (Standing(), ""),
        (Standing("agreed", by="Dr A"), "agreed by Dr A"),
        (Standing("corrected", by="Dr A"), "corrected by Dr A, model said 9"),
        (Standing("corrected"), "corrected by a reader, model said 9"),
        (Standing("superseded", by="Dr A"), ""),
    ):
        assert signature_of(replace(report, standing=standing), 9) == words


def test_a_sum_of_five_zones_is_shown_out_of_fifteen_and_is_no_point_of_the_course() -> None:
    exams = exams_by_id(
        a1=scored_report(taken="2026-11-19T08:00:00", grades="000111"),
        a2=scored_report(taken="2026-11-20T08:00:00", grades="012321"),
        a3=without_zones(scored_report(taken="2026-11-21T08:00:00", grades="012321"), "C"),
    )
    card = only_card(exams)
    assert card.score is not None
    assert (card.score.total, card.score.words, card.score.likely) == (None, "7 of 15 (5 of 6 zones)", (5, 9))
    assert card.score.grades[2] == ("C", None, "none")
    assert card.said.endswith(", 7 of 15 (5 of 6 zones)")
    assert (len(card.spark), card.spark_is_current) == (2, False)
    assert card.state == "steady"
