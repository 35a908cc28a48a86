"""The link from a lung's extent and opacity to the sum of its zones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lungsev.errors import ConfigError
from lungsev.schemes import load_scheme
from lungsev.train.tasks.joint.link import fitted_link, linked, lung_grades, lung_sums
from lungsev.train.tasks.joint.settings import LINK, TieSettings

BRIXIA, RALO, TIE = load_scheme("brixia"), load_scheme("ralo"), TieSettings()


def test_the_link_is_its_table_at_grades_and_linear_between_them() -> None:
    rows, columns = np.meshgrid(np.arange(5.0), np.arange(5.0), indexing="ij")
    np.testing.assert_allclose(linked(rows, columns, TIE), LINK, atol=1e-6)
    between = linked(np.array([1.5]), np.array([2.0]), TIE)
    assert between[0] == pytest.approx((LINK[1][2] + LINK[2][2]) / 2)
    assert np.isnan(linked(np.array([np.nan, 1.0]), np.array([1.0, np.nan]), TIE)).all()


def test_a_lungs_grade_is_the_mean_of_its_readers_and_unknown_where_none_graded_it() -> None:
    grades = np.zeros((1, 2, 5), np.float32)
    grades[0, 0, [2, 3]] = 0.5
    np.testing.assert_allclose(lung_grades(grades, RALO), [[2.5, np.nan]])
    with pytest.raises(ConfigError, match="one region per lung"):
        lung_grades(np.zeros((1, 6, 4), np.float32), BRIXIA)


def test_the_sum_of_a_lung_is_unknown_where_one_of_its_zones_is() -> None:
    grades = np.zeros((1, 6, 4), np.float32)
    grades[0, range(5), [1, 2, 3, 0, 1]] = 1
    np.testing.assert_allclose(lung_sums(grades, BRIXIA), [[6, np.nan]])


def test_a_fitted_link_follows_the_readers_where_there_are_lungs_and_rises_everywhere() -> None:
    rng = np.random.default_rng(0)
    extent, opacity = rng.uniform(1, 4, (200, 2)), rng.uniform(1, 2, (200, 2))
    sums = 2.0 * extent + rng.normal(0, 0.3, extent.shape)
    sums[0] = np.nan
    link = fitted_link(extent, opacity, sums, TIE)
    assert link[0] == (0.0,) * 5
    found = np.array(link)
    np.testing.assert_allclose(found[1:, 1:3].mean(axis=1), [2, 4, 6, 8], atol=0.35)
    assert all(a <= b for row in link for a, b in pairwise(row))
    assert all(a <= b for column in zip(*link, strict=True) for a, b in pairwise(column))
    TieSettings(link=link)
    with pytest.raises(ConfigError, match="found 4 lungs"):
        fitted_link(extent[:3], opacity[:3], sums[:3], TIE)
