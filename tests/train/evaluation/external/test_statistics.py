"""Correlation and area under the curve, with intervals over patients."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.train.evaluation.external.statistics import area_under_curve, correlation

PATIENTS = [f"p{index // 2}" for index in range(40)]


def test_r_is_pearsons_and_its_interval_holds_it() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=40)
    found = truth + generator.normal(size=40)
    row = correlation("a against b", found, truth, PATIENTS)
    assert row is not None
    assert row["value"] == pytest.approx(np.corrcoef(found, truth)[0, 1], abs=1e-4)
    assert row["interval"][0] < row["value"] < row["interval"][1]
    assert (row["images"], row["patients"], row["measure"]) == (40, 20, "r")


def test_unknown_values_do_not_count() -> None:
    found, truth = np.arange(40.0), np.arange(40.0)
    found[:10], truth[-10:] = np.nan, np.nan
    row = correlation("a", found, truth, PATIENTS)
    assert row is not None
    assert (row["images"], row["value"]) == (20, 1.0)
    assert correlation("a", found[:12], truth[:12], PATIENTS[:12]) is None


def test_the_area_counts_pairs_and_ties_half() -> None:
    found = np.array([1.0, 2.0, 2.0, 3.0, 9.0])
    positive = np.array([0.0, 0.0, 1.0, 1.0, np.nan])
    row = area_under_curve("ill from clear", found, positive, list("abcde"))
    assert row is not None
    assert row["value"] == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert row["images"] == 4


def test_the_interval_of_an_area_narrows_with_more_patients() -> None:
    generator = np.random.default_rng(1)
    widths = []
    for count in (40, 400):
        positive = (np.arange(count) % 2).astype(float)
        found = positive + generator.normal(size=count)
        row = area_under_curve("a", found, positive, [str(index) for index in range(count)])
        assert row is not None
        assert row["interval"][0] < row["value"] < row["interval"][1]
        widths.append(row["interval"][1] - row["interval"][0])
    assert widths[1] < widths[0] / 2


def test_one_class_has_no_area() -> None:
    assert area_under_curve("a", np.arange(4.0), np.ones(4), list("abcd")) is None
