"""Resamples of patients as one product."""

from __future__ import annotations

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.train.evaluation.resampling import percentile_interval, resampled_values, units_of


def test_a_resample_holds_each_patient_with_all_its_images() -> None:
    sums = np.array([[1.0], [10.0], [100.0]])
    draws = resampled_values(lambda total: total[..., 0], [sums], ("a", "b", "a"), 200)
    assert set(draws) == {20.0, 111.0, 202.0}


def test_several_seeds_are_averaged_within_a_resample() -> None:
    sums = [np.array([[1.0], [3.0]]), np.array([[3.0], [1.0]])]
    draws = resampled_values(lambda total: total[..., 0], sums, ("a", "b"), 50)
    assert set(draws) == {4.0}


def test_undefined_draws_are_left_out_of_the_interval() -> None:
    assert percentile_interval(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)
    assert all(np.isnan(percentile_interval(np.array([np.nan]))))


def test_only_patients_or_images_are_drawn() -> None:
    graded = predictions(3, 0)
    assert units_of(graded, "images") == graded.names
    with pytest.raises(ValueError, match="expected a bootstrap over patients or images"):
        units_of(graded, "regions")  # type: ignore[arg-type]
