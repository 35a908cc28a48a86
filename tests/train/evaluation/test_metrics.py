"""Metrics agree with scikit-learn and torchmetrics, and say NaN where nothing can be said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lungsev.train.evaluation import metrics

GRADES = (0, 1, 2, 3)


@pytest.fixture
def grades() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(7)
    reference = generator.integers(0, 4, (60, 6))
    noise = generator.integers(-1, 2, (60, 6))
    return reference, np.clip(reference + noise, 0, 3)


def test_agrees_with_scikit_learn(grades: tuple[np.ndarray, np.ndarray]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    reference, predicted = grades
    flat = reference.ravel(), predicted.ravel()
    assert metrics.accuracy(*grades) == pytest.approx(sklearn.accuracy_score(*flat))
    assert metrics.mean_absolute_error(*grades) == pytest.approx(sklearn.mean_absolute_error(*flat))
    assert metrics.quadratic_kappa(*grades, GRADES) == pytest.approx(
        sklearn.cohen_kappa_score(*flat, weights="quadratic")
    )
    assert np.array_equal(metrics.confusion_matrix(*grades, GRADES), sklearn.confusion_matrix(*flat, labels=GRADES))


def test_agrees_with_torchmetrics(grades: tuple[np.ndarray, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional")
    reference, predicted = (torch.from_numpy(side.ravel()) for side in grades)
    kappa = functional.cohen_kappa(predicted, reference, task="multiclass", num_classes=4, weights="quadratic")
    assert metrics.quadratic_kappa(*grades, GRADES) == pytest.approx(float(kappa), abs=1e-5)
    pearson = functional.pearson_corrcoef(predicted.double(), reference.double())
    assert metrics.correlation(*grades) == pytest.approx(float(pearson), abs=1e-6)

    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet(np.ones(4), 500)
    target = generator.integers(0, 4, 500)
    calibration = functional.calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(target), task="multiclass", num_classes=4, n_bins=15
    )
    assert metrics.expected_calibration_error(probabilities, target) == pytest.approx(float(calibration), abs=1e-6)
    mask = generator.random((8, 8)) > 0.5, generator.random((8, 8)) > 0.5
    reference_dice = functional.f1_score(*(torch.from_numpy(m) for m in mask), task="binary")
    assert metrics.dice(*mask) == pytest.approx(float(reference_dice))


def test_severity_metrics_hold_every_region_and_the_total(grades: tuple[np.ndarray, np.ndarray]) -> None:
    reference, predicted = grades
    found = metrics.severity_metrics(reference, predicted, GRADES)
    assert found.images == 60
    assert found.accuracy == pytest.approx(np.mean(found.region_accuracy))
    assert found.mae == pytest.approx(np.mean(found.region_mae))
    assert found.total_mae == pytest.approx(np.abs(reference.sum(1) - predicted.sum(1)).mean())
    assert found.total_correlation == pytest.approx(np.corrcoef(reference.sum(1), predicted.sum(1))[0, 1])
    assert found.within_one == 1.0
    assert found.to_dict()["kappa"] == pytest.approx(found.kappa)


def test_the_total_may_be_given_apart_from_the_grades() -> None:
    found = metrics.severity_metrics(np.array([[1, 1], [3, 3]]), np.array([[1, 1], [3, 3]]), GRADES, np.array([2.5, 7]))
    assert found.mae == 0.0
    assert found.total_mae == pytest.approx(0.75)
    assert found.total_bias == pytest.approx(0.75)


def test_what_is_not_defined_is_nan_and_null_in_json() -> None:
    constant = np.ones((4, 2), dtype=int)
    found = metrics.severity_metrics(constant, constant, GRADES)
    assert math.isnan(found.kappa)
    assert math.isnan(found.total_correlation)
    assert found.to_dict()["kappa"] is None
    assert math.isnan(metrics.accuracy(np.empty(0), np.empty(0)))


def test_inha_grades_do_not_start_at_zero() -> None:
    matrix = metrics.confusion_matrix(np.array([1, 5, 5]), np.array([1, 4, 5]), (1, 2, 3, 4, 5))
    assert matrix[0, 0] == 1
    assert matrix[4, 3] == 1
    with pytest.raises(ValueError, match=r"found grades \[0\.0\]"):
        metrics.confusion_matrix(np.array([1]), np.array([0]), (1, 2, 3, 4, 5))


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="must match"):
        metrics.accuracy(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="cannot be compared"):
        metrics.dice(np.zeros((2, 3)), np.zeros((3, 2)))


def test_bootstrap_interval_of_a_mean_matches_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=400)
    interval = metrics.bootstrap_interval(lambda x: float(x.mean()), values, resamples=2000)
    half = 1.96 * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)


def test_images_of_one_patient_widen_the_interval() -> None:
    patient_level = np.repeat(np.random.default_rng(1).normal(size=30), 10)
    patients = np.repeat(np.arange(30), 10)

    def width(groups: np.ndarray | None) -> float:
        interval = metrics.bootstrap_interval(lambda x: float(x.mean()), patient_level, groups=groups)
        return interval.high - interval.low

    assert width(patients) > 2 * width(None)


def test_paired_bootstrap_sees_a_difference_and_none() -> None:
    generator = np.random.default_rng(2)
    reference = generator.integers(0, 4, (120, 6))
    good = np.where(generator.random((120, 6)) < 0.7, reference, 0)
    better = np.where(generator.random((120, 6)) < 0.9, reference, 0)
    test = metrics.paired_bootstrap(metrics.accuracy, reference, good, better)
    assert test.difference > 0
    assert test.low > 0
    assert test.p_value < 0.01
    same = metrics.paired_bootstrap(metrics.accuracy, reference, good, good)
    assert same.difference == 0
    assert same.p_value == 1.0


def test_interval_coverage_counts_both_ends() -> None:
    assert metrics.interval_coverage(np.array([1, 2, 9]), np.array([1, 0, 0]), np.array([3, 2, 8])) == pytest.approx(
        2 / 3
    )
