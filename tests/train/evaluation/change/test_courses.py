from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from graded_courses import simulated_courses
from measured import MEASURED

from lungsev.train.evaluation.change.courses import (
    Pair,
    all_pairs,
    changes_alone,
    changes_in_course,
    consecutive_pairs,
    courses_of,
    is_fit_patient,
)

(COURSE,) = simulated_courses(1, images=4)


def test_images_become_courses_by_patient_and_time_and_a_single_one_is_none() -> None:
    alone = replace(COURSE[0], patient="P9")
    assert courses_of([COURSE[2], alone, COURSE[0], COURSE[1]]) == [COURSE[:3]]


def test_pairs_are_of_neighbours_or_of_every_two() -> None:
    neighbours = [(pair.before.name, pair.after.name) for pair in consecutive_pairs([COURSE])]
    assert neighbours == [("0-0.jpg", "0-1.jpg"), ("0-1.jpg", "0-2.jpg"), ("0-2.jpg", "0-3.jpg")]
    assert len(all_pairs([COURSE])) == 6


def test_a_pair_knows_its_hours_its_dates_and_what_the_readers_saw() -> None:
    first = replace(COURSE[0], taken_at=COURSE[0].taken_at.replace(hour=22), readings={"extent": (2.0, 3.0)})
    second = replace(first, taken_at=first.taken_at + timedelta(hours=3), readings={"extent": (6.0, 7.5)})
    pair = Pair(first, second)
    assert pair.hours == 3
    assert not pair.same_date
    assert pair.reader_changes("extent") == (4.0, 4.5)
    assert Pair(first, replace(second, readings={})).reader_changes("extent") == ()


def test_half_the_patients_are_fitted_on_by_their_id_alone() -> None:
    chosen = [is_fit_patient(f"S{number}") for number in range(400)]
    assert chosen == [is_fit_patient(f"S{number}") for number in range(400)]
    assert sum(chosen) == pytest.approx(200, abs=40)


def test_changes_are_judged_for_each_pair_alone_and_in_its_course() -> None:
    pairs = consecutive_pairs([COURSE])
    alone, together = changes_alone(pairs, MEASURED), changes_in_course([COURSE], MEASURED)
    assert [change.points for change in alone] == [change.points for change in together]
    assert together[0].worse == pytest.approx(alone[0].worse, abs=0.01)
    assert together[2].worse != pytest.approx(alone[2].worse, abs=1e-6)
