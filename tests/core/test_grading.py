"""From probabilities to grades, totals and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lungsev.geometry import IDENTITY_THETA, CanvasFrame
from lungsev.grading import Calibration, central_quantiles, decode, grade_indices, total_distribution, total_interval
from lungsev.report import SchemeScore
from lungsev.schemes import builtin_schemes, load_scheme

FRAME = CanvasFrame(rows=1024, columns=1024, size_px=512, scale=0.5, offset_px=(0.0, 0.0))
BRIXIA = load_scheme("brixia")

distributions = hnp.arrays(np.float64, (6, 4), elements=st.floats(0.001, 1.0)).map(
    lambda rows: rows / rows.sum(axis=1, keepdims=True)
)


def brixia(probabilities: np.ndarray, **calibration: object) -> SchemeScore:
    return decode(BRIXIA, probabilities, IDENTITY_THETA, FRAME, Calibration.model_validate(calibration))


def certain(grades: list[int]) -> np.ndarray:
    return np.eye(4)[grades]


def test_certain_probabilities_give_their_grades_and_a_point_interval() -> None:
    score = brixia(certain([0, 1, 2, 3, 2, 1]))
    assert [region.grade for region in score.regions] == [0, 1, 2, 3, 2, 1]
    assert [region.likely for region in score.regions] == [(0, 0), (1, 1), (2, 2), (3, 3), (2, 2), (1, 1)]
    assert (score.total, score.total_expected, score.total_interval, score.total_max) == (9, 9.0, (9, 9), 18)


def test_regions_keep_the_schemes_order_codes_and_side() -> None:
    score = brixia(certain([0] * 6))
    assert "".join(region.code for region in score.regions) == "ABCDEF"
    middle = FRAME.columns / 2
    for region in score.regions:
        centre_x = np.mean([x for x, _ in region.polygon])
        assert (centre_x < middle) == region.name.startswith("right"), "the patient's right is on the image's left"


def test_polygons_follow_the_alignment_into_image_pixels() -> None:
    half = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    region = decode(BRIXIA, certain([0] * 6), half, FRAME, Calibration()).regions[0]
    assert region.polygon == ((256.0, 256.0), (512.0, 256.0), (512.0, 460.8), (256.0, 460.8))


@settings(max_examples=40, deadline=None)
@given(distributions)
def test_total_and_expectation_agree_with_the_regions(probabilities: np.ndarray) -> None:
    score = brixia(probabilities)
    assert score.total == sum(region.grade for region in score.regions)
    assert score.total_expected == pytest.approx(sum(region.expected for region in score.regions), abs=0.02)
    assert 0 <= score.total_interval[0] <= score.total <= score.total_interval[1] <= 18


@settings(max_examples=40, deadline=None)
@given(distributions)
def test_the_likely_range_holds_the_grade_and_enough_mass(probabilities: np.ndarray) -> None:
    for row, region in zip(probabilities, brixia(probabilities).regions, strict=True):
        low, high = region.likely
        assert low <= region.grade <= high
        assert row[low : high + 1].sum() >= 0.8 - 1e-6


@settings(max_examples=40, deadline=None)
@given(distributions)
def test_the_totals_distribution_is_the_convolution_of_the_regions(probabilities: np.ndarray) -> None:
    total = total_distribution(BRIXIA, probabilities)
    assert total.shape == (19,)
    assert total.sum() == pytest.approx(1.0)
    assert total @ np.arange(19) == pytest.approx((probabilities @ np.arange(4)).sum())
    variance = sum(row @ np.arange(4) ** 2 - (row @ np.arange(4)) ** 2 for row in probabilities)
    assert total @ np.arange(19) ** 2 - (total @ np.arange(19)) ** 2 == pytest.approx(variance, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(distributions, st.floats(0.0, 3.0))
def test_a_margin_only_widens_the_interval(probabilities: np.ndarray, margin: float) -> None:
    plain = total_interval(BRIXIA, probabilities, Calibration())
    wider = total_interval(BRIXIA, probabilities, Calibration(interval_margin=margin))
    assert wider[0] <= plain[0]
    assert wider[1] >= plain[1]


@settings(max_examples=40, deadline=None)
@given(distributions, st.floats(-9.0, 0.0))
def test_a_negative_margin_never_turns_the_interval_over(probabilities: np.ndarray, margin: float) -> None:
    low, high = total_interval(BRIXIA, probabilities, Calibration(interval_margin=margin))
    assert 0 <= low <= high <= 18


@settings(max_examples=40, deadline=None)
@given(distributions)
def test_median_and_argmax_pick_grades_the_distribution_supports(probabilities: np.ndarray) -> None:
    below = probabilities.cumsum(axis=1)
    for row, index in zip(below, grade_indices(probabilities, "median"), strict=True):
        assert row[index] >= 0.5 - 1e-6
        assert index == 0 or row[index - 1] < 0.5
    assert (grade_indices(probabilities, "argmax") == probabilities.argmax(axis=1)).all()


def test_median_and_argmax_differ_where_the_distribution_is_skewed() -> None:
    row = np.array([[0.4, 0.15, 0.15, 0.3]])
    assert grade_indices(row, "argmax")[0] == 0
    assert grade_indices(row, "median")[0] == 1


@pytest.mark.parametrize("name", builtin_schemes())
def test_every_scheme_decodes_to_its_own_grades(name: str) -> None:
    scheme = load_scheme(name)
    highest = np.eye(scheme.num_grades)[[-1] * scheme.num_regions]
    score = decode(scheme, highest, IDENTITY_THETA, FRAME, Calibration())
    assert score.total == score.total_max == scheme.total_max
    assert {region.grade for region in score.regions} == {scheme.grades[-1]}
    lowest = np.eye(scheme.num_grades)[[0] * scheme.num_regions]
    assert decode(scheme, lowest, IDENTITY_THETA, FRAME, Calibration()).total_interval[0] == scheme.total_min


def test_central_quantiles_of_a_uniform_distribution() -> None:
    low, high = central_quantiles(np.full(10, 0.1), 0.8)
    assert (low, high) == (pytest.approx(0.5), pytest.approx(8.5))


@pytest.mark.parametrize(
    "probabilities",
    [np.full((5, 4), 0.25), np.full((6, 4), 0.3), np.tile([1.5, -0.5, 0.0, 0.0], (6, 1)), np.full((6, 4), np.nan)],
)
def test_what_is_not_a_distribution_is_refused(probabilities: np.ndarray) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        brixia(probabilities)
