"""The measurement by view, finding and image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.breakdown import groups_of, worst_images
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


def test_groups_hold_their_rows_and_small_ones_are_left_out(predictions: Predictions) -> None:
    found = groups_of(predictions)
    assert found["view position"] == {"AP": list(range(8))}
    assert found["finding"] == {"COVID-19": list(range(6)), "not stated": list(range(6, 12))}


def test_severity_is_in_thirds_of_the_range_of_complete_totals(predictions: Predictions) -> None:
    truth = predictions.readings["S"]
    truth[:6], truth[6:] = 0.0, 3.0
    assert groups_of(predictions)["severity"] == {
        "total below 6": list(range(6)),
        "total above 12": list(range(6, 12)),
    }
    truth[0, 0] = np.nan
    assert groups_of(predictions)["severity"]["total below 6"] == list(range(1, 6))


def test_the_worst_images_come_first_with_what_each_reader_said(predictions: Predictions) -> None:
    second = np.full((12, 6), np.nan)
    second[10] = 3.0
    both = replace(predictions, readings={**predictions.readings, "J": second})
    worst = worst_images(both, count=4)
    assert {image["image"] for image in worst} == {"image8", "image9", "image10", "image11"}
    for image in worst:
        assert image["expected_total"] - image["readers"]["S"] == pytest.approx(6)
        assert image["readers"].get("J") == (18.0 if image["image"] == "image10" else None)
