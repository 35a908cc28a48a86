"""Predictions of random grades and runs that hold them, for what a report is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.reporting.load import RunReport

SCHEME = load_scheme("brixia")


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


def run(label: str, parts: dict[str, Predictions], initial: dict[str, Any] | None = None, **network: Any) -> RunReport:
    settings = {
        "title": label if label.startswith("CXR") else "",
        "network": {"backbone": "resnet18", "neck": "concat", **network},
        "initial": initial or {},
    }
    history = [{"epoch": 0, "train/loss": 1.0, "validation/loss": 0.9}, {"epoch": 1, "train/loss": 0.8}]
    return RunReport(Path(label), label, settings, {}, parts, None, history)
