"""What an image is taught: predicted zones rescaled to their lung, and a teacher's total."""

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
from lungsev.train.tasks.joint.targets import teacher_totals, tilted

BRIXIA = load_scheme("brixia")


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
