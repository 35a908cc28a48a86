from __future__ import annotations

from dataclasses import replace

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
    fold_of,
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
    first = replace(COURSE[0], day=6 + 22 / 24, readings={"extent": (2.0, 3.0)})
    second = replace(first, day=7 + 1 / 24, readings={"extent": (6.0, 7.5)})
    pair = Pair(first, second)
    assert pair.hours == pytest.approx(3)
    assert not pair.same_date
    assert pair.reader_changes("extent") == (4.0, 4.5)
    assert pair.mean_change("extent") == 4.25
    assert Pair(first, replace(second, readings={})).reader_changes("extent") == ()
    assert Pair(first, replace(second, readings={})).mean_change("extent") is None


def test_the_fold_of_a_patient_follows_from_the_id_alone() -> None:
    folds = [fold_of(f"S{number}", 5) for number in range(500)]
    assert folds == [fold_of(f"S{number}", 5) for number in range(500)]
    assert all(folds.count(fold) == pytest.approx(100, abs=35) for fold in range(5))
    assert folds != [fold_of(f"S{number}", 5, "other ") for number in range(500)]


def test_changes_are_judged_for_each_pair_alone_and_in_its_course() -> None:
    pairs = consecutive_pairs([COURSE])
    alone, together = changes_alone(pairs, MEASURED), changes_in_course([COURSE], MEASURED)
    assert [change.points for change in alone] == [change.points for change in together]
    assert together[0].worse == pytest.approx(alone[0].worse, abs=0.01)
    assert together[2].worse != pytest.approx(alone[2].worse, abs=1e-6)
