"""Probabilities mean what they say after calibration, and the total's interval covers as often as it states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.calibration import (
    CalibrationSettings,
    conformal_margin,
    cross_fitted,
    fit_calibration,
    fit_temperature,
    reader_targets,
    with_temperature,
)
from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions, join

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
    before, after = (measure(each, "ece", resamples=0).value for each in (found, replace(found, probabilities=cooled)))
    assert after < 0.4 * before


def test_a_handful_of_images_hardly_moves_the_temperature() -> None:
    found = predictions_of(1, 2, sharpness=3.0)
    target = np.eye(4)[found.reference_index]
    few = fit_temperature(found.probabilities, target, prior_images=50)
    assert abs(np.log(few)) < abs(np.log(fit_temperature(found.probabilities, target, prior_images=0.1)))


@pytest.mark.parametrize(("sharpness", "bias"), [(1.0, 0.0), (3.0, 0.4)])
def test_the_interval_covers_as_often_as_it_states_even_of_a_bad_network(sharpness: float, bias: float) -> None:
    fitted = fit_calibration(predictions_of(2, 300, sharpness, bias), CalibrationSettings(temperature=False))
    fresh = fitted.apply(predictions_of(3, 600, sharpness, bias), "validation")
    assert 0.75 <= measure(fresh, "interval_coverage", resamples=0).value <= 0.85


def test_too_few_patients_promise_nothing() -> None:
    assert conformal_margin(predictions_of(4, 6, 1.0), 0.8) is None
    assert conformal_margin(predictions_of(4, 12, 1.0), 0.95) is None
    many = predictions_of(4, 40, 1.0)
    assert conformal_margin(replace(many, patients=("one",) * 20 + ("two",) * 20), 0.8) is None


def test_copies_of_a_patients_image_do_not_move_the_margin() -> None:
    once = predictions_of(4, 30, 1.0)
    rows = [*range(30), *[0] * 50]
    copied = once.select(rows)
    assert conformal_margin(copied, 0.8) == pytest.approx(conformal_margin(once, 0.8), abs=0.15)


def test_images_without_a_total_and_regions_without_a_grade_are_not_fitted_on() -> None:
    whole = predictions_of(4, 30, 2.0)
    part = replace(whole, readings={"reader": whole.readings["reader"].copy()})
    part.readings["reader"][20:, 3] = np.nan
    assert conformal_margin(part, 0.8) == conformal_margin(whole.select(range(20)), 0.8)
    assert (reader_targets(part).sum(axis=-1) == ~np.isnan(part.readings["reader"])).all()
    assert fit_calibration(part, CalibrationSettings()).temperature > 1.2


def test_readers_between_two_grades_and_of_two_minds_share_the_target() -> None:
    found = predictions_of(5, 2, 1.0)
    found.readings["reader"][0] = [0.25, 1, 2, 3, 0, 0]
    found.readings["other"] = np.array([[2.0, 1, 2, 3, 0, 0], [np.nan] * 6])
    np.testing.assert_allclose(reader_targets(found)[0, 0], [0.375, 0.125, 0.5, 0.0])
    np.testing.assert_allclose(reader_targets(found)[1], np.eye(4)[found.readings["reader"][1].astype(int)])


def test_what_is_shown_of_a_fold_was_fitted_on_the_others() -> None:
    found = predictions_of(8, 60, 2.5)
    folds = np.arange(60) % 3
    crossed = cross_fitted(found, folds)
    assert (crossed.names, crossed.fitted_on) == (found.names, "other folds")
    changed = replace(found, readings={"reader": np.where((folds == 1)[:, None], 0.0, found.readings["reader"])})
    again = cross_fitted(changed, folds)
    np.testing.assert_array_equal(again.probabilities[folds == 1], crossed.probabilities[folds == 1])
    np.testing.assert_array_equal(again.intervals[folds == 1], crossed.intervals[folds == 1])
    assert not np.allclose(again.probabilities[folds == 0], crossed.probabilities[folds == 0])


def test_folds_that_share_a_patient_or_are_one_are_refused() -> None:
    found = predictions_of(8, 12, 1.0)
    with pytest.raises(ValueError, match="expected at least two"):
        cross_fitted(found, [0] * 12)
    with pytest.raises(ValueError, match="a patient has images in two folds"):
        cross_fitted(replace(found, patients=("same",) * 12), np.arange(12) % 2)
    with pytest.raises(ValueError, match="found the folds of 3 images"):
        cross_fitted(found, [0, 1, 2])


def test_predictions_come_back_from_their_file_and_join(tmp_path) -> None:  # type: ignore[no-untyped-def]
    first, second = predictions_of(5, 4, 1.0), predictions_of(6, 3, 1.0)
    first.save(tmp_path / "p.json")
    again = type(first).load(tmp_path / "p.json")
    assert again.names == first.names
    assert np.allclose(again.probabilities, first.probabilities, atol=1e-6)
    both = join([first, second])
    assert both.names == first.names + second.names
    assert measure(both, "accuracy").images == 7


def test_the_median_and_the_expected_grade_are_of_the_distribution() -> None:
    found = predictions_of(7, 50, 1.0)
    assert np.abs(found.grades("median") - found.expected).max() < 1.0
    assert found.expected[0, 0] == pytest.approx(found.probabilities[0, 0] @ np.arange(4))
