"""What an image is taught: the link from a lung's grades to its zones, and predicted zones rescaled to it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungsev.errors import ConfigError
from lungsev.schemes import load_scheme
from lungsev.train.tasks.joint.settings import LINK, TieSettings
from lungsev.train.tasks.joint.targets import linked, lung_grades, teacher_totals, tilted

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


@given(st.floats(0.2, 8.8), st.integers(0, 100))
def test_zones_are_rescaled_to_the_sum_of_their_lung_and_keep_their_order(total: float, seed: int) -> None:
    before = np.random.default_rng(seed).dirichlet([2.0] * 4, 6)
    after = tilted(before, BRIXIA, (total, np.nan))
    grades = np.arange(4)
    np.testing.assert_allclose((after[:3] @ grades).sum(), total, atol=1e-3)
    np.testing.assert_allclose(after.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(after[3:], before[3:])
    # Odds between two grades move alike in all zones of the lung: what was said of where it is stays.
    moved = np.log(after[:3, 1:] / after[:3, :-1]) - np.log(before[:3, 1:] / before[:3, :-1])
    np.testing.assert_allclose(moved, moved[0, 0], atol=1e-2)


def test_the_teacher_is_found_in_the_table_that_has_its_column(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "a.csv").write_text("film,other\nx.jpg,1\n")
    (tmp_path / "b.csv").write_text("film,bsnet_total\nx.jpg,7\ny.jpg,\n")
    images = [SimpleNamespace(name=name, path=tmp_path / "images" / name) for name in ("x.jpg", "y.jpg", "z.jpg")]
    source: Any = SimpleNamespace(images=images, key="ralo")
    np.testing.assert_array_equal(teacher_totals(source, "bsnet_total"), np.float32([7, np.nan, np.nan]))
    with pytest.raises(ConfigError, match="found no table with nobody"):
        teacher_totals(source, "nobody")
