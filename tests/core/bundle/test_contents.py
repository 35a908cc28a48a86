"""A bundle's files are named, complete and unchanged, and fit its manifest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tiny_bundle import tiny_graph, tiny_manifest

from lungsev.bundle.contents import CHECKSUM_FILE, REQUIRED_FILES, check_graph, check_names, check_sums, parse_manifest
from lungsev.bundle.onnx_facts import read_onnx
from lungsev.errors import BundleError

WHERE = Path("b")


def files_with_sums() -> dict[str, bytes]:
    files = {name: name.encode() for name in REQUIRED_FILES if name != CHECKSUM_FILE}
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()]
    return {**files, CHECKSUM_FILE: "".join(lines).encode()}


def test_the_required_files_are_enough_and_optional_ones_are_allowed() -> None:
    check_names(files_with_sums(), WHERE)
    check_names(dict.fromkeys([*REQUIRED_FILES, "model.fp16.onnx", "parity.json", "LICENSE"], b""), WHERE)


@pytest.mark.parametrize("name", REQUIRED_FILES)
def test_every_required_file_is_required(name: str) -> None:
    files = files_with_sums()
    del files[name]
    with pytest.raises(BundleError, match=f"b is not a whole bundle: {name} missing"):
        check_names(files, WHERE)


def test_right_sums_pass_and_a_changed_file_is_named_with_both_hashes() -> None:
    files = files_with_sums()
    check_sums(files, WHERE)
    expected, found = (hashlib.sha256(data).hexdigest()[:12] for data in (b"card.md", b"another"))
    with pytest.raises(BundleError, match=f"b/card.md was changed or damaged: found sha256 {found}…, .* {expected}…"):
        check_sums({**files, "card.md": b"another"}, WHERE)


def test_a_file_without_a_sum_is_named() -> None:
    with pytest.raises(BundleError, match="SHA256SUMS and the files differ in LICENSE"):
        check_sums({**files_with_sums(), "LICENSE": b""}, WHERE)


@pytest.mark.parametrize("sums", [b"\xff", b"no sums"])
def test_a_list_that_is_none_is_said(sums: bytes) -> None:
    with pytest.raises(BundleError, match="b/SHA256SUMS is not a list of checksums"):
        check_sums({CHECKSUM_FILE: sums}, WHERE)


def test_a_manifest_is_parsed() -> None:
    manifest = tiny_manifest()
    assert parse_manifest(yaml.safe_dump(manifest.model_dump(mode="json")).encode(), WHERE) == manifest


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[", "is not valid YAML"),
        (b"\xff", "is not valid YAML"),
        (b"- 1", "holds no mapping"),
        (b"format_version: 0", "bundle format version 0, this lungsev reads version 1"),
        (b"format_version: 1", "b/manifest.yaml: name: Field required"),
    ],
)
def test_a_manifest_that_is_none_is_refused_with_its_reason(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        parse_manifest(data, WHERE)


def test_a_graph_must_have_its_weights_inside_all_finite_and_the_stated_inputs_and_outputs() -> None:
    facts, manifest = read_onnx(tiny_graph()), tiny_manifest()
    check_graph(facts, manifest, "g")
    for broken, message in (
        (replace(facts, external_data=True), "g refers to weights outside the file"),
        (replace(facts, bad_weights=("w", "v")), "g: weight w holds NaN or infinity"),
        (replace(facts, inputs={"x": (1,)}), r"g takes \['x'\], the manifest says 'image'"),
        (replace(facts, outputs={**facts.outputs, "extra": (1,)}), "g and the manifest differ in the outputs extra"),
    ):
        with pytest.raises(BundleError, match=message):
            check_graph(broken, manifest, "g")
