"""Lung masks that an alignment can be learned from (see `lungsev.preprocessing.alignment`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SMALLEST_LUNG_PX = 20


def shows_both_lungs(labels: npt.NDArray[np.uint8]) -> bool:
    """Whether a mask (1 right lung, 2 left lung) holds some of each: a box around one lung is no frame for two."""
    return all(int((labels == side).sum()) >= SMALLEST_LUNG_PX for side in (1, 2))
