"""Loads what a report needs of each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError
from lungsev.grading import Calibration
from lungsev.train.console import warn
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.samples import ReportSamples
from lungsev.train.runs import Run

PARTS = ("train", "validation", "test", "consensus")


@dataclass(frozen=True)
class RunReport:
    """One run or evaluation.

    Attributes:
        label: E.g. `ResNet34 + SN + PAFE`; unique in a report.
        parts: Predictions by part.
        samples: Report samples and the predictions their rows count in; None where there are none.
        history: Numbers of each epoch; empty for an evaluation.
    """

    path: Path
    label: str
    settings: dict[str, Any]
    metrics: dict[str, Any]
    parts: dict[str, Predictions]
    samples: tuple[Predictions, ReportSamples] | None
    history: list[dict[str, float]]

    @property
    def measured(self) -> str:
        """The part whose numbers count: test where there is one."""
        return next((part for part in ("test", "consensus", "validation", "train") if part in self.parts), "test")

    @property
    def predictions(self) -> Predictions:
        """Return the predictions of the measured part."""
        return self.parts[self.measured]

    @property
    def calibration(self) -> Calibration:
        """Return the calibration of the measured scheme."""
        stated = self.metrics.get("calibration", {}).get(self.predictions.scheme.name, {})
        return Calibration.model_validate(stated)

    @property
    def backbone(self) -> str:
        """Return timm's name of the backbone; empty where the run does not say."""
        return str(self.settings.get("network", {}).get("backbone", ""))

    @property
    def encoder_weights(self) -> str:
        """Name of the file the backbone started from, as CXR-CLIP's; empty without one."""
        given = self.settings.get("initial", {}).get("encoder_weights")
        return Path(given).stem if given else ""

    @property
    def recipe(self) -> tuple[Any, ...]:
        """What two runs must share for their difference to be the position-aware encoder's."""
        network = self.settings.get("network", {})
        traits = tuple(network.get(key) for key in ("backbone", "neck", "mask_attention", "crop_px"))
        return (*traits, self.settings.get("ensemble"), self.encoder_weights, self.start)

    @property
    def position_aware(self) -> bool | None:
        """None where the run does not say."""
        value = self.settings.get("network", {}).get("position_aware")
        return None if value is None else bool(value)

    @property
    def start(self) -> str:
        """How the weights began: scratch, fine-tuned or a linear probe (Table 2)."""
        initial = self.settings.get("initial", {})
        if not initial.get("source"):
            return "scratch"
        return "linear probe" if initial.get("freeze") == "all_but_heads" else "fine-tuned"


def load_runs(paths: Sequence[Path]) -> list[RunReport]:
    """Read run and evaluation folders; warn of one that is not finished and leave it out.

    Raises:
        LungsevError: None of them holds predictions.
    """
    loaded: list[RunReport] = []
    errors: list[LungsevError] = []
    for path in paths:
        try:
            loaded.append(_load(path))
        except LungsevError as error:
            errors.append(error)
    if not loaded:
        raise errors[0] if errors else LungsevError("no run given; name one or more run folders")
    for reason in errors:
        warn(f"left out: {reason}")
    counts: dict[str, int] = {}
    unique = []
    for run in loaded:
        counts[run.label] = counts.get(run.label, 0) + 1
        label = run.label if counts[run.label] == 1 else f"{run.label} ({counts[run.label]})"
        unique.append(RunReport(run.path, label, run.settings, run.metrics, run.parts, run.samples, run.history))
    return unique


def baseline_of(run: RunReport, runs: Sequence[RunReport]) -> RunReport | None:
    """Return the run of spatial normalisation alone that is otherwise alike, for a run with the encoder."""
    if not run.position_aware:
        return None
    return next((other for other in runs if other.position_aware is False and other.recipe == run.recipe), None)


def _load(path: Path) -> RunReport:
    run = Run(path)
    parts = {part: Predictions.load(path / f"predictions-{part}.json") for part in PARTS if _has(path, part)}
    if not parts:
        state = "holds no predictions: it is not finished, or no severity run" if path.is_dir() else "does not exist"
        raise LungsevError(f"{path} {state}; expected a run of brixia, inha or custom, or an evaluation of one")
    settings = run.settings() if (path / "config.yaml").is_file() else {}
    metrics = run.metrics()
    history = run.history()
    below = [Run(path / name) for name in (*metrics.get("folds", []), *metrics.get("networks", []))]
    if below and not history:
        history = _mean_history([one.history() for one in below])
    samples = _samples([path, *(one.path for one in below[:1])])
    return RunReport(path, _label(path, settings, metrics), settings, metrics, parts, samples, history)


def _has(path: Path, part: str) -> bool:
    return (path / f"predictions-{part}.json").is_file()


def _samples(folders: list[Path]) -> tuple[Predictions, ReportSamples] | None:
    for folder in folders:
        for part in ("test", "consensus", "validation", "train"):
            file = folder / f"samples-{part}.npz"
            if file.is_file():
                return Predictions.load(folder / f"predictions-{part}.json"), ReportSamples.load(file)
    return None


def _label(path: Path, settings: dict[str, Any], metrics: dict[str, Any]) -> str:
    network = settings.get("network", {})
    if settings.get("title"):
        return str(settings["title"])
    if metrics.get("task") == "evaluation":
        sources = metrics.get("sources", [])
        kind = f"ensemble of {len(sources)}" if len(sources) > 1 else str(sources[0] if sources else path.name)
        return f"{kind} on {', '.join(metrics.get('data', []))}"
    backbone = (
        str(network.get("backbone", path.name)).replace("resnet", "ResNet").replace("tf_efficientnet", "EfficientNet")
    )
    if network.get("neck") == "bsnet":
        networks = settings.get("ensemble", 1)
        return f"BS-Net ({backbone}{f', ensemble of {networks}' if networks > 1 else ''})"
    label = f"{backbone} + SN" + (" + PAFE" if network.get("position_aware") else "")
    label += " + mask attention" if network.get("mask_attention") else ""
    initial = settings.get("initial", {})
    if initial.get("source"):
        label += ", linear probe" if initial.get("freeze") == "all_but_heads" else ", fine-tuned"
    return label


def _mean_history(histories: list[list[dict[str, float]]]) -> list[dict[str, float]]:
    """Mean over folds, epoch by epoch, of the numbers all of them have."""
    length = min((len(history) for history in histories), default=0)
    merged = []
    for epoch in range(length):
        records = [history[epoch] for history in histories]
        keys = [key for key in records[0] if all(record.get(key) is not None for record in records)]
        merged.append({key: sum(record[key] for record in records) / len(records) for key in keys})
    return merged
