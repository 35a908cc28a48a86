"""The measurement by view, finding and image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungsev.grading import Calibration
from lungsev.schemes import load_scheme
from lungsev.train.evaluation.breakdown import by_group, worst_images
from lungsev.train.evaluation.predictions import Predictions

SCHEME = load_scheme("brixia")
RNG = np.random.default_rng(0)


@pytest.fixture
def predictions() -> Predictions:
    """Twelve images: eight of one view graded right, four of another graded one too high."""
    truth = RNG.integers(0, 3, (12, 6))
    said = truth + (np.arange(12) >= 8)[:, None]
    return Predictions(
        SCHEME,
        tuple(f"image{n}" for n in range(12)),
        tuple(f"p{n}" for n in range(12)),
        ("AP",) * 8 + ("PA",) * 4,
        ("COVID-19",) * 6 + ("",) * 6,
        {"S": truth.astype(float)},
        np.eye(4)[said],
        np.zeros((12, 2, 3)),
    )


def test_each_group_is_measured_alone_and_small_ones_are_left_out(predictions: Predictions) -> None:
    found = by_group(predictions, predictions.view_positions, "median")
    assert list(found) == ["AP"]
    assert found["AP"]["images"] == 8
    assert found["AP"]["accuracy"] == 1.0
    assert list(by_group(predictions, predictions.findings, "median")) == ["COVID-19", "not stated"]


def test_the_worst_images_come_first_with_what_each_reader_said(predictions: Predictions) -> None:
    second = np.full((12, 6), np.nan)
    second[10] = 3.0
    both = replace(predictions, readings={**predictions.readings, "J": second})
    worst = worst_images(both, Calibration(decision="median", coverage=0.8), count=4)
    assert {image["image"] for image in worst} == {"image8", "image9", "image10", "image11"}
    for image in worst:
        assert image["expected_total"] - image["readers"]["S"] == pytest.approx(6)
        assert image["readers"].get("J") == (18.0 if image["image"] == "image10" else None)
