"""The cohort is like a hospital series, and its readers differ as radiologists do."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from lungsev.phantom.datasets.cohort import draw_cohort, most_frequent, read_lungs, read_quadrants, read_zones


def test_cohort_is_like_a_hospital_series() -> None:
    radiographs = draw_cohort(60, seed=5)
    assert len(radiographs) == 60
    per_patient = Counter(radiograph.patient for radiograph in radiographs)
    assert 1 in per_patient.values()
    assert max(per_patient.values()) > 1
    for earlier, later in itertools.pairwise(radiographs):
        if earlier.patient == later.patient:
            assert earlier.acquired_at < later.acquired_at
    assert {grade for radiograph in radiographs for grade in radiograph.truth} == {0, 1, 2, 3}


def test_readers_agree_about_as_often_as_radiologists_do() -> None:
    radiographs = draw_cohort(150, seed=8)
    senior, junior = (np.array([read_zones(radiograph, reader) for radiograph in radiographs]) for reader in (0, 1))
    agreement = float((senior == junior).mean())
    assert 0.5 < agreement < 0.75
    assert np.abs(senior - junior).mean() < 0.6
    assert {grade for radiograph in radiographs for grade in read_quadrants(radiograph, 0)} == {1, 2, 3, 4, 5}
    assert {grade for radiograph in radiographs for pair in read_lungs(radiograph, 0) for grade in pair} == {
        0,
        1,
        2,
        3,
        4,
    }
    assert most_frequent([2, 1, 1, 2, 0]) == 1
