"""Made-up predictions that are wrong by one grade in a stated share of regions."""

from __future__ import annotations

from dataclasses import replace

import graded_runs
import numpy as np

from lungsev.train.ablation.decision import Trained
from lungsev.train.evaluation.predictions import Predictions


def predictions(wrong: float, patients: int = 60, seed: int = 0) -> Predictions:
    """Two images a patient, graded alike by every call; `wrong` of the regions get a neighbouring grade.

    Regions that are wrong at some share are wrong at every larger one, as long as the seed is the same.
    """
    base = graded_runs.predictions(2 * patients, 0, ("senior",))
    truth = base.reference.astype(int)
    is_wrong = np.random.default_rng(seed).random(truth.shape) < wrong
    said = np.where(is_wrong, np.where(truth == 3, 2, truth + 1), truth)
    people = tuple(f"patient-{row // 2}" for row in range(2 * patients))
    return replace(base, patients=people, probabilities=np.eye(4)[said])


def trained(
    wrong: float, rate: float = 5e-4, validation: float | None = None, patients: int = 60, seed: int = 0, seeds: int = 3
) -> Trained:
    """An arm at one rate, wrong in a share of the regions of its test part, and of its validation part."""
    held = wrong if validation is None else validation
    return Trained(
        f"row-{wrong}-{rate}",
        rate,
        tuple(predictions(held, 10, 100 + seed + number) for number in range(seeds)),
        tuple(predictions(wrong, patients, seed + number) for number in range(seeds)),
    )
