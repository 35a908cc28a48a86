"""Stand-in of both passes: outputs that a test chooses, without OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.bundle.bfloat16 import Bfloat16
from lungsev.inference.backend import Outputs

Rows = Sequence[Sequence[float]]

MEASURED = Bfloat16(
    entry_depth=3,
    grade_margins={"brixia": 0.02},
    confidence_margin=0.01,
    images=10,
    grades=60,
    changed=1,
    again=0.25,
    emulated=True,
)
FAR = [0.02, 0.03, 0.9, 0.05]  # cumulated .02, .05, .95: far from a half


def outputs_of(*rows: Sequence[float]) -> Outputs:
    """Outputs for one image of the scheme brixia: the given rows, and FAR for the other regions."""
    regions = np.array([*rows, *[FAR] * (6 - len(rows))], np.float32)
    return {"theta": np.zeros((1, 2, 3), np.float32), "probabilities.brixia": regions[None]}


class FakePasses:
    """Gives `once`, then `twice` for the grades, and counts; `once` may depend on the image."""

    def __init__(self, once: Outputs | Callable[[Any], Outputs], twice: Outputs) -> None:
        self._once, self._twice = once, twice
        self.seconds = 0
        self.closed = False

    def first(self, image: npt.NDArray[np.float32]) -> tuple[Outputs, Sequence[npt.NDArray[Any]]]:
        return (self._once(image) if callable(self._once) else self._once), [image]

    def again(self, handed: Sequence[npt.NDArray[Any]]) -> Outputs:
        self.seconds += 1
        return {"probabilities.brixia": self._twice["probabilities.brixia"]}

    def close(self) -> None:
        self.closed = True
