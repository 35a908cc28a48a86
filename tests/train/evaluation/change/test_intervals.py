"""Shares and correlations with intervals over patients."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.train.evaluation.change.intervals import correlation_of, share_of


def test_a_share_has_the_wider_of_two_intervals() -> None:
    alone = share_of([(f"P{i}", i < 5) for i in range(20)])
    clustered = share_of([(f"P{i % 4}", i % 4 == 0) for i in range(20)])
    assert alone["rate"] == clustered["rate"] == 0.25
    assert (clustered["pairs"], clustered["patients"]) == (20, 4)
    assert clustered["interval"][1] - clustered["interval"][0] > alone["interval"][1] - alone["interval"][0]
    assert share_of([("P", True)])["interval"][0] == pytest.approx(0.2065, abs=1e-3)  # Wilson's of 1 in 1


def test_a_correlation_is_numpys_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, 300)
    y = x + rng.normal(0, 1, 300)
    found = correlation_of([(f"P{i // 3}", float(x[i]), float(y[i])) for i in range(300)])
    assert found["rate"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-4)
    low, high = found["interval"]
    assert 0.5 < low < found["rate"] < high < 0.85
    assert (found["pairs"], found["patients"]) == (300, 100)


def test_nothing_to_count_is_none() -> None:
    assert share_of([]) == {"pairs": 0, "patients": 0, "rate": None, "interval": None}
    assert correlation_of([("P", 1.0, 2.0)] * 5)["rate"] is None
    assert correlation_of([("P", 1.0, 2.0), ("P", 2.0, 1.0)])["rate"] is None
