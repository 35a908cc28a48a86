"""Runs as a report loads them, and the folders it loads them from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lungsev.schemes import Scheme, load_scheme
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.reporting.run_report import RunReport, Training
from lungsev.train.evaluation.samples import ReportSamples, choose_samples
from lungsev.train.runs import write_json

HISTORY = [
    {"epoch": 0, "train/loss": 1.0, "validation/loss": 0.9, "train/accuracy": 0.4, "validation/accuracy": 0.45},
    {"epoch": 1, "train/loss": 0.8, "validation/loss": 0.95, "train/accuracy": 0.5, "validation/accuracy": 0.44},
]


SCHEME = load_scheme("brixia")


def read_images(
    count: int, skill: float, seed: int = 0, scheme: Scheme = SCHEME, part: str = "test", images_seed: int = 100
) -> Predictions:
    """Predictions that follow the reader by `skill`; two images a patient, a second reader of a third of them.

    The images are those of `images_seed`: equal for every seed and skill. Some regions were not read.
    """
    shown, drawn = np.random.default_rng([images_seed, count]), np.random.default_rng([seed, count])
    grades = np.asarray(scheme.grades, dtype=float)
    severity = shown.beta(1, 1.2, (count, 1)) * (len(grades) - 1)
    first = np.clip(np.round(severity + shown.normal(0, 0.7, (count, scheme.num_regions))), 0, len(grades) - 1)
    second = np.clip(first + shown.choice([-1, 0, 0, 1], first.shape), 0, len(grades) - 1)
    distance = (np.arange(len(grades)) - first[..., None]) ** 2
    logits = -skill * distance + drawn.normal(0, 1.2, distance.shape)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = (probabilities @ grades).sum(axis=1)
    first, second = grades[first.astype(int)], grades[second.astype(int)]
    first[::9, 2] = np.nan
    second[np.arange(count) % 3 > 0] = np.nan
    return Predictions(
        scheme,
        tuple(f"{part}-{index}" for index in range(count)),
        tuple(f"{part}-patient-{index // 2}" for index in range(count)),
        tuple("AP" if index % 4 else "PA" for index in range(count)),
        tuple(("COVID-19", "COVID-19", "pneumonia", "SARS")[index % 4] for index in range(count)),
        {"senior": first, "junior": second},
        np.round(probabilities, 6),
        np.tile(np.eye(3)[:2], (count, 1, 1)),
        np.stack([expected - 3.2, expected + 3.2], axis=1).round(3),
        0.8,
        "validation",
    )


def run(label: str, parts: dict[str, Predictions], initial: dict[str, Any] | None = None, **network: Any) -> RunReport:
    settings = {
        "title": label if label.startswith("CXR") else "",
        "network": {"backbone": "resnet18", "neck": "concat", **network},
        "initial": initial or {},
    }
    one_seed = {part: (each,) for part, each in parts.items()}
    return RunReport(Path(label), label, settings, {"data": ["brixia"]}, one_seed, trainings=(Training(HISTORY),))


def write_report_run(
    folder: Path,
    parts: dict[str, Predictions],
    network: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    samples: str = "",
    **settings: Any,
) -> Path:
    """Write a finished run folder as a training leaves it; `samples` names the part whose report samples it holds."""
    folder.mkdir(parents=True)
    shape = {"backbone": "resnet18", "position_aware": True, **(network or {})}
    document = {
        "settings": {"network": shape, "loop": {"keep": "best", "seed": 0}, **settings},
        "made_by": {"lungsev": "0.1.0", "commit": "0123456789ab", "command": "lungsev-train brixia", "torch": "2.6.0"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in HISTORY))
    for part, found in parts.items():
        found.save(folder / f"predictions-{part}.json")
    if samples:
        _samples_of(parts[samples]).save(folder / f"samples-{samples}.npz")
    scheme = next(iter(parts.values())).scheme.name if parts else "brixia"
    given = {"task": "severity", "data": ["drawn"], "scheme": scheme, **(metrics or {})}
    write_json(folder / "metrics.json", given)
    return folder


def _samples_of(found: Predictions) -> ReportSamples:
    """Return dark images with an ellipse for each lung, a map that grows downwards, and embeddings by position."""
    rows = choose_samples(found)
    y, x = np.mgrid[0:64, 0:64] / 64.0
    lungs = ((x - 0.3) / 0.15) ** 2 + ((y - 0.5) / 0.35) ** 2 < 1
    lungs |= lungs[:, ::-1]
    canvas = np.where(lungs, 40, 150).astype(np.uint8)
    ramp = np.tile(np.linspace(found.scheme.grades[0], found.scheme.grades[-1], 16)[:, None], (1, 16))
    shape = (len(found.names), found.scheme.num_regions, 8)
    noise = np.random.default_rng(0).normal(0, 0.3, shape)
    embeddings = noise + np.arange(found.scheme.num_regions)[None, :, None]
    count = len(rows)
    return ReportSamples(
        np.asarray(rows),
        np.stack([canvas] * count),
        np.stack([lungs] * count),
        np.stack([ramp] * count).astype(np.float32),
        embeddings.astype(np.float32),
    )
