"""The manifest says what a model is, and does not contradict itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tiny_bundle import tiny_manifest

from lungsev.bundle.manifest import GraphSpec, Manifest, OutputSpec, without_paths
from lungsev.grading import Calibration


def with_output(name: str, shape: tuple[int, ...]) -> tuple[OutputSpec, ...]:
    outputs = tiny_manifest().outputs
    return tuple(OutputSpec(name=name, shape=shape) if output.name == name else output for output in outputs)


def test_a_manifest_survives_its_own_json() -> None:
    manifest = tiny_manifest(("brixia", "inha"), calibration={"inha": Calibration(interval_margin=1.5)})
    assert Manifest.model_validate(manifest.model_dump(mode="json")) == manifest


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lung_mask", (1, 1, 32, 32)),
        ("theta", (1, 3, 3)),
        ("probabilities.brixia", (1, 6, 5)),
        ("severity_map.brixia", (1, 1, 16, 16)),
        ("severity_map.brixia", (2, 16, 16)),
    ],
)
def test_an_output_of_another_shape_is_named_with_what_was_found(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match=f"output {name} must have shape") as caught:
        tiny_manifest(outputs=with_output(name, shape))
    assert f"found {shape}" in str(caught.value)


def test_every_output_must_be_there_and_more_may_be() -> None:
    outputs = tiny_manifest().outputs
    for missing in outputs:
        with pytest.raises(ValidationError, match=f"output {missing.name} must have shape"):
            tiny_manifest(outputs=tuple(output for output in outputs if output is not missing))
    more = (*outputs, OutputSpec(name="image_check", shape=(1, 5)))
    assert tiny_manifest(outputs=more).outputs == more


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"graphs": {"fp16": GraphSpec(opset=18)}}, "must state the fp32 graph"),
        ({"calibration": {"inha": Calibration()}}, r"given for \['inha'\], schemes are \['brixia'\]"),
        ({"name": "../model"}, "name"),
        ({"version": "-1"}, "version"),
        ({"licence": ""}, "licence"),
        ({"format_version": 2}, "format_version"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        tiny_manifest(**changes)


@pytest.mark.parametrize(("count", "reason"), [(0, "at least 1 item"), (2, "schemes must differ")])
def test_there_are_schemes_and_none_twice(count: int, reason: str) -> None:
    document = tiny_manifest().model_dump(mode="json")
    document["schemes"] *= count
    with pytest.raises(ValidationError, match=reason):
        Manifest.model_validate(document)


def test_a_scheme_that_was_not_calibrated_has_the_defaults() -> None:
    calibrated = Calibration(decision="median", interval_margin=2.0)
    manifest = tiny_manifest(("brixia", "inha"), calibration={"inha": calibrated})
    assert manifest.scheme_calibration("inha") == calibrated
    assert manifest.scheme_calibration("brixia") == Calibration()


def test_paths_are_cut_from_settings() -> None:
    settings = {
        "data": "/secret/place/images",
        "n": 3,
        "list": ["../up/masks", "plain"],
        "command": "train --data /a/b",
    }
    assert without_paths(settings) == {
        "data": "images",
        "n": 3,
        "list": ["masks", "plain"],
        "command": "train --data b",
    }


def test_masks_and_frames_may_be_of_both_lungs_or_of_each() -> None:
    for shapes in (
        {"theta": (1, 2, 2, 3)},
        {"lung_mask": (1, 2, 64, 64)},
        {"theta": (1, 2, 2, 3), "lung_mask": (1, 2, 64, 64)},
    ):
        outputs = tuple(
            OutputSpec(name=output.name, shape=shapes.get(output.name, output.shape))
            for output in tiny_manifest().outputs
        )
        assert tiny_manifest(outputs=outputs).outputs == outputs


def test_a_manifest_from_before_zones_draws_its_boxes() -> None:
    document = tiny_manifest().model_dump(mode="json")
    for region in document["schemes"][0]["regions"]:
        del region["zone"]
    for region in Manifest.model_validate(document).schemes[0].regions:
        assert region.zone == region.box


def test_the_main_scheme_is_brixia_wherever_it_stands() -> None:
    assert tiny_manifest(("ralo", "brixia")).main_scheme.name == "brixia"
    assert tiny_manifest(("ralo", "inha")).main_scheme.name == "ralo"
