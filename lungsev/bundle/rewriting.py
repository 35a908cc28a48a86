"""A bundle with another manifest: the card is written from it again, the graphs stay as they are."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from lungsev.bundle.archive import Bundle, write_bundle
from lungsev.bundle.card import write_card
from lungsev.bundle.contents import GRAPH_FILES, OPTIONAL_FILES, SIGNATURE_FILE
from lungsev.bundle.manifest import Manifest
from lungsev.inference.parity import Parity


def rewrite_bundle(opened: Bundle, target: Path, manifest: Manifest) -> Bundle:
    """Write a bundle's graphs and other files with another manifest and the card that follows from it.

    Args:
        opened: The bundle as it is.
        target: Folder or .zip, which may be where it is.
        manifest: The new one, of the same graphs.

    Raises:
        BundleError: The bundle cannot be written.
    """
    graphs = {precision: opened.graph_bytes(precision) for precision in opened.precisions}
    extra = {
        name: opened.file_bytes(name)
        for name in set(OPTIONAL_FILES) - {*GRAPH_FILES.values(), SIGNATURE_FILE}  # of the old manifest
        if opened.has_file(name)
    }
    return write_bundle(target, manifest, graphs, write_card(manifest, _parities(opened)), extra)


def _parities(bundle: Bundle) -> list[Parity]:
    """The comparisons that the bundle's graphs passed, for its card."""
    if not bundle.has_file("parity.json"):
        return []
    known = [field.name for field in fields(Parity)]
    return [
        Parity(**{name: row.get(name) for name in known})
        for row in json.loads(bundle.file_bytes("parity.json"))["comparisons"]
    ]
