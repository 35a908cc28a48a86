"""From probabilities to grades, totals and intervals."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from measured import MEASURED

from lungsev.geometry import IDENTITY_THETA, CanvasFrame
from lungsev.grading import Calibration, central_quantiles, decode, grade_indices, total_distribution, total_interval
from lungsev.report import SchemeScore
from lungsev.schemes import Region, Scheme, builtin_schemes, load_scheme
from lungsev.scores.score import PartialTotal

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


def rows_of(*row: float) -> np.ndarray:
    """The same distribution for every region."""
    return np.tile(row, (6, 1))


def test_every_number_is_rounded_for_people() -> None:
    frame = CanvasFrame(rows=1000, columns=1000, size_px=512, scale=0.511, offset_px=(0.3, 0.7))
    score = decode(BRIXIA, rows_of(0.12345678, 0.2, 0.3, 0.37654322), IDENTITY_THETA, frame, Calibration())
    region = score.regions[0]
    assert region.probabilities == (0.1235, 0.2, 0.3, 0.3765)
    assert region.expected == 1.93
    assert score.total_expected == 11.58
    assert region.polygon == ((-0.6, -1.4), (500.4, -1.4), (500.4, 332.6), (-0.6, 332.6))


def test_expected_grades_have_three_digits() -> None:
    assert brixia(rows_of(0.25, 0.2512, 0.2488, 0.25)).regions[0].expected == 1.499


def test_a_regions_name_and_side_are_the_schemes() -> None:
    for region, defined in zip(brixia(certain([0] * 6)).regions, BRIXIA.regions, strict=True):
        assert (region.code, region.name, region.side) == (defined.code, defined.name, defined.side)


def test_sums_that_are_nearly_one_are_made_one() -> None:
    assert brixia(rows_of(0.505, 0.504, 0.0, 0.0)).regions[0].probabilities == (0.5005, 0.4995, 0.0, 0.0)
    with pytest.raises(ValueError, match="non-negative and sum to 1"):
        brixia(rows_of(0.5, 0.511, 0.0, 0.0))
    with pytest.raises(ValueError, match="non-negative and sum to 1"):
        brixia(rows_of(0.5, 0.489, 0.0, 0.0))


def test_a_probability_may_be_negative_by_rounding_only() -> None:
    assert brixia(rows_of(1.0, -5e-7, 0.0, 0.0)).total == 0
    with pytest.raises(ValueError, match="non-negative"):
        brixia(rows_of(1.0, -2e-6, 0.0, 0.0))


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"found probabilities of shape \(6, 3\), expected \(6, 4\)"):
        brixia(np.full((6, 3), 1 / 3))


def test_the_decision_is_the_calibrations() -> None:
    skewed = rows_of(0.4, 0.15, 0.15, 0.3)
    assert brixia(skewed).total == 0
    assert brixia(skewed, decision="argmax").total == 0
    assert brixia(skewed, decision="median").total == 6


def test_a_scheme_that_was_not_calibrated_covers_eighty_percent() -> None:
    assert Calibration() == Calibration(decision="argmax", coverage=0.8, interval_margin=None, region_mass=0.8)
    assert brixia(certain([0] * 6)).total_interval_coverage == 0.8
    assert brixia(certain([0] * 6), coverage=0.9).total_interval_coverage == 0.9


@pytest.mark.parametrize("name", ["coverage", "region_mass"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_nothing_or_of_all_is_refused(name: str, share: float) -> None:
    with pytest.raises(ValueError, match=name):
        Calibration.model_validate({name: share})


@pytest.mark.parametrize(
    ("row", "mass", "likely"),
    [
        ((0.5, 0.3, 0.2, 0.0), 0.5, (0, 0)),
        ((0.5, 0.3, 0.2, 0.0), 0.8, (0, 1)),
        ((0.5, 0.3, 0.2, 0.0), 0.81, (0, 2)),
        ((0.0, 0.25, 0.5, 0.25), 0.7, (2, 3)),  # of two equal neighbours the higher grade
        ((0.0, 0.26, 0.5, 0.24), 0.7, (1, 2)),
        ((0.0, 0.24, 0.5, 0.26), 0.7, (2, 3)),
        ((0.1, 0.2, 0.3, 0.4), 0.69, (2, 3)),
        ((0.1, 0.2, 0.3, 0.4), 0.89, (1, 3)),
        ((0.1, 0.2, 0.3, 0.4), 0.99, (0, 3)),
        ((0.4, 0.3, 0.2, 0.1), 0.99, (0, 3)),
        ((0.1, 0.1, 0.6, 0.2), 0.8, (2, 3)),
    ],
)
def test_the_likely_range_grows_from_the_mode_until_it_has_the_mass(
    row: tuple[float, ...], mass: float, likely: tuple[int, int]
) -> None:
    assert brixia(rows_of(*row), region_mass=mass).regions[0].likely == likely


def test_likely_grades_are_those_printed() -> None:
    inha = load_scheme("inha")
    score = decode(inha, np.tile([0.0, 0.5, 0.5, 0.0, 0.0], (4, 1)), IDENTITY_THETA, FRAME, Calibration())
    assert score.regions[0].likely == (2, 3)


@pytest.mark.parametrize(
    ("grades", "margin", "interval"),
    [
        (3, 0.59, (9, 9)),  # the quantiles of a certain 9 are 8.6 and 9.4
        (3, 0.6, (8, 10)),
        (3, 1.59, (8, 10)),
        (3, 1.6, (7, 11)),
        (3, -0.5, (9, 9)),
        (0, 0.6, (0, 1)),
        (6, 0.6, (17, 18)),
    ],
)
def test_the_margin_moves_both_ends_within_the_possible_totals(
    grades: int, margin: float, interval: tuple[int, int]
) -> None:
    probabilities = certain([3] * grades + [0] * (6 - grades))
    assert total_interval(BRIXIA, probabilities, Calibration(interval_margin=margin)) == interval


def test_the_interval_counts_from_the_schemes_lowest_total() -> None:
    inha = load_scheme("inha")
    lowest = np.eye(5)[[0] * 4]
    assert total_interval(inha, lowest, Calibration()) == (4, 4)
    assert total_interval(inha, lowest, Calibration(interval_margin=0.6)) == (4, 5)
    highest = np.eye(5)[[4] * 4]
    assert total_interval(inha, highest, Calibration(interval_margin=0.6)) == (19, 20)


def test_the_total_is_in_its_own_interval() -> None:
    low_grades, high_grades = rows_of(0.34, 0.33, 0.33, 0.0), rows_of(0.0, 0.33, 0.33, 0.34)
    low, high = total_interval(BRIXIA, low_grades, Calibration())
    assert low > 0
    assert (brixia(low_grades).total, brixia(low_grades).total_interval) == (0, (0, high))
    low, high = total_interval(BRIXIA, high_grades, Calibration())
    assert high < 18
    assert (brixia(high_grades).total, brixia(high_grades).total_interval) == (18, (low, 18))


def test_grades_with_gaps_keep_them_in_the_totals() -> None:
    region = Region(code="A", name="both lungs", side="both", box=(0, 0, 1, 1))
    scheme = Scheme(
        name="gaps", title="t", source="s", grades=(1, 3, 6), grade_names=("a", "b", "c"), regions=(region,)
    )
    np.testing.assert_allclose(total_distribution(scheme, np.array([[0.2, 0.3, 0.5]])), [0.2, 0, 0.3, 0, 0, 0.5])


def test_the_median_of_a_distribution_that_is_too_short_is_the_highest_grade() -> None:
    assert grade_indices(np.array([[0.1, 0.1, 0.1, 0.1]]), "median").tolist() == [3]
    assert grade_indices(np.array([[[0.5, 0.5], [0.4999, 0.5001]]]), "median").tolist() == [[0, 1]]


def test_grades_are_on_the_last_axis_of_any_number() -> None:
    rows = np.array([[[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]])
    assert grade_indices(rows, "argmax").tolist() == grade_indices(rows, "median").tolist() == [[1, 0, 1]]
    assert grade_indices(np.full((1, 3, 2), 0.1), "median").tolist() == [[1, 1, 1]]


def test_quantiles_need_no_sum_of_one() -> None:
    assert central_quantiles(np.full(10, 3.0), 0.6) == (pytest.approx(1.5), pytest.approx(7.5))
    assert central_quantiles(np.array([0.0, 0.0, 1.0]), 0.8) == (pytest.approx(1.6), pytest.approx(2.4))


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
    assert region.polygon == ((256.0, 256.0), (512.0, 256.0), (512.0, 426.7), (256.0, 426.7))


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


def test_a_score_carries_the_models_repeatability_so_that_two_reports_can_be_compared() -> None:
    assert brixia(certain([0] * 6), change=asdict(MEASURED)).repeatability == MEASURED
    assert brixia(certain([0] * 6)).repeatability is None


LUNGS = np.array([[[0.5, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.5, 0.0, 0.0], [0.0, 1.0, 0.0]]])  # each in its own half


def lungs_down_to(share: float) -> np.ndarray:
    """Masks of both lungs [2, M, M]: the right one ends above the base, the left one fills its frame."""
    mask = np.ones((2, 120, 120), np.float32)
    mask[0, round(80 + 40 * share) :] = 0.0
    return mask


def test_a_zone_with_hardly_any_lung_has_no_number_and_the_others_a_sum() -> None:
    rows = certain([0, 1, 3, 3, 2, 1])
    score = decode(BRIXIA, rows, LUNGS, FRAME, Calibration(), lungs_down_to(0.1))
    low = score.regions[2]
    assert (low.grade, low.expected, low.probabilities, low.likely) == (None, None, None, None)
    assert low.lung_share == pytest.approx(0.1, abs=0.03)
    assert low.not_assessable == f"Not assessable: hardly any lung is seen here ({low.lung_share:.0%} of the zone)."
    assert [region.grade for region in score.regions] == [0, 1, None, 3, 2, 1]
    assert (score.total, score.total_expected, score.total_interval, score.total_max) == (None, None, None, 18)
    assert score.partial == PartialTotal(7, 15, ("A", "B", "D", "E", "F"), 6, (7, 7))
    assert score.grades == (0, 1, 2, 3)


@pytest.mark.parametrize(("share", "grades"), [(0.16, 5), (0.24, 6)])
def test_a_fifth_of_lung_is_enough(share: float, grades: int) -> None:
    score = decode(BRIXIA, certain([1] * 6), LUNGS, FRAME, Calibration(), lungs_down_to(share))
    assert sum(region.grade is not None for region in score.regions) == grades
    assert (score.total is None) == (grades < 6)


def test_the_interval_of_a_sum_is_that_of_its_zones() -> None:
    rows = rows_of(0.2, 0.4, 0.25, 0.15)
    score = decode(BRIXIA, rows, LUNGS, FRAME, Calibration(interval_margin=1.0), lungs_down_to(0.0))
    smaller = BRIXIA.model_copy(update={"regions": tuple(region for region in BRIXIA.regions if region.code != "C")})
    assert score.partial is not None
    assert score.partial.interval == total_interval(smaller, rows[:5], Calibration(interval_margin=1.0))


def test_zones_of_a_frame_for_both_lungs_are_all_assessable() -> None:
    score = decode(BRIXIA, certain([1] * 6), IDENTITY_THETA, FRAME, Calibration(), lungs_down_to(0.0)[:1])
    assert score.total == 6
    assert {region.lung_share for region in score.regions} == {None}


def test_no_zone_with_lung_leaves_an_empty_sum() -> None:
    score = decode(BRIXIA, certain([1] * 6), LUNGS, FRAME, Calibration(), np.zeros((2, 64, 64), np.float32))
    assert score.partial == PartialTotal(0, 0, (), 6, (0, 0))


def test_grades_that_are_no_consecutive_numbers_come_along_with_the_score() -> None:
    rale = load_scheme("rale")
    certain_rows = np.eye(rale.num_grades)[[rale.num_grades - 1] + [1] * (rale.num_regions - 1)]
    score = decode(rale, certain_rows, IDENTITY_THETA, FRAME, Calibration())
    assert score.grades == rale.grades
    assert score.total == rale.grades[-1] + (rale.num_regions - 1) * rale.grades[1]
    assert brixia(certain([0] * 6)).scale is None
