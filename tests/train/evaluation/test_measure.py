"""A network is calibrated on the validation part, or left as it was trained."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from graded_runs import SCHEME, predictions

from lungsev.train.data.datasets import GradedImage
from lungsev.train.evaluation.calibration import CalibrationSettings
from lungsev.train.evaluation.measure import calibrate
from lungsev.train.evaluation.predictions import Predictions


class Heads:
    """Keeps the temperature that it is given."""

    def __init__(self) -> None:
        self.temperature: dict[str, float] = {}

    def set_temperature(self, scheme: str, value: float) -> None:
        self.temperature[scheme] = value


def calibrated(images: int, settings: CalibrationSettings) -> tuple[Any, float, Heads]:
    graded = predictions(images, 0, ("senior",))
    sure_and_wrong = np.eye(4)[(graded.reference_index + (np.arange(6) % 2)) % 4] * 0.96 + 0.01
    graded.probabilities[:] = sure_and_wrong
    listed = [
        GradedImage(name, Path(name), name, {"senior": tuple(row)})
        for name, row in zip(graded.names, graded.readings["senior"], strict=True)
    ]
    heads = Heads()

    def predict_part(part: str) -> Predictions:
        assert part == "validation"
        return graded

    fused: Any = SimpleNamespace(severity=heads)
    parts = {"validation": list(range(images))}
    return *calibrate(fused, SCHEME, parts, listed, predict_part, settings), heads


def test_a_network_too_sure_of_itself_is_given_a_temperature_and_a_margin() -> None:
    calibration, temperature, heads = calibrated(12, CalibrationSettings(decision="median", coverage=0.7))
    assert temperature > 1.5
    assert heads.temperature == {"brixia": temperature}
    assert (calibration.decision, calibration.coverage) == ("median", 0.7)
    assert calibration.interval_margin is not None


def test_too_few_validation_images_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    calibration, temperature, heads = calibrated(3, CalibrationSettings())
    assert (calibration.interval_margin, temperature, heads.temperature) == (None, 1.0, {})
    assert "3 validation images: too few to calibrate" in capsys.readouterr().out


def test_what_the_settings_switch_off_is_not_fitted() -> None:
    calibration, temperature, heads = calibrated(12, CalibrationSettings(temperature=False, conformal=False))
    assert (calibration.interval_margin, temperature, heads.temperature) == (None, 1.0, {})
