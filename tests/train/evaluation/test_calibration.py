"""Probabilities mean what they say after calibration, and the total's interval covers as often as it states."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.grading import Calibration, total_interval
from lungsev.schemes import load_scheme
from lungsev.train.evaluation.calibration import conformal_margin, fit_temperature, with_temperature
from lungsev.train.evaluation.metrics import expected_calibration_error
from lungsev.train.evaluation.predictions import Predictions, join, summarise

BRIXIA = load_scheme("brixia")


def predictions_of(seed: int, images: int, sharpness: float, bias: float = 0.0) -> Predictions:
    """Readers' grades drawn from distributions that the network states `sharpness` times too surely."""
    generator = np.random.default_rng(seed)
    centre = generator.uniform(0, 3, (images, 1)) + generator.normal(0, 0.5, (images, 6))
    logits = -1.5 * (np.arange(4) - centre[..., None]) ** 2
    true = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    drawn = (generator.random((images, 6, 1)) > true.cumsum(axis=-1)).sum(axis=-1).clip(0, 3)
    shifted = -1.5 * (np.arange(4) - centre[..., None] - bias) ** 2 * sharpness
    stated = np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True)
    names = tuple(f"{seed}-{i}" for i in range(images))
    return Predictions(
        BRIXIA,
        names,
        names,
        ("AP",) * images,
        ("",) * images,
        {"reader": drawn.astype(float)},
        stated,
        np.tile(np.eye(3)[:2], (images, 1, 1)),
    )


def test_an_overconfident_network_is_cooled_by_the_factor_it_is_too_sure() -> None:
    found = predictions_of(0, 400, sharpness=3.0)
    target = np.eye(4)[found.reference_index]
    temperature = fit_temperature(found.probabilities, target)
    assert temperature == pytest.approx(3.0, rel=0.12)
    cooled = with_temperature(found.probabilities, temperature)
    before = expected_calibration_error(found.probabilities, found.reference_index)
    assert expected_calibration_error(cooled, found.reference_index) < 0.4 * before


def test_a_handful_of_images_hardly_moves_the_temperature() -> None:
    found = predictions_of(1, 2, sharpness=3.0)
    target = np.eye(4)[found.reference_index]
    few = fit_temperature(found.probabilities, target, prior_images=50)
    assert abs(np.log(few)) < abs(np.log(fit_temperature(found.probabilities, target, prior_images=0.1)))


@pytest.mark.parametrize(("sharpness", "bias"), [(1.0, 0.0), (3.0, 0.4)])
def test_the_interval_covers_as_often_as_it_states_even_of_a_bad_network(sharpness: float, bias: float) -> None:
    margin = conformal_margin(predictions_of(2, 300, sharpness, bias), 0.8)
    calibration = Calibration(coverage=0.8, interval_margin=margin)
    fresh = predictions_of(3, 600, sharpness, bias)
    ends = np.array([total_interval(BRIXIA, p, calibration) for p in fresh.probabilities])
    totals = fresh.reference.sum(axis=1)
    covered = ((ends[:, 0] <= totals) & (totals <= ends[:, 1])).mean()
    assert 0.74 <= covered <= 0.93


def test_too_few_images_promise_nothing() -> None:
    assert conformal_margin(predictions_of(4, 6, 1.0), 0.8) is None
    assert conformal_margin(predictions_of(4, 12, 1.0), 0.95) is None


def test_predictions_come_back_from_their_file_and_join(tmp_path) -> None:  # type: ignore[no-untyped-def]
    first, second = predictions_of(5, 4, 1.0), predictions_of(6, 3, 1.0)
    first.save(tmp_path / "p.json")
    again = type(first).load(tmp_path / "p.json")
    assert again.names == first.names
    assert np.allclose(again.probabilities, first.probabilities, atol=1e-6)
    both = join([first, second])
    assert both.names == first.names + second.names
    assert summarise(both, Calibration())["argmax"]["images"] == 7


def test_the_median_and_the_expected_grade_are_of_the_distribution() -> None:
    found = predictions_of(7, 50, 1.0)
    assert np.abs(found.grades("median") - found.expected).max() < 1.0
    assert found.expected[0, 0] == pytest.approx(found.probabilities[0, 0] @ np.arange(4))
