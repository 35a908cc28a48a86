"""A network is calibrated on images that did not train it, or left as it was trained."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from graded_runs import SCHEME, predictions

from lungsev.networks.heads import SchemeHead
from lungsev.train.data.datasets import GradedImage
from lungsev.train.data.splits import Split
from lungsev.train.evaluation import measure
from lungsev.train.evaluation.calibration import CalibrationSettings, FittedCalibration, with_temperature
from lungsev.train.evaluation.measure import calibrate
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.runs import Run


def calibrated(images: int, settings: CalibrationSettings) -> FittedCalibration:
    graded = predictions(images, 0, ("senior",))
    sure_and_wrong = np.eye(4)[(graded.reference_index + (np.arange(6) % 2)) % 4] * 0.96 + 0.01
    graded.probabilities[:] = sure_and_wrong
    return calibrate(graded, settings)


def test_a_network_too_sure_of_itself_is_given_a_temperature_and_a_margin() -> None:
    fitted = calibrated(12, CalibrationSettings(decision="median", coverage=0.7))
    assert fitted.temperature > 1.5
    assert (fitted.stated.decision, fitted.stated.coverage) == ("median", 0.7)
    assert fitted.margin is not None


def test_too_few_patients_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    fitted = calibrated(3, CalibrationSettings())
    assert (fitted.margin, fitted.temperature, fitted.is_fitted) == (None, 1.0, False)
    assert "3 patients to calibrate on: too few" in capsys.readouterr().out
    assert not calibrate(None, CalibrationSettings()).is_fitted


def test_what_the_settings_switch_off_is_not_fitted() -> None:
    fitted = calibrated(12, CalibrationSettings(temperature=False, conformal=False))
    assert (fitted.margin, fitted.temperature) == (None, 1.0)


@pytest.mark.parametrize("head", ["linear", "ordinal", "mlp"])
def test_a_temperature_on_the_probabilities_is_the_networks_own(head: Any) -> None:
    torch.manual_seed(0)
    network = SchemeHead(SCHEME, 4, 8, head).eval()
    tokens = torch.randn(5, 16, 8) * 4
    with torch.inference_mode():
        plain = network(tokens)[0].double().numpy()
        network.temperature.fill_(2.5)
        own = network(tokens)[0].double().numpy()
    np.testing.assert_allclose(with_temperature(plain, 2.5), own, atol=1e-6)


class Fused:
    """Probabilities and maps at the temperature of its heads; an average of two softmaxes with `flip`."""

    def __init__(self, logits: np.ndarray, flip: bool) -> None:
        self.logits, self.severity, self.runs = logits, self, []
        self.flip_tta = "both" if flip else None
        self.temperature = 1.0

    def set_temperature(self, scheme: str, value: float) -> None:
        self.temperature = value

    def outputs(self, cached: list[int], title: str) -> dict[str, np.ndarray]:
        self.runs.append(title.split()[-2])
        sides = [self.logits[cached], self.logits[cached][..., ::-1] * 0.2] if self.flip_tta else [self.logits[cached]]
        probabilities = np.mean(
            [with_temperature(with_temperature(np.exp(side), 1.0), self.temperature) for side in sides], axis=0
        )
        maps = np.full((len(cached), 16, 16), self.temperature)
        thetas = np.tile(np.eye(3)[:2], (len(cached), 1, 1))
        return {"probabilities.brixia": probabilities, "severity_map.brixia": maps, "theta": thetas}


@pytest.mark.parametrize(
    ("flip", "parts", "runs"),
    [
        (False, ("validation", "test"), ["validation", "test"]),
        (True, ("validation", "test"), ["validation", "validation", "test"]),
        (False, ("validation",), ["validation", "validation"]),
    ],
    ids=["once", "a mean of two softmaxes", "its maps are shown"],
)
def test_the_validation_part_is_scored_once_where_that_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: bool, parts: tuple[str, ...], runs: list[str]
) -> None:
    graded = predictions(24, 0, ("senior",))
    fused: Any = Fused(np.random.default_rng(1).normal(size=(24, 6, 4)) * 6, flip)
    images = [
        GradedImage(name, Path(name), name, {"senior": tuple(row)})
        for name, row in zip(graded.names, graded.readings["senior"], strict=True)
    ]
    shown: list[Any] = []
    monkeypatch.setattr(measure, "predict", lambda network, cached, title: network.outputs(cached, title))
    monkeypatch.setattr(measure, "embed", lambda *_: None)
    monkeypatch.setattr(
        measure, "report_samples", lambda *given: shown.append(given[2]) or SimpleNamespace(save=lambda path: None)
    )
    names = {part: graded.names[12 * index : 12 * index + 12] for index, part in enumerate(parts)}
    split = Split("holdout", 0, names, {}, 0)
    dataset: Any = SimpleNamespace(scheme=SCHEME, name="phantoms")
    metrics = measure.measure_run(fused, Run(tmp_path), dataset, images, list(range(24)), split, CalibrationSettings())
    assert fused.runs == runs
    temperature = metrics["temperature"]["brixia"]
    assert temperature > 1.2
    saved = Predictions.load(tmp_path / "predictions-validation.json")
    np.testing.assert_allclose(
        saved.probabilities, fused.outputs(list(range(12)), "- -")["probabilities.brixia"], atol=1e-6
    )
    assert (shown[0] == temperature).all()
    assert (saved.fitted_on, saved.intervals.shape) == ("validation", (12, 2))
    assert metrics["calibration_fitted_on"] == "validation part"
