"""Contents of a bundle: the names of its files, and the checks that they must pass."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from lungsev.bundle.manifest import FORMAT_VERSION, Manifest, Precision
from lungsev.bundle.onnx_facts import OnnxFacts
from lungsev.config import parse_yaml
from lungsev.errors import BundleError
from lungsev.preprocessing.canvas import PREPROCESSING_VERSION

GRAPH_FILES: dict[Precision, str] = {"fp32": "model.onnx", "fp16": "model.fp16.onnx"}
MANIFEST_FILE = "manifest.yaml"
CHECKSUM_FILE = "SHA256SUMS"
SIGNATURE_FILE = "SIGNATURE"  # of the checksums, see lungsev.bundle.signature
REQUIRED_FILES = (MANIFEST_FILE, GRAPH_FILES["fp32"], "card.md", CHECKSUM_FILE)
OPTIONAL_FILES = (GRAPH_FILES["fp16"], "parity.json", "LICENSE", SIGNATURE_FILE)


def check_names(files: Mapping[str, bytes], where: Path) -> None:
    """Check that all required files are there, and no others.

    Raises:
        BundleError: A file is missing or unknown.
    """
    missing = [name for name in REQUIRED_FILES if name not in files]
    if missing:
        raise BundleError(f"{where} is not a whole bundle: {', '.join(missing)} missing; copy or export it again")
    foreign = sorted(set(files) - {*REQUIRED_FILES, *OPTIONAL_FILES})
    if foreign:
        raise BundleError(f"{where} holds {', '.join(map(repr, foreign))}, which no bundle has; remove it")


def check_sums(files: Mapping[str, bytes], where: Path) -> None:
    """Check every file against its checksum.

    Raises:
        BundleError: A file is damaged, or the list does not fit the files.
    """
    stated = _stated_sums(files[CHECKSUM_FILE], where)
    held = set(files) - {CHECKSUM_FILE, SIGNATURE_FILE}
    if held != set(stated):
        names = ", ".join(sorted(held ^ set(stated)))
        raise BundleError(f"{where}: {CHECKSUM_FILE} and the files differ in {names}; copy or export it again")
    for name in stated:
        check_sum(files[CHECKSUM_FILE], name, files[name], where)


def check_sum(sums: bytes, name: str, data: bytes, where: Path) -> None:
    """Check one file against its checksum.

    Args:
        sums: The contents of SHA256SUMS.
        name: Of the file in the bundle.
        data: Its contents.
        where: For the message.

    Raises:
        BundleError: The file is damaged, or none of the bundle's.
    """
    found, expected = hashlib.sha256(data).hexdigest(), _stated_sums(sums, where).get(name, "none")
    if found != expected:
        raise BundleError(
            f"{where}/{name} was changed or damaged: found sha256 {found[:12]}…, expected {expected[:12]}…; "
            "copy the bundle again"
        )


def parse_manifest(data: bytes, where: Path) -> Manifest:
    """Parse and validate the manifest.

    Raises:
        BundleError: It is not YAML, of another format version, or has a wrong value.
    """
    try:
        document = parse_yaml(data)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise BundleError(f"{where}/{MANIFEST_FILE} is not valid YAML; export the bundle again") from None
    if not isinstance(document, dict):
        raise BundleError(f"{where}/{MANIFEST_FILE} holds no mapping; export the bundle again")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{where} has bundle format version {version!r}, this lungsev reads version {FORMAT_VERSION}; "
            "use the lungsev release it was made with, or export it again"
        )
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{where}/{MANIFEST_FILE}: {key}: {first['msg']}; export the bundle again") from None


def check_preprocessing(manifest: Manifest, where: Path) -> None:
    """Check that this lungsev prepares images as the bundle's network expects them.

    Raises:
        BundleError: It does not.
    """
    if manifest.preprocessing_version != PREPROCESSING_VERSION:
        raise BundleError(
            f"{where} was made for preprocessing version {manifest.preprocessing_version!r}, this lungsev prepares "
            f"images by version {PREPROCESSING_VERSION!r}; use the lungsev release it was made with, or export it again"
        )


def check_graph(facts: OnnxFacts, manifest: Manifest, where: str) -> None:
    """Check that a graph is complete and has the inputs and outputs of the manifest.

    Raises:
        BundleError: It does not.
    """
    if facts.external_data:
        raise BundleError(f"{where} refers to weights outside the file; a bundle carries them inside: export it again")
    if facts.bad_weights:
        raise BundleError(f"{where}: weight {facts.bad_weights[0]} holds NaN or infinity; train or export it again")
    if set(facts.inputs) != {manifest.input.name}:
        raise BundleError(f"{where} takes {sorted(facts.inputs)}, the manifest says {manifest.input.name!r}")
    stated = {output.name for output in manifest.outputs}
    if set(facts.outputs) != stated:
        names = ", ".join(sorted(set(facts.outputs) ^ stated))
        raise BundleError(f"{where} and the manifest differ in the outputs {names}; export the bundle again")


def _stated_sums(data: bytes, where: Path) -> dict[str, str]:
    """Return the checksums by name."""
    stated: dict[str, str] = {}
    try:
        for line in data.decode("ascii").splitlines():
            digest, name = line.split("  ", 1)
            stated[name] = digest
    except (UnicodeDecodeError, ValueError):
        raise BundleError(f"{where}/{CHECKSUM_FILE} is not a list of checksums; copy the bundle again") from None
    return stated
