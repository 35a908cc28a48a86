"""A patient's course, and which changes are called changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from exam_makers import MODEL, WRITTEN_AT, course_exam, exams_by_id, scored_report
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.report import ImageInfo, QualityFlag, SeverityReport
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.trend import (
    RegionChange,
    TrendPoint,
    patient_trend,
    readers_disagree,
    sentence,
    signed,
    time_positions,
)


def changes(totals: Sequence[int]) -> list[str | None]:
    trend = patient_trend([course_exam(total, 24 * day) for day, total in enumerate(totals)])
    assert trend is not None
    return [point.change for point in trend.points]


def test_up_to_two_points_are_within_what_readers_differ_by() -> None:
    assert changes([6, 8, 6, 4]) == [None, None, None, None]


def test_more_than_two_points_are_a_change() -> None:
    assert changes([6, 9, 6]) == [None, "worse", "better"]


def test_a_slow_drift_is_called_once_it_adds_up() -> None:
    assert changes([4, 5, 6, 7, 8, 9, 10]) == [None, None, None, "worse", None, None, "worse"]
    assert changes([6, 7, 9, 7, 6]) == [None, None, "worse", None, "better"]


def test_a_step_from_the_image_before_is_a_change_even_where_it_leads_back() -> None:
    trend = patient_trend([course_exam(total, 24 * day) for day, total in enumerate([5, 7, 4])])
    assert trend is not None
    assert [point.change for point in trend.points] == [None, None, "better"]
    assert (
        sentence(trend.points[2], 2)
        == "Better by 3 since 03 Mar 08:15: more than the 2 points by which two readers usually differ."
    )
    assert (
        sentence(trend.points[1], 2)
        == "+2 since the previous X-ray: within the 2 points by which two readers usually differ."
    )


def test_a_change_is_not_called_again_while_it_lasts() -> None:
    assert changes([2, 8, 8, 9]) == [None, "worse", None, None]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 18), min_size=1, max_size=12), st.randoms())
def test_order_of_arrival_does_not_matter(totals: list[int], chance) -> None:
    exams = [course_exam(total, 24 * day, written_at=chance.random()) for day, total in enumerate(totals)]
    shuffled = list(exams)
    chance.shuffle(shuffled)
    assert patient_trend(shuffled) == patient_trend(exams)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 18), min_size=2, max_size=12))
def test_every_called_change_is_larger_than_the_readers_disagreement(totals: list[int]) -> None:
    trend = patient_trend([course_exam(total, 24 * day) for day, total in enumerate(totals)])
    assert trend is not None
    by_id = {point.id: point for point in trend.points}
    for point in trend.points[1:]:
        moved = point.total - by_id[point.reference_id or ""].total
        assert point.since_reference == moved
        assert (abs(moved) > 2) == (point.change is not None)


def test_hours_and_points_since_the_image_before() -> None:
    trend = patient_trend([course_exam(5, 0), course_exam(9, 17.5)])
    assert trend is not None
    assert (trend.points[1].since_previous, trend.points[1].hours_since_previous) == (4, 17.5)


def test_another_view_is_marked_and_another_model_is_not_compared() -> None:
    newer = replace(MODEL, bundle_sha256="1a" * 32)
    trend = patient_trend(
        [
            course_exam(5, 0),
            course_exam(9, 24, view="PA"),
            course_exam(15, 48, view="PA", model=newer),
            course_exam(15, 72, model=newer),
        ]
    )
    assert trend is not None
    assert [point.view_changed for point in trend.points] == [False, True, False, True]
    assert [point.model_changed for point in trend.points] == [False, False, True, False]
    assert [point.change for point in trend.points] == [None, "worse", None, None]
    assert "not directly comparable" in sentence(trend.points[2], trend.threshold)


def test_a_zone_that_moved_by_two_grades_is_named() -> None:
    trend = patient_trend([course_exam(3, 0), course_exam(6, 24)])
    assert trend is not None
    assert [(change.code, change.before, change.after) for change in trend.points[1].region_changes] == [("B", 0, 3)]


def test_an_image_scored_twice_counts_once_with_its_newest_report() -> None:
    trend = patient_trend(
        [course_exam(5, 0, name="a", uid="1.2.3"), course_exam(7, 0, name="b", uid="1.2.3", written_at=9.0)]
    )
    assert trend is not None
    assert [point.total for point in trend.points] == [7]


def test_images_without_a_date_or_a_score_have_no_place_but_are_counted() -> None:
    skipped = SeverityReport("skipped", ImageInfo(patient_id="PHANTOM-1"), reason="rotated", message="Turned.")
    trend = patient_trend([course_exam(5, 0), course_exam(9, None, name="undated"), Exam("no", skipped, WRITTEN_AT)])
    assert trend is not None
    assert (len(trend.points), trend.undated, trend.unscored) == (1, ("undated",), 1)
    assert patient_trend([Exam("no", skipped, WRITTEN_AT)]) is None
    assert patient_trend([]) is None


@pytest.mark.parametrize(("total_max", "threshold"), [(18, 2), (36, 4), (20, 2), (8, 1), (1, 1)])
def test_the_threshold_follows_the_schemes_range(total_max: int, threshold: int) -> None:
    assert readers_disagree(total_max) == threshold


def test_a_point_holds_all_that_is_known_of_its_image() -> None:
    flags = (QualityFlag("tilted", "warn", "The patient is tilted."),)
    second = scored_report(taken="2026-11-21T08:00:00", grades="012321", view="PA", flags=flags)
    trend = patient_trend(list(exams_by_id(a=scored_report(grades="000111"), b=second).values()))
    assert trend is not None
    assert (trend.scheme, trend.total_max, trend.grades, trend.threshold) == ("brixia", 18, (0, 1, 2, 3), 2)
    assert trend.points[1] == TrendPoint(
        id="b", acquired_at=datetime(2026, 11, 21, 8).astimezone(), view="PA", model="lungsev-brixia 1.2.0 (0f0f0f0f)",
        grades={"A": 0, "B": 1, "C": 2, "D": 3, "E": 2, "F": 1}, total=9, total_interval=(7, 11), since_previous=6,
        hours_since_previous=24.0, since_reference=6, reference_id="a",
        reference_at=datetime(2026, 11, 20, 8).astimezone(),
        change="worse", region_changes=(RegionChange("C", "right lower zone", 0, 2),
                                        RegionChange("D", "left upper zone", 1, 3)),
        view_changed=True, model_changed=False, quality_messages=("The patient is tilted.",),
    )  # fmt: skip
    assert trend.point("b") is trend.points[1]
    assert trend.point("c") is None


def test_sentences_name_change_reference_view_and_model() -> None:
    newer = replace(MODEL, version="2.0.0")
    trend = patient_trend(
        [course_exam(5, 0), course_exam(9, 24, view=None), course_exam(9, 48, view=None, model=newer),
         course_exam(9, 72, view=None, model=newer)]
    )  # fmt: skip
    assert trend is not None
    assert [sentence(point, trend.threshold) for point in trend.points] == [
        "First X-ray of the course.",
        "Worse by 4 since 02 Mar 08:15: more than the 2 points by which two readers usually differ. "
        "Different view from the previous X-ray (not recorded).",
        "±0 since the previous X-ray. Scored by another model: not directly comparable.",
        "±0 since the previous X-ray: within the 2 points by which two readers usually differ.",
    ]
    assert sentence(trend.points[3], 1).endswith("within the 1 point by which two readers usually differ.")


def test_json_holds_plain_types_and_a_sentence_for_each_point() -> None:
    trend = patient_trend([course_exam(5, 0), course_exam(9, 24)])
    assert trend is not None
    data = json.loads(json.dumps(trend.to_dict()))
    assert [point["acquired_at"][:19] for point in data["points"]] == ["2026-03-02T08:15:00", "2026-03-03T08:15:00"]
    assert [point["reference_at"] for point in data["points"]] == [None, data["points"][0]["acquired_at"]]
    assert [point["sentence"] for point in data["points"]] == [sentence(point, 2) for point in trend.points]


def test_without_a_name_the_main_scheme_of_the_newest_image_is_taken() -> None:
    inha = scored_report(taken="2026-11-21T08:00:00", grades="1355", scheme="inha")
    exams = list(exams_by_id(a=scored_report(), b=inha).values())
    newest, brixia = patient_trend(exams), patient_trend(exams, "brixia")
    assert newest is not None
    assert brixia is not None
    assert (newest.scheme, newest.grades, [point.id for point in newest.points]) == ("inha", (1, 2, 3, 4, 5), ["b"])
    assert (brixia.scheme, [point.id for point in brixia.points]) == ("brixia", ["a"])
    assert patient_trend(exams, "ralo") is None


def test_hours_are_rounded_to_a_tenth_and_signs_are_written() -> None:
    trend = patient_trend([course_exam(5, 0), course_exam(5, 1.27)])
    assert trend is not None
    assert trend.points[1].hours_since_previous == 1.3
    assert [signed(number) for number in (3, 0, -3)] == ["+3", "±0", "-3"]


def test_positions_follow_the_time_and_keep_apart() -> None:
    trend = patient_trend([course_exam(5, hours) for hours in (0, 0.1, 24, 95, 96)])
    assert trend is not None
    assert time_positions(trend.points, 10, 106) == pytest.approx([10, 10.1, 34, 105, 106])
    assert time_positions(trend.points, 10, 106, 5) == pytest.approx([10, 15, 34, 101, 106])
    assert time_positions(trend.points, 10, 106, 1000) == pytest.approx([10, 34, 58, 82, 106])
    assert time_positions(trend.points[:1], 10, 106, 5) == [10]
    assert time_positions((), 10, 106, 5) == []
    twins = patient_trend([course_exam(5, 0, name="a"), course_exam(6, 0, name="b")])
    assert twins is not None
    assert time_positions(twins.points, 10, 106, 5) == [10, 15]


def test_two_points_take_the_ends_a_second_apart_and_at_one_time() -> None:
    second, twins = (
        patient_trend([course_exam(5, 0, name="a"), course_exam(6, hours, name="b")]) for hours in (1 / 3600, 0)
    )
    assert second is not None
    assert twins is not None
    assert time_positions(second.points, 10, 106) == [10, 106]
    assert time_positions(twins.points, 10, 106, 1000) == [10, 106]


def test_of_two_reports_written_at_once_the_later_id_counts() -> None:
    exams = [course_exam(7, 0, name="b", uid="1.2.3"), course_exam(5, 0, name="a", uid="1.2.3")]
    trend = patient_trend(exams)
    assert trend is not None
    assert [(point.id, point.total) for point in trend.points] == [("b", 7)]
