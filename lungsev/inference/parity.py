"""Parity: comparison of two ways to run the same network, passed before any graph or engine is used.

Alignment, probabilities and above all grades are compared on phantoms, on blank, inverted and saturated images, and on
real images where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.bundle.manifest import Manifest
from lungsev.errors import ImageError, ParityError
from lungsev.grading import grade_distances, grade_indices
from lungsev.inference.backend import Outputs
from lungsev.preprocessing.canvas import to_canvas

Infer = Callable[[npt.NDArray[np.float32]], Outputs]


@dataclass(frozen=True)
class Tolerance:
    """Largest allowed absolute differences, and the share of grades that may differ, by default none."""

    theta: float
    probabilities: float
    changed_share: float = 0.0


FP32_TOLERANCE = Tolerance(theta=1e-4, probabilities=1e-3)
HALF_TOLERANCE = Tolerance(theta=5e-3, probabilities=1e-2)
# The network before and after its weights were rounded: a slightly different network, not another graph of it.
ROUNDED_WEIGHTS_TOLERANCE = Tolerance(theta=1e-2, probabilities=5e-2, changed_share=0.02)


@dataclass(frozen=True)
class ParityCase:
    """One input. `name` is the kind of a phantom or artificial image; real images are numbered, never named."""

    name: str
    image: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """Largest absolute differences between `candidate` and `reference` over all cases.

    Attributes:
        changed_grades: Number of region grades that differ, out of `grades`.
        smallest_margin: Margin of the grade that is closest to changing.
        worst_case: Name of the case in which the probabilities differ most.
    """

    reference: str
    candidate: str
    cases: int
    theta: float
    lung_mask: float
    probabilities: float
    severity_map: float
    changed_grades: int
    grades: int
    smallest_margin: float
    worst_case: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.candidate} against {self.reference} on {self.cases} images: theta {self.theta:.2g}, "
            f"probabilities {self.probabilities:.2g}, {self.changed_grades} of {self.grades} grades changed"
        )

    def within(self, tolerance: Tolerance) -> bool:
        """Return whether the differences are within a tolerance."""
        return not self._broken(tolerance)

    def require(self, tolerance: Tolerance) -> None:
        """Raise an error when the differences are beyond a tolerance.

        Raises:
            ParityError: With the numbers.
        """
        broken = self._broken(tolerance)
        if broken:
            raise ParityError(
                f"{self.candidate} differs from {self.reference}: {', '.join(broken)}; worst on {self.worst_case}; "
                "it is not used"
            )

    def _broken(self, tolerance: Tolerance) -> list[str]:
        broken = [
            f"{name} {value:.3g} (allowed {allowed:g})"
            for name, value, allowed in (
                ("theta", self.theta, tolerance.theta),
                ("probabilities", self.probabilities, tolerance.probabilities),
            )
            if not value <= allowed  # NaN breaks it too
        ]
        allowed_changes = int(tolerance.changed_share * self.grades)
        if self.changed_grades > allowed_changes:
            broken.append(f"{self.changed_grades} of {self.grades} grades changed (allowed {allowed_changes})")
        return broken


def parity_cases(size_px: int, phantoms: int = 6, radiographs: Iterable[Path] = ()) -> Iterator[ParityCase]:
    """Make the inputs to compare on, one at a time; real images that cannot be read are left out."""
    from lungsev.phantom import make_phantom
    from lungsev.reading.radiograph import Radiograph
    from lungsev.reading.read import read_radiograph
    from lungsev.reading.values.brightness import Brightness
    from lungsev.report import ImageInfo

    first: npt.NDArray[np.float32] | None = None
    for seed in range(phantoms):
        pixels = make_phantom(seed, size_px=size_px).pixels
        box = (0, 0, *pixels.shape)
        canvas = to_canvas(Radiograph(Brightness(pixels), ImageInfo(), box), size_px).pixels
        first = canvas if first is None else first
        yield _case(f"phantom {seed}", canvas)
    blank = np.zeros((size_px, size_px), np.float32)
    yield _case("black", blank)
    yield _case("white", blank + 1)
    if first is not None:
        yield _case("inverted phantom", 1 - first)
        yield _case("saturated phantom", np.clip((first - 0.4) * 8, 0, 1))
    number = 0
    for path in radiographs:
        try:
            canvas = to_canvas(read_radiograph(path), size_px).pixels
        except ImageError:
            continue
        number += 1
        yield _case(f"image {number}", canvas)


def compare(
    reference: tuple[str, Infer], candidate: tuple[str, Infer], cases: Iterable[ParityCase], manifest: Manifest
) -> Parity:
    """Run both on every case; each is (its name, its `infer`)."""
    largest = {"theta": 0.0, "lung_mask": 0.0, "probabilities": 0.0, "severity_map": 0.0}
    changed = grades = count = 0
    smallest_margin = 1.0
    worst_case = "none"
    for case in cases:
        count += 1
        expected, found = reference[1](case.image), candidate[1](case.image)
        for name in expected:
            kind = name.split(".")[0]
            if kind not in largest:
                continue
            difference = _largest_difference(expected[name], found[name])
            if kind == "probabilities" and not difference <= largest[kind]:
                worst_case = case.name
            largest[kind] = max(largest[kind], difference)
        for scheme in manifest.schemes:
            name, decision = f"probabilities.{scheme.name}", manifest.scheme_calibration(scheme.name).decision
            before, after = grade_indices(expected[name], decision), grade_indices(found[name], decision)
            changed += int((before != after).sum())
            grades += before.size
            smallest_margin = min(smallest_margin, float(grade_distances(expected[name], decision).min()))
    return Parity(
        reference=reference[0],
        candidate=candidate[0],
        cases=count,
        changed_grades=changed,
        grades=grades,
        smallest_margin=smallest_margin,
        worst_case=worst_case,
        **largest,
    )


def _case(name: str, canvas: npt.NDArray[np.float32]) -> ParityCase:
    return ParityCase(name, np.ascontiguousarray(canvas[None, None], dtype=np.float32))


def _largest_difference(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Return the largest difference; infinity when either has a NaN, which no tolerance may allow."""
    difference = float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
    return difference if np.isfinite(difference) else float("inf")


def radiographs_in(folder: Path) -> Sequence[Path]:
    """Return every file below a folder, sorted, without hidden ones."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
