"""Overlap of two masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def dice(reference: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> float:
    """2 |A and B| / (|A| + |B|) of two boolean masks; 1 when both are empty.

    Raises:
        ValueError: Their shapes differ.
    """
    first, second = np.asarray(reference, dtype=bool), np.asarray(predicted, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"masks of shapes {first.shape} and {second.shape} cannot be compared")
    size = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / size if size else 1.0
