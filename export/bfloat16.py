"""Margins of bfloat16 for a bundle, measured on real images and written into its manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lungsev.bundle.archive import Bundle
from lungsev.bundle.bfloat16 import Bfloat16
from lungsev.bundle.rewriting import rewrite_bundle
from lungsev.errors import BackendError
from lungsev.inference.bfloat16.measure import compare_passes, measure_margins
from lungsev.inference.bfloat16.passes import OpenVinoPasses
from lungsev.inference.cpus import has_bfloat16
from lungsev.inference.parity import parity_cases

ENTRY_DEPTH = 12  # docs/measurements.md
LEAST_IMAGES = 100  # a margin is the largest difference among them

Log = Callable[[str], None]


def with_margins(
    bundle: Bundle,
    target: Path,
    images: Sequence[Path],
    entry_depth: int = ENTRY_DEPTH,
    log: Log = lambda _: None,
    least: int = LEAST_IMAGES,
) -> Bundle:
    """Measure a bundle's margins and write it with them; a processor without bfloat16 computes what one with it does.

    Args:
        bundle: As it is.
        target: Folder or .zip, which may be where it is.
        images: Files of real radiographs; those that cannot be read are left out.
        entry_depth: Convolutions of the severity network that stay FP32.
        log: Receives one line about what was measured.
        least: Number of real radiographs below which no margins are written.

    Raises:
        MissingExtraError: openvino is not installed.
        BackendError: There are too few images, or OpenVINO refuses the graph.
    """
    emulated = not has_bfloat16()
    passes = OpenVinoPasses(bundle.graph_bytes(), entry_depth, emulated=emulated)
    compared, real = [], 0
    for case in parity_cases(bundle.manifest.input.size_px, radiographs=images):  # phantoms and artificial ones, too
        compared.append(compare_passes(passes, case.image))
        real += case.name.startswith("image ")
    passes.close()
    if real < least:
        raise BackendError(f"found {real} radiographs to measure bfloat16 on, expected {least} or more")
    measured = measure_margins(compared, bundle.manifest, entry_depth, emulated)
    log(describe(measured))
    return rewrite_bundle(bundle, target, bundle.manifest.model_copy(update={"bfloat16": measured}))


def describe(measured: Bfloat16) -> str:
    """Return what was measured in one line."""
    margins = ", ".join(f"{name} {margin:.4f}" for name, margin in measured.grade_margins.items())
    return (
        f"bfloat16 on {measured.images} images: {measured.changed} of {measured.grades} grades changed by one pass; "
        f"{measured.again:.1%} of the images graded again, and none changed; margins {margins}"
    )
