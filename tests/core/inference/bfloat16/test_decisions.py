from __future__ import annotations

import numpy as np
import pytest
from bfloat16_passes import FAR, MEASURED, outputs_of
from tiny_bundle import tiny_manifest

from lungsev.bundle.manifest import Manifest
from lungsev.grading import Calibration
from lungsev.inference.bfloat16.decisions import close_decision
from lungsev.quality.limits import QualityLimits


def deciding(by: str) -> Manifest:
    return tiny_manifest(calibration={"brixia": Calibration(decision=by)})  # type: ignore[arg-type]


def test_grades_far_from_their_borders_are_settled() -> None:
    assert close_decision(outputs_of(), deciding("median"), MEASURED) == ""
    assert close_decision(outputs_of(), deciding("argmax"), MEASURED) == ""


@pytest.mark.parametrize(
    ("by", "row", "is_close"),
    [
        ("median", [0.1, 0.381, 0.5, 0.019], True),  # cumulated .481: .019 from a half
        ("median", [0.1, 0.419, 0.4, 0.081], True),  # .519
        ("median", [0.1, 0.375, 0.4, 0.125], False),  # .475 and .875
        ("argmax", [0.1, 0.401, 0.399, 0.1], True),
        ("argmax", [0.1, 0.45, 0.35, 0.1], False),
    ],
)
def test_a_grade_near_its_border_is_named(by: str, row: list[float], is_close: bool) -> None:
    said = close_decision(outputs_of(FAR, row), deciding(by), MEASURED)
    assert said == ("the brixia grade of B is close to another" if is_close else "")


def test_the_mean_probability_has_a_limit_too() -> None:
    manifest = deciding("median").model_copy(update={"quality": QualityLimits(grade_confidence_warn=0.905)})
    assert "mean probability" in close_decision(outputs_of(), manifest, MEASURED)


def test_what_is_not_a_number_is_close_to_everything() -> None:
    assert "brixia grade of A" in close_decision(outputs_of([np.nan] * 4), deciding("median"), MEASURED)
    assert "brixia grade of A" in close_decision(outputs_of([np.nan] * 4), deciding("argmax"), MEASURED)
