"""Margins of a bundle's graph in bfloat16, from the difference between both passes on images at hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungsev.bundle.bfloat16 import Bfloat16
from lungsev.bundle.manifest import Manifest
from lungsev.errors import BackendError
from lungsev.grading import grade_indices, largest_grade_shift
from lungsev.inference.backend import Outputs
from lungsev.inference.bfloat16.decisions import close_decision
from lungsev.inference.bfloat16.passes import Passes
from lungsev.quality.measures import measure_grades


@dataclass(frozen=True)
class Compared:
    """Both results of one image, without maps.

    Attributes:
        once: Of the first pass.
        twice: The same outputs after the second.
    """

    once: Outputs
    twice: Outputs


def compare_passes(passes: Passes, image: npt.NDArray[np.float32]) -> Compared:
    """Run both passes on an image, float32 [1, 1, S, S]."""
    once, handed = passes.first(image)
    twice = passes.again(handed)
    kept = [name for name in twice if name.startswith("probabilities.")]
    return Compared({name: once[name] for name in kept}, {name: twice[name] for name in kept})


def measure_margins(compared: Iterable[Compared], manifest: Manifest, entry_depth: int, emulated: bool) -> Bfloat16:
    """Return the margins, and how many of the images they send to the second pass.

    A margin is the largest difference that any image showed, so that none of them keeps a changed grade. Of images like
    them, one in as many as were measured shows a larger one; a grade must be as close to its border, too, to change.

    Args:
        compared: At least one image.
        manifest: Schemes and calibration.
        entry_depth: With which the passes were made.
        emulated: They were computed on a processor without bfloat16.

    Raises:
        BackendError: There is no image, or a result is not a number.
    """
    images = list(compared)
    if not images:
        raise BackendError("found no image to measure bfloat16 on; give a folder of radiographs")
    decisions = {scheme.name: manifest.scheme_calibration(scheme.name).decision for scheme in manifest.schemes}
    shifts = {name: _largest(images, name, decision) for name, decision in decisions.items()}
    confidence = max(abs(_confidence(image.once) - _confidence(image.twice)) for image in images)
    if not np.isfinite([*shifts.values(), confidence]).all():
        raise BackendError("the graph gives NaN or infinity in bfloat16; it cannot be used in it")
    changed = [sum(_changed(image, name, decision) for name, decision in decisions.items()) for image in images]
    measured = Bfloat16(
        entry_depth=entry_depth,
        grade_margins={name: _rounded_up(shift) for name, shift in shifts.items()},
        confidence_margin=_rounded_up(confidence),
        images=len(images),
        grades=sum(image.once[f"probabilities.{name}"][0].shape[0] for image in images for name in decisions),
        changed=sum(changed),
        again=0.0,
        emulated=emulated,
    )
    close = [bool(close_decision(image.once, manifest, measured)) for image in images]
    return measured.model_copy(update={"again": round(float(np.mean(close)), 4)})


def changed_after_both(compared: Iterable[Compared], manifest: Manifest, measured: Bfloat16) -> int:
    """Count the grades that differ from FP32 after the second pass, which images close to a border took."""
    return sum(
        _changed(image, scheme.name, manifest.scheme_calibration(scheme.name).decision)
        for image in compared
        if not close_decision(image.once, manifest, measured)
        for scheme in manifest.schemes
    )


def _largest(images: list[Compared], scheme: str, decision: str) -> float:
    name = f"probabilities.{scheme}"
    return float(np.max([largest_grade_shift(image.twice[name], image.once[name], decision) for image in images]))


def _changed(image: Compared, scheme: str, decision: str) -> int:
    name = f"probabilities.{scheme}"
    return int((grade_indices(image.twice[name], decision) != grade_indices(image.once[name], decision)).sum())


def _confidence(outputs: Outputs) -> float:
    return measure_grades(outputs)["grade_confidence"]


def _rounded_up(value: float) -> float:
    return float(np.ceil(value * 1e5) / 1e5)
