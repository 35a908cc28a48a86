"""What metrics.json says of a part are measurements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sklearn
import torch
import torchmetrics.functional as torchmetrics
from graded_runs import SCHEME, predictions

from lungsev.train.evaluation.calibration import cross_fitted
from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.simulated import patient_folds, simulated_predictions
from lungsev.train.evaluation.summary import headline, measurements_of, summarise


def test_plain_numbers_and_measurements_are_the_same_values() -> None:
    graded = replace(predictions(24, 0), intervals=np.tile([4.0, 14.0], (24, 1)), fitted_on="validation")
    found = summarise(graded, "test")
    json.dumps(found, allow_nan=False)
    for each in measurements_of(found):
        again = measure(graded, each.measure, "test", each.decision)
        assert again == each
        if each.decision in ("argmax", "median", "expected") and each.measure != "ece":
            assert found[each.decision][each.measure] == each.value
    assert found["ece"] == measure(graded, "ece").value
    assert found["interval"]["coverage"] == measure(graded, "interval_coverage").value
    assert found["lungs"]["right"]["total_r"] == measure(graded, "total_r", region="right").value
    assert found["argmax"]["region_kappa"][2] == measure(graded, "kappa", region="C").value
    assert found["calibration_fitted_on"] == "validation"
    assert (found["images"], found["patients"]) == (24, 24)


def test_every_number_is_what_other_libraries_say_of_the_saved_file(tmp_path: Path) -> None:
    graded = simulated_predictions(SCHEME, 3, 40)
    graded.readings["reader"][:5, 1] = np.nan
    cross_fitted(graded, patient_folds(graded)).save(tmp_path / "p.json")
    saved = json.loads((tmp_path / "p.json").read_text())
    truth = np.array(saved["readings"]["reader"], dtype=float)
    stated = np.array(saved["probabilities"])
    ends = np.array(saved["intervals"])
    known, whole = ~np.isnan(truth), ~np.isnan(truth).any(axis=1)
    flat, said = truth[known].astype(int), stated.argmax(axis=-1)[known]
    totals, expected = truth[whole].sum(axis=1), (stated @ np.arange(4)).sum(axis=1)[whole]
    found = summarise(Predictions.load(tmp_path / "p.json"), "test")
    likely = found["argmax"]
    assert likely["accuracy"] == pytest.approx(sklearn.accuracy_score(flat, said))
    assert likely["mae"] == pytest.approx(sklearn.mean_absolute_error(flat, said))
    assert likely["kappa"] == pytest.approx(sklearn.cohen_kappa_score(flat, said, weights="quadratic"))
    zone_b = known[:, 1]
    kappa = sklearn.cohen_kappa_score(truth[zone_b, 1], stated[zone_b, 1].argmax(axis=-1), weights="quadratic")
    assert likely["region_kappa"][1] == pytest.approx(kappa)
    assert found["expected"]["total_mae"] == pytest.approx(sklearn.mean_absolute_error(totals, expected))
    assert found["expected"]["total_r"] == pytest.approx(scipy.stats.pearsonr(totals, expected)[0])
    torch_ece = torchmetrics.calibration_error(
        torch.tensor(stated[known]), torch.tensor(flat), task="multiclass", num_classes=4, n_bins=15
    )
    assert found["ece"] == pytest.approx(float(torch_ece), abs=1e-6)
    inside = (ends[whole, 0] <= totals) & (totals <= ends[whole, 1])
    assert found["interval"]["coverage"] == pytest.approx(inside.mean())
    assert found["interval"]["mean_width"] == pytest.approx((ends[whole, 1] - ends[whole, 0]).mean())


def test_groups_and_readers_are_measured_with_their_numbers() -> None:
    graded = replace(predictions(24, 0), intervals=np.tile([4.0, 14.0], (24, 1)))
    found = summarise(graded, "test")
    assert set(found["groups"]) == {"view position", "finding", "severity"}
    ap = {each["measure"]: each for each in found["groups"]["view position"]["AP"]}
    assert (ap["interval_coverage"]["part"], ap["accuracy"]["images"]) == ("test, AP", 12)
    assert found["second_reader"]["who"] == "reader junior against senior"
    same = graded.readings["senior"] == graded.readings["junior"]
    assert found["second_reader"]["accuracy"] == pytest.approx(same.mean())


def test_without_intervals_or_a_second_reader_nothing_is_said_of_them() -> None:
    found = summarise(predictions(12, 0, ("senior",)), "test")
    assert not {"interval", "second_reader"} & set(found)
    assert found["calibration_fitted_on"] == "nothing"


def test_a_log_line_names_part_decision_and_number() -> None:
    line = headline(predictions(12, 0), "validation", ("accuracy",))
    assert line.startswith("validation part: 12 images of 12 patients, accuracy (argmax), %: ")
