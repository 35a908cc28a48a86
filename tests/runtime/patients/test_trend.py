"""A patient's course: what stands of every image, and which changes are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from exam_makers import MODEL, WRITTEN_AT, course_exam, exams_by_id, scheme_score, scored_report
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import MEASURED
from partial_scores import with_lungs, without_zones

from lungsev.change import change_sentence, change_words
from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.report import ImageInfo, QualityFlag, SeverityReport
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.trend import Trend, patient_trend
from lungsev.runtime.patients.trend_sentences import headline
from lungsev.schemes import load_scheme
from lungsev.standing import Change, Standing


def trend_of(*exams: Exam) -> Trend:
    trend = patient_trend(exams)
    assert trend is not None
    return trend


def directions(totals: Sequence[int], hours: float = 24) -> list[str | None]:
    trend = trend_of(*(course_exam(total, hours * i) for i, total in enumerate(totals)))
    return [point.change.direction if point.change else None for point in trend.points]


def signed(exam: Exam, total: int, reader: str = "Dr A") -> Exam:
    """The exam with grades that a reader signed."""
    codes = [region.code for region in load_scheme("brixia").regions]
    grades = {code: max(0, min(3, total - 3 * i)) for i, code in enumerate(codes)}
    return replace(exam, report=replace(exam.report, standing=Standing("corrected", 2, {"brixia": grades}, reader)))


def at(exam: Exam, moment: str) -> Exam:
    return replace(exam, report=replace(exam.report, acquired=Moment.from_iso(moment)))


def test_a_change_is_called_by_its_probability_and_not_by_its_points_alone() -> None:
    assert directions([6, 12]) == [None, "worse"]
    assert directions([12, 6]) == [None, "better"]
    assert directions([6, 8]) == [None, "none"]
    assert directions([6, 9], hours=2) == [None, "none"]
    assert directions([6, 9], hours=240) == [None, "worse"]


def test_a_point_says_points_hours_probability_and_words_against_the_previous_image() -> None:
    trend = trend_of(course_exam(5, 0, name="a"), course_exam(11, 17.51, name="b"))
    change = trend.points[1].change
    assert change is not None
    assert change == Change("worse", change.words, trend.points[1].worse, 6, "a", 17.51)
    assert change.words == change_words("worse", change.probability or 0.0)
    assert (trend.points[1].since_previous, trend.points[1].hours_since_previous) == (6, 17.5)
    assert trend.points[0].change is trend.points[0].worse is None
    assert trend.call_from == MEASURED.call_from


def with_extent(exam: Exam, lungs: str) -> Exam:
    """The exam with a second scheme, which its repeatability weighs four times as much a point as the shown one."""
    measured = replace(MEASURED, evidence=(("brixia", 0.4), ("ralo", 1.6)))
    scores = {
        "brixia": replace(exam.report.scores["brixia"], repeatability=measured),
        "ralo": scheme_score(lungs, "ralo"),
    }
    return replace(exam, report=replace(exam.report, scores=scores))


def test_a_second_scheme_tells_a_change_but_never_against_the_shown_totals() -> None:
    assert directions([6, 8]) == [None, "none"]
    before = with_extent(course_exam(6, 0), "11")
    called = trend_of(before, with_extent(course_exam(8, 24), "44")).points
    still = trend_of(before, with_extent(course_exam(6, 24), "44")).points
    assert [point.change.direction if point.change else None for point in called] == [None, "worse"]
    assert called[1].since_previous == 2
    assert still[1].change is not None
    assert still[1].change.direction == "none"
    assert (still[1].worse or 0) > MEASURED.call_from
    assert still[1].level > still[0].level > 0  # type: ignore[operator]


def test_a_slow_drift_is_told_since_the_image_where_it_began() -> None:
    trend = trend_of(*(course_exam(total, 24 * i, name=f"i{i}") for i, total in enumerate([4, 5, 6, 7, 8, 9])))
    assert {point.change.direction for point in trend.points if point.change} == {"none"}
    drifts = [point.drift for point in trend.points]
    first = next(i for i, drift in enumerate(drifts) if drift)
    drift = drifts[first]
    assert drift is not None
    assert (drift.direction, drift.against, drift.points) == ("worse", "i0", first)
    assert trend.points[first].drift_since == trend.points[0].moment
    assert trend.points[first].called is drift
    told = trend.points[first].change
    assert told is not None
    assert told.words == f"no clear change; {drift.words}, since 2026-03-02 08:15"
    assert all(later is None or later.against != "i0" for later in drifts[first + 1 :])  # it starts again there


def test_a_change_is_called_once_and_not_again_while_it_lasts() -> None:
    trend = trend_of(*(course_exam(total, 24 * i) for i, total in enumerate([2, 9, 9, 9])))
    assert [point.called.direction if point.called else None for point in trend.points] == [None, "worse", None, None]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 18), min_size=1, max_size=8), st.randoms())
def test_order_of_arrival_does_not_matter(totals: list[int], chance) -> None:
    exams = [course_exam(total, 24 * day, written_at=chance.random()) for day, total in enumerate(totals)]
    shuffled = list(exams)
    chance.shuffle(shuffled)
    assert patient_trend(shuffled) == patient_trend(exams)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 18), min_size=2, max_size=8))
def test_no_called_change_contradicts_the_shown_totals(totals: list[int]) -> None:
    trend = trend_of(*(course_exam(total, 24 * day) for day, total in enumerate(totals)))
    by_id = {point.id: point for point in trend.points}
    for point in trend.points:
        if point.called is not None:
            moved = point.total - by_id[point.called.against or ""].total
            assert point.called.points == moved
            assert moved > 0 if point.called.direction == "worse" else moved < 0


def test_a_single_image_that_returns_stands_out() -> None:
    trend = trend_of(*(course_exam(total, 24 * i) for i, total in enumerate([6, 6, 14, 6, 6])))
    assert [point.stands_out for point in trend.points] == [False, False, True, False, False]


def test_every_image_has_a_smoothed_level_within_its_band() -> None:
    trend = trend_of(*(course_exam(total, 24 * i) for i, total in enumerate([6, 8, 7, 9])))
    for point in trend.points:
        assert point.level is not None
        assert point.band is not None
        assert point.band[0] < point.level < point.band[1]


def test_another_view_is_marked_and_another_model_is_not_compared() -> None:
    newer = replace(MODEL, bundle_sha256="1a" * 32)
    trend = trend_of(
        course_exam(5, 0),
        course_exam(12, 24, view="PA"),
        course_exam(15, 48, view="PA", model=newer),
        course_exam(15, 72, model=newer),
    )
    assert [point.view_changed for point in trend.points] == [False, True, False, True]
    assert [point.model_changed for point in trend.points] == [False, False, True, False]
    assert [point.change and point.change.direction for point in trend.points] == [None, "worse", "unknown", "none"]
    assert trend.points[2].change is not None
    assert trend.points[2].change.words == "scored by another model: not comparable"
    assert trend.points[2].worse is None


def test_a_model_that_was_not_measured_calls_nothing() -> None:
    exams = []
    for exam in (course_exam(2, 0), course_exam(16, 24)):
        score = replace(exam.report.scores["brixia"], repeatability=None)
        exams.append(replace(exam, report=replace(exam.report, scores={"brixia": score})))
    trend = trend_of(*exams)
    assert trend.call_from is None
    assert trend.points[1].change is not None
    assert trend.points[1].change.direction == "unknown"
    assert trend.points[1].change.words.startswith("not settled")
    assert trend.points[1].level is None
    assert trend.points[1].region_changes == ()


def test_what_a_reader_signed_is_what_is_compared() -> None:
    trend = trend_of(course_exam(12, 0), signed(course_exam(12, 24), 1))
    assert [point.total for point in trend.points] == [12, 1]
    assert (trend.points[1].state, trend.points[1].total_interval) == ("corrected", None)
    assert trend.points[1].change is not None
    assert (trend.points[1].change.direction, trend.points[1].change.points) == ("better", -11)
    assert trend.points[1].grades == {"A": 1, "B": 0, "C": 0, "D": 0, "E": 0, "F": 0}


def test_a_reader_who_agrees_leaves_the_models_distribution() -> None:
    second = course_exam(10, 24)
    plain = trend_of(course_exam(6, 0), second)
    grades = {"brixia": {region.code: region.grade for region in second.report.scores["brixia"].regions}}
    agreed = replace(second, report=replace(second.report, standing=Standing("agreed", 2, grades, "Dr A")))
    found = trend_of(course_exam(6, 0), agreed)
    assert found.points[1].worse == plain.points[1].worse
    assert found.points[1].state == "agreed"


def test_a_superseded_image_is_not_in_the_course() -> None:
    gone = course_exam(14, 24)
    gone = replace(gone, report=replace(gone.report, standing=Standing("superseded", 2, superseded_by="c")))
    assert [point.total for point in trend_of(course_exam(5, 0), gone, course_exam(6, 48)).points] == [5, 6]


def test_two_images_of_one_day_without_hours_have_no_order_and_no_direction() -> None:
    first, second = (at(course_exam(total, 0, name=name), "2026-03-02") for total, name in ((3, "a"), (15, "b")))
    trend = trend_of(first, second, course_exam(15, 48, name="c"))
    assert trend.points[1].change is not None
    assert trend.points[1].change.words == "same day, order unknown"
    assert trend.points[1].hours_since_previous is None
    assert trend.points[2].change is not None
    assert trend.points[2].change.direction in ("none", "worse")
    assert trend.points[2].hours_since_previous == pytest.approx(44.2, abs=0.1)  # from the middle of the day


def test_a_date_and_an_hour_of_the_same_day_have_no_order_and_one_of_the_next_day_has() -> None:
    dated = at(course_exam(3, 0, name="a"), "2026-03-02")
    same, next_day = course_exam(12, 6, name="b"), course_exam(12, 20, name="b")
    for other, known in ((same, False), (next_day, True)):
        change = trend_of(dated, other).points[1].change
        assert change is not None
        assert (change.hours is not None) == known


def test_a_drift_is_not_told_since_an_image_that_may_be_later() -> None:
    dated = at(course_exam(0, -8, name="a"), "2026-03-02")
    morning, night = course_exam(7, 0, name="b"), course_exam(9, 15, name="c")
    unordered = trend_of(dated, morning, night).points[2]
    ordered = trend_of(course_exam(0, -8, name="a"), morning, night).points
    assert unordered.change is not None
    assert (unordered.change.direction, unordered.drift) == ("none", None)
    assert ordered[1].called is not None


def test_images_that_name_different_people_are_shown_and_not_compared() -> None:
    stop = "These images name different people."
    exams = [course_exam(3, 0), course_exam(15, 24)]
    trend = trend_of(exams[0], replace(exams[1], report=replace(exams[1].report, stop=stop)))
    assert trend.stop == stop
    assert trend.points[1].change is not None
    assert trend.points[1].change.direction == "unknown"
    assert trend.points[1].change.words == "the images name different people: not compared"
    assert trend.points[1].level is None
    assert [point.total for point in trend.points] == [3, 15]


def test_a_zone_that_changed_is_named_with_its_words() -> None:
    trend = trend_of(course_exam(3, 0), course_exam(6, 24))
    (zone,) = trend.points[1].region_changes
    assert (zone.code, zone.name, zone.before, zone.after) == ("B", "right middle zone", 0, 3)
    assert "worse, " in zone.words


def test_an_image_scored_twice_counts_once_with_its_newest_report() -> None:
    trend = trend_of(course_exam(5, 0, name="a", uid="1.2.3"), course_exam(7, 0, name="b", uid="1.2.3", written_at=9.0))
    assert [point.total for point in trend.points] == [7]
    at_once = trend_of(course_exam(7, 0, name="b", uid="1.2.3"), course_exam(5, 0, name="a", uid="1.2.3"))
    assert [(point.id, point.total) for point in at_once.points] == [("b", 7)]


def test_a_reused_uid_with_other_pixels_or_another_time_is_another_image() -> None:
    first, later = course_exam(5, 0, name="a", uid="1.2.3"), course_exam(7, 24, name="b", uid="1.2.3")
    assert [point.total for point in trend_of(first, later).points] == [5, 7]
    other = replace(
        first, id="b", report=replace(first.report, image=replace(first.report.image, pixel_sha256="0" * 64))
    )
    assert len(trend_of(first, other).points) == 2


def test_images_without_a_date_or_a_score_have_no_place_but_are_counted() -> None:
    person = PatientInfo(id="PHANTOM-1")
    skipped = SeverityReport("skipped", ImageInfo(), reason="rotated", message="Turned.", patient=person)
    twin = Exam("twin", replace(skipped, reason="duplicate"), WRITTEN_AT)
    trend = trend_of(course_exam(5, 0), course_exam(9, None, name="undated"), Exam("no", skipped, WRITTEN_AT), twin)
    assert (len(trend.points), trend.undated, trend.unscored) == (1, ("undated",), 1)
    assert patient_trend([Exam("no", skipped, WRITTEN_AT)]) is None
    assert patient_trend([]) is None
    only_undated = trend_of(course_exam(9, None, name="undated"))
    assert (only_undated.points, only_undated.call_from) == ((), None)


def test_a_point_holds_what_is_known_of_its_image() -> None:
    flags = (QualityFlag("tilted", "warn", "The patient is tilted."),)
    second = scored_report(taken="2026-11-21T08:00:00", grades="012321", view="PA", flags=flags)
    trend = trend_of(*exams_by_id(a=scored_report(grades="000111"), b=second).values())
    assert (trend.scheme, trend.total_max, trend.grades) == ("brixia", 18, (0, 1, 2, 3))
    point = trend.points[1]
    assert point.acquired_at == datetime(2026, 11, 21, 8).astimezone()
    assert point.moment.at == "2026-11-21T08:00:00"
    assert (point.view, point.model) == ("PA", "lungsev-brixia 1.2.0 (0f0f0f0f)")
    assert point.grades == {"A": 0, "B": 1, "C": 2, "D": 3, "E": 2, "F": 1}
    assert (point.total, point.total_interval, point.state) == (9, (7, 11), "model")
    assert point.quality_messages == ("The patient is tilted.",)
    assert trend.point("b") is point
    assert trend.point("c") is None


def test_without_a_name_the_main_scheme_of_the_newest_image_is_taken() -> None:
    inha = scored_report(taken="2026-11-21T08:00:00", grades="1355", scheme="inha")
    exams = list(exams_by_id(a=scored_report(), b=inha).values())
    newest, brixia = patient_trend(exams), patient_trend(exams, "brixia")
    assert newest is not None
    assert brixia is not None
    assert (newest.scheme, newest.grades, [point.id for point in newest.points]) == ("inha", (1, 2, 3, 4, 5), ["b"])
    assert (brixia.scheme, [point.id for point in brixia.points]) == ("brixia", ["a"])
    assert patient_trend(exams, "ralo") is None


def of_five(exam: Exam) -> Exam:
    """The exam with zone C not assessable."""
    return replace(exam, report=without_zones(exam.report, "C"))


def test_a_sum_of_five_zones_is_never_compared_with_a_total_of_six() -> None:
    trend = trend_of(course_exam(12, 0), of_five(course_exam(12, 24)), course_exam(12, 48), course_exam(12, 72))
    assert [point.total for point in trend.points] == [12, None, 12, 12]
    assert [point.since_previous for point in trend.points] == [None, 0, 0, 0], "zone C is no change"
    assert [point.level is None for point in trend.points] == [False, True, False, False]
    partial = trend.points[1]
    assert partial.partial is not None
    assert (trend.words(partial), trend.words(trend.points[0])) == ("9 of 15 (5 of 6 zones)", "12 of 18")
    assert (trend.possible(partial), trend.possible(trend.points[0])) == ((9, 12), None)
    assert partial.change is not None
    assert partial.change.words == "no clear change (5 of 6 zones)"
    assert partial.grades["C"] is None


def test_a_change_is_called_by_the_zones_that_both_images_have() -> None:
    trend = trend_of(course_exam(6, 0), of_five(course_exam(14, 24)))
    change = trend.points[-1].change
    assert change is not None
    assert (change.direction, change.points) == ("worse", 5), "3 3 - 3 2 0 after 3 3 0 0 0 0"
    assert "C" not in {zone.code for zone in trend.points[-1].region_changes}


def test_images_without_a_zone_in_common_have_no_points_between_them() -> None:
    upper, lower = course_exam(12, 0), course_exam(12, 24)
    trend = trend_of(
        replace(upper, report=without_zones(upper.report, "DEF")),
        replace(lower, report=without_zones(lower.report, "ABC")),
    )
    change = trend.points[-1].change
    assert change is not None
    assert (change.direction, change.points) == ("unknown", None)
    assert change_sentence(change) == "Not comparable: no zone has a grade on both images."
    shown = headline(trend.points[-1])
    assert (shown.text, shown.detail) == ("Not comparable", "no zone has a grade on both images")


def test_the_course_is_that_of_the_main_scheme_whatever_others_there_are() -> None:
    exams = [course_exam(6, 0), course_exam(12, 24)]
    both = [replace(exam, report=with_lungs(exam.report)) for exam in exams]
    assert trend_of(*both).scheme == "brixia"
    assert [point.total for point in trend_of(*both).points] == [6, 12]
    lungs = patient_trend(both, "ralo")
    assert lungs is not None
    assert [point.total for point in lungs.points] == [3, 3]
