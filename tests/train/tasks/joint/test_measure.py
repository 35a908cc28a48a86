"""Held-back predictions calibrate what ships, and are measured by what others of them say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.calibration import CalibrationSettings
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.tasks.joint.measure import GROUPS, calibrated, patient_groups

RALO = load_scheme("ralo")
SETTINGS = CalibrationSettings()


def predictions(patients: int, sharpness: float = 4.0) -> Predictions:
    """Two images of each patient, by a network surer than it is right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, (2 * patients, 2))
    said = np.clip(truth + rng.integers(-1, 2, truth.shape), 0, 4)
    logits = -sharpness * np.abs(np.arange(5) - said[..., None])
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    names = tuple(f"{row}.jpg" for row in range(2 * patients))
    people = tuple(f"p{row // 2}" for row in range(2 * patients))
    none = ("",) * len(names)
    return Predictions(
        RALO, names, people, none, none, {"r": truth.astype(float)}, probabilities, np.zeros((len(names), 2, 3))
    )


def test_a_patient_is_in_one_group_and_every_group_has_patients() -> None:
    test = predictions(40)
    groups = patient_groups(test)
    assert set(groups.tolist()) == set(range(GROUPS))
    pairs = set(zip(test.patients, groups.tolist(), strict=True))
    assert len(pairs) == 40


def test_what_is_shown_of_a_test_part_was_fitted_on_its_other_patients() -> None:
    test = predictions(40)
    fitted, fitted_on, shown = calibrated({"test": test}, SETTINGS)
    assert fitted.temperature > 1.2
    assert "those of the others" in fitted_on
    assert shown["test"].names == test.names
    assert shown["test"].fitted_on == "other folds"
    plain = fitted.scaled(test).probabilities
    assert not np.allclose(shown["test"].probabilities, plain, atol=1e-6)
    assert np.allclose(shown["test"].probabilities, plain, atol=0.1)


def test_a_calibration_part_calibrates_every_part() -> None:
    test, own = predictions(40), replace(predictions(20), names=tuple(f"c{n}" for n in range(40)))
    fitted, fitted_on, shown = calibrated({"test": test, "calibration": own}, SETTINGS)
    assert fitted_on == "calibration part"
    np.testing.assert_allclose(shown["test"].probabilities, fitted.scaled(test).probabilities)


def test_too_few_patients_calibrate_nothing() -> None:
    test = predictions(6)
    fitted, fitted_on, shown = calibrated({"test": test}, SETTINGS)
    assert (fitted.temperature, fitted.margin, fitted_on) == (1.0, None, "nothing")
    np.testing.assert_allclose(shown["test"].probabilities, test.probabilities)
