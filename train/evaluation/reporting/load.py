"""Loads what a report needs of each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lungsev.config import read_yaml
from lungsev.errors import LungsevError
from lungsev.train.console import warn
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.reporting.run_report import HANDCRAFTED, MEASURED, RunReport, Training
from lungsev.train.evaluation.samples import ReportSamples
from lungsev.train.runs import Run


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
    return _with_unique_labels(loaded)


def _with_unique_labels(runs: Sequence[RunReport]) -> list[RunReport]:
    """Tell runs of one label apart by their data, or else by their folder, or else by a number."""
    labels = [run.label for run in runs]
    for details in ([run.data for run in runs], [run.path.name for run in runs]):
        named = [f"{label} ({detail})" if detail else label for label, detail in zip(labels, details, strict=True)]
        labels = [
            name if labels.count(label) > 1 and named.count(name) == 1 else label
            for label, name in zip(labels, named, strict=True)
        ]
    numbered = [
        label if labels.count(label) == 1 else f"{label} ({labels[: place + 1].count(label)})"
        for place, label in enumerate(labels)
    ]
    return [replace(run, label=label) for run, label in zip(runs, numbered, strict=True)]


def _load(path: Path) -> RunReport:
    run = Run(path)
    document = read_yaml(path / "config.yaml", own=True) if (path / "config.yaml").is_file() else {}
    settings = dict(document.get("settings", {}))
    if not path.is_dir():
        raise LungsevError(f"{path} does not exist; expected a run of brixia, inha or custom, or an evaluation of one")
    metrics = run.metrics() if (path / "metrics.json").is_file() else {}
    seeds = [path / name for name in metrics.get("seeds", [])] or [path]
    parts = {part: _of_seeds(seeds, part) for part in reversed(MEASURED) if _file(seeds[0], part).is_file()}
    if not parts:
        raise LungsevError(
            f"{path} holds no predictions: it is not finished, or no severity run; expected a run of brixia, inha or "
            "custom, or an evaluation of one"
        )
    if not metrics:
        run.metrics()  # raises and says that the run is not finished
    leaves = list(_leaves(path))
    if metrics.get("task") == "severity" and not any(_is_trained(leaf) for leaf in leaves):
        settings = {"title": HANDCRAFTED, **{key: settings[key] for key in ("data", "scheme") if key in settings}}
    return RunReport(
        path,
        _label(path, settings, metrics),
        settings,
        metrics,
        parts,
        *_samples([path, *leaves]),
        tuple(_training(Run(leaf)) for leaf in leaves if (leaf / "history.jsonl").is_file()),
        dict(document.get("made_by", {})),
        _source_label(settings),
    )


def _file(folder: Path, part: str) -> Path:
    return folder / f"predictions-{part}.json"


def _of_seeds(folders: Sequence[Path], part: str) -> tuple[Predictions, ...]:
    """Return a part's predictions by every seed.

    Raises:
        LungsevError: A seed lacks the part, or graded other images.
    """
    found = tuple(Predictions.load(_file(folder, part)) for folder in folders)
    for folder, predictions in zip(folders, found, strict=True):
        if predictions.names != found[0].names:
            raise LungsevError(f"{folder} graded other {part} images than {folders[0].name}; seeds share one split")
    return found


def _leaves(path: Path) -> Iterator[Path]:
    """Yield the folders in which one network was trained: of every seed, fold and network of an ensemble."""
    file = path / "metrics.json"
    metrics = Run(path).metrics() if file.is_file() else {}
    below = [path / name for key in ("seeds", "folds", "networks") for name in metrics.get(key, [])]
    if not below:
        yield path
    for folder in below:
        yield from _leaves(folder)


def _is_trained(folder: Path) -> bool:
    """Tell whether a network was trained in a folder: the settings of hand-crafted features name one too."""
    return (folder / "network.pt").is_file() or (folder / "history.jsonl").is_file()


def _training(run: Run) -> Training:
    settings = run.settings() if (run.path / "config.yaml").is_file() else {}
    return Training(run.history(), str(settings.get("loop", {}).get("keep", "best")))


def _samples(folders: Sequence[Path]) -> tuple[tuple[Predictions, ReportSamples] | None, str]:
    """Return the first report samples of some folders, and the part they are of."""
    for folder in folders:
        for part in MEASURED:
            file = folder / f"samples-{part}.npz"
            if file.is_file():
                return (Predictions.load(_file(folder, part)), ReportSamples.load(file)), part
    return None, ""


def _source_label(settings: dict[str, Any]) -> str:
    """Return dataset, scheme and folder of the run that the weights came from, as far as they can still be read."""
    source = settings.get("initial", {}).get("source")
    if not source:
        return ""
    path = Path(source)
    try:
        metrics = Run(path).metrics()
    except (LungsevError, ValueError):
        return path.name
    return f"{metrics.get('scheme', '')} of {', '.join(metrics.get('data', []))} ({path.name})"


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
