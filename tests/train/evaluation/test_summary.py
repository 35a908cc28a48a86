"""What metrics.json says of a part are measurements."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.train.evaluation.measurement import measure
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
