"""Two ways to run a network are compared on made-up outputs whose differences are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import tiny_manifest

from lungsev.errors import ParityError
from lungsev.grading import Calibration
from lungsev.inference.backend import Outputs
from lungsev.inference.parity import (
    HALF_TOLERANCE,
    Parity,
    ParityCase,
    Tolerance,
    compare,
    parity_cases,
    radiographs_in,
)

MANIFEST = tiny_manifest(calibration={"brixia": Calibration(decision="argmax")})
CASES = [ParityCase(name, np.full((1, 1, 4, 4), value, np.float32)) for name, value in (("one", 0.0), ("two", 1.0))]


def outputs(first_zone: tuple[float, float, float, float], theta: float = 0.0) -> Outputs:
    probabilities = np.tile(np.array([0.7, 0.1, 0.1, 0.1], np.float32), (1, 6, 1))
    probabilities[0, 0] = first_zone
    return {
        "theta": np.full((1, 2, 3), theta, np.float32),
        "lung_mask": np.zeros((1, 1, 2, 2), np.float32),
        "probabilities.brixia": probabilities,
        "severity_map.brixia": np.zeros((1, 2, 2), np.float32),
        "image_check": np.full((1, 3), theta, np.float32),
    }


def steady(image: np.ndarray) -> Outputs:
    return outputs((0.4, 0.35, 0.15, 0.1))


def differing_on_two(image: np.ndarray) -> Outputs:
    return outputs((0.3, 0.45, 0.15, 0.1), theta=0.25) if image.max() > 0 else steady(image)


def parity_of(**changes: float) -> Parity:
    same = compare(("reference", steady), ("candidate", steady), CASES, MANIFEST)
    return Parity(**{**same.to_dict(), **changes})


def test_the_same_outputs_do_not_differ() -> None:
    parity = compare(("net", steady), ("graph", steady), CASES, MANIFEST)
    assert (parity.cases, parity.grades, parity.changed_grades, parity.worst_case) == (2, 12, 0, "none")
    assert (parity.theta, parity.probabilities, parity.lung_mask, parity.severity_map) == (0, 0, 0, 0)
    assert parity.smallest_margin == pytest.approx(0.05)


def test_the_largest_differences_the_changed_grades_and_the_worst_case_are_told() -> None:
    parity = compare(("net", steady), ("graph", differing_on_two), CASES, MANIFEST)
    assert parity.theta == pytest.approx(0.25)
    assert parity.probabilities == pytest.approx(0.1)
    assert (parity.changed_grades, parity.worst_case) == (1, "two")
    assert str(parity) == ("graph against net on 2 images: theta 0.25, probabilities 0.1, 1 of 12 grades changed")


def test_an_output_without_a_number_is_beyond_every_tolerance() -> None:
    def broken(image: np.ndarray) -> Outputs:
        return {**steady(image), "theta": np.full((1, 2, 3), np.nan, np.float32)}

    parity = compare(("net", steady), ("graph", broken), CASES, MANIFEST)
    assert parity.theta == float("inf")
    assert not parity.within(Tolerance(theta=1e9, probabilities=1e9))


def test_a_difference_at_the_tolerance_is_allowed_and_beyond_it_named() -> None:
    parity_of(theta=HALF_TOLERANCE.theta, probabilities=HALF_TOLERANCE.probabilities).require(HALF_TOLERANCE)
    with pytest.raises(ParityError, match=r"candidate differs from reference: theta 0\.006 \(allowed 0\.005\)"):
        parity_of(theta=0.006).require(HALF_TOLERANCE)
    with pytest.raises(ParityError, match=r"probabilities 0\.02 \(allowed 0\.01\)"):
        parity_of(probabilities=0.02).require(HALF_TOLERANCE)
    assert not parity_of(theta=float("nan")).within(HALF_TOLERANCE)


def test_no_grade_may_change_unless_a_share_of_them_may() -> None:
    some = Tolerance(theta=1, probabilities=1, changed_share=0.02)
    assert not parity_of(changed_grades=1, grades=100).within(HALF_TOLERANCE)
    assert parity_of(changed_grades=2, grades=100).within(some)
    assert not parity_of(changed_grades=3, grades=100).within(some)


def test_cases_are_phantoms_artificial_images_and_numbered_images_without_the_unreadable(tmp_path: Path) -> None:
    unreadable = tmp_path / "name.dcm"
    unreadable.write_bytes(b"nothing")
    cases = list(parity_cases(96, phantoms=1, radiographs=[unreadable]))
    images = {case.name: case.image for case in cases}
    assert list(images) == ["phantom 0", "black", "white", "inverted phantom", "saturated phantom"]
    assert all(image.shape == (1, 1, 96, 96) and image.dtype == np.float32 for image in images.values())
    assert (images["black"] == 0).all()
    assert (images["white"] == 1).all()
    np.testing.assert_array_equal(images["inverted phantom"], 1 - images["phantom 0"])


def test_files_of_a_folder_are_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("c.png", "b/a.dcm", ".hidden"):
        (tmp_path / name).touch()
    assert radiographs_in(tmp_path) == [tmp_path / "b" / "a.dcm", tmp_path / "c.png"]
