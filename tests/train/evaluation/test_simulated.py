"""A nested check on data whose calibration is known: stated 80 % covers 80 %, and the temperature is found."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.calibration import CalibrationSettings, cross_fitted, fit_calibration
from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.simulated import patient_folds, simulated_predictions

BRIXIA = load_scheme("brixia")


def value(predictions: Predictions, name: str) -> float:
    return measure(predictions, name, resamples=0).value


def test_what_is_stated_covers_and_the_temperature_is_found() -> None:
    settings, nested, fresh, own, temperatures = CalibrationSettings(), [], [], [], []
    for seed in range(20):
        graded = simulated_predictions(BRIXIA, seed, 50, temperature=2.0)
        fitted = fit_calibration(graded, settings)
        crossed = cross_fitted(graded, patient_folds(graded), settings)
        new = fitted.apply(simulated_predictions(BRIXIA, 1000 + seed, 40, temperature=2.0), "validation")
        shown = fitted.apply(graded, "test")
        for found, each in ((nested, crossed), (fresh, new), (own, shown)):
            found.append((value(each, "interval_coverage"), value(each, "ece")))
        temperatures.append(fitted.temperature)
    coverage, ece = np.mean(nested, axis=0)
    assert 0.78 <= coverage <= 0.82
    assert 0.78 <= np.mean(fresh, axis=0)[0] <= 0.82
    assert np.mean(temperatures) == pytest.approx(2.0, rel=0.06)
    # Shown on the images it was fitted on, coverage is what was asked for, whatever the network, and ECE too good.
    assert np.std(own, axis=0)[0] < np.std(fresh, axis=0)[0]
    assert np.mean(own, axis=0)[1] < ece


def test_a_network_stated_as_surely_as_it_is_needs_no_temperature() -> None:
    graded = simulated_predictions(BRIXIA, 0, 80, temperature=1.0)
    assert fit_calibration(graded, CalibrationSettings()).temperature == pytest.approx(1.0, abs=0.12)


def test_patients_have_several_images_in_one_fold() -> None:
    graded = simulated_predictions(BRIXIA, 0, 30)
    assert len(set(graded.patients)) == 30 < len(graded.names)
    pairs = set(zip(graded.patients, patient_folds(graded, 3), strict=True))
    assert len(pairs) == 30
    assert {fold for _, fold in pairs} == {0, 1, 2}
