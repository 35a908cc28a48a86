"""Predictions of random grades, and a run folder that holds them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from lungsev.grading import Calibration
from lungsev.schemes import load_scheme
from lungsev.train.evaluation.predictions import Predictions

SCHEME = load_scheme("brixia")
SETTINGS = {
    "title": "A row of a table",
    "data": {"root": "/secret/place/images"},
    "alignment": "/secret/place/align",
    "network": {"backbone": "resnet18", "neck": "concat"},
    "loss": {"cross_entropy": 1.0, "kappa": 0.0},
    "loop": {"epochs": 2, "keep": "best", "seed": 3},
}
MADE_BY = {"lungsev": "0.1.0", "commit": "0123456789ab", "command": "lungsev-train brixia --data /secret/place/images"}


def predictions(count: int, seed: int, readers: tuple[str, ...] = ("senior", "junior")) -> Predictions:
    generator = np.random.default_rng(seed)
    names = tuple(f"image-{index}" for index in range(count))
    return Predictions(
        SCHEME,
        names,
        names,
        tuple("AP" if index % 2 else "PA" for index in range(count)),
        tuple("COVID-19" if index % 3 else "other" for index in range(count)),
        {reader: generator.integers(0, 4, (count, 6)).astype(float) for reader in readers},
        generator.dirichlet(np.ones(4), (count, 6)),
        np.tile(np.eye(3)[:2], (count, 1, 1)),
    )


def write_run(folder: Path) -> Path:
    """Write a run folder with predictions of three parts and all that a run states; without its network."""
    folder.mkdir(parents=True)
    document = {"command": "brixia", "settings": SETTINGS, "made_by": MADE_BY}
    (folder / "config.yaml").write_text(yaml.safe_dump(document))
    for seed, (part, count) in enumerate({"train": 30, "validation": 12, "test": 24}.items()):
        found = predictions(count, seed)
        patients = tuple(f"patient-{row // 2}" for row in range(count))
        replace(found, patients=patients, fitted_on="validation").save(folder / f"predictions-{part}.json")
    metrics = {
        "task": "severity",
        "data": ["cohen"],
        "scheme": "brixia",
        "split": {"protocol": "leak_free", "sha256": "f" * 64, "shared_patients": 0},
        "calibration": {"brixia": Calibration(interval_margin=0.5).model_dump(mode="json")},
        "temperature": {"brixia": 1.25},
        "results": {},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    history = [{"epoch": 0, "train/loss": 1.0}, {"epoch": 1, "train/loss": 0.8}]
    (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in history))
    return folder
