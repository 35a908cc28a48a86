from __future__ import annotations

import hashlib
from typing import Any

import pytest
from pydantic import ValidationError
from tiny_bundle import tiny_manifest

from lungsev.bundle.archive import default_bundle_path
from lungsev.bundle.bfloat16 import Bfloat16, packaged_bfloat16
from lungsev.bundle.manifest import Manifest

MEASURED: dict[str, Any] = {
    "entry_depth": 3,
    "grade_margins": {"brixia": 0.02},
    "confidence_margin": 0.01,
    "images": 10,
    "grades": 60,
    "changed": 1,
    "again": 0.3,
    "emulated": True,
}


def test_the_packaged_model_has_margins_of_many_real_images() -> None:
    folder = default_bundle_path()
    manifest = (folder / "manifest.yaml").read_text(encoding="utf-8")
    measured = packaged_bfloat16().get(hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest())
    if measured is None:  # measured when it was exported, and checked when the manifest is read
        assert "\nbfloat16:\n" in manifest
        return
    assert all(f"name: {scheme}\n" in manifest for scheme in measured.grade_margins)
    assert measured.images > 400
    assert all(0 < margin < 0.1 for margin in measured.grade_margins.values())


def test_a_manifest_states_margins_for_its_own_schemes() -> None:
    manifest = tiny_manifest(bfloat16=Bfloat16(**MEASURED))
    assert Manifest.model_validate(manifest.model_dump(mode="json")) == manifest
    with pytest.raises(ValidationError, match=r"margins for \['ralo'\], schemes are \['brixia'\]"):
        tiny_manifest(bfloat16=Bfloat16(**{**MEASURED, "grade_margins": {"ralo": 0.02}}))


def test_a_manifest_without_margins_has_none() -> None:
    assert tiny_manifest().bfloat16 is None
