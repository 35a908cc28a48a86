"""The yardstick without a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from graded_runs import predictions

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.baseline import QUANTILES, SCALES_PX, handcrafted_metrics, region_features, two_point

SCHEME = load_scheme("brixia")
RNG = np.random.default_rng(0)


def test_features_without_a_network_find_what_is_bright() -> None:
    grades = RNG.integers(0, 4, (40, 6)).astype(float)
    crops = []
    for row in grades:
        crop = RNG.normal(0.2, 0.02, (64, 64))
        for region, grade in zip(SCHEME.regions, row, strict=True):
            y0, x0, y1, x1 = (round(edge * 64) for edge in region.box)
            crop[y0:y1, x0:x1] += 0.15 * grade
        crops.append(crop.astype(np.float32))
    folds = [list(range(start, 40, 4)) for start in range(4)]
    graded = replace(predictions(40, 0), readings={"senior": grades})
    found = handcrafted_metrics(crops, graded, folds)
    assert found["kappa"] > 0.7
    assert found["total_r"] > 0.8
    shuffled = replace(graded, readings={"senior": grades[RNG.permutation(40)]})
    assert handcrafted_metrics(crops, shuffled, folds)["kappa"] < 0.3


def test_a_regions_features_stand_beside_those_of_the_whole_crop() -> None:
    crop = np.zeros((64, 64), np.float32)
    y0, x0, y1, x1 = (round(edge * 64) for edge in SCHEME.regions[2].box)
    crop[y0:y1, x0:x1] = 0.5
    features = region_features(crop, SCHEME)
    one = 2 + len(QUANTILES) + len(SCALES_PX)
    assert features.shape == (6, 2 * one + 2)
    assert features[2, 0] == 0.5
    assert (features[2, 1], features[2, 4]) == (0.0, 0.5)
    np.testing.assert_array_equal(features[:, one], np.full(6, features[0, one]))


def test_a_ridge_value_between_grades_is_kept_as_the_mean_of_two() -> None:
    said = np.array([[0.25, 3.4, -1.0, 2.0, 1.5, 0.0]])
    found = two_point(said, SCHEME)
    np.testing.assert_allclose(found @ np.arange(4), [[0.25, 3.0, 0.0, 2.0, 1.5, 0.0]])
    assert found[0, 0].tolist() == [0.75, 0.25, 0.0, 0.0]
