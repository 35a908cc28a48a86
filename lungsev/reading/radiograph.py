"""An image in memory: pixels that mean the same whatever file they came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lungsev.report import ImageInfo


@dataclass(frozen=True)
class Radiograph:
    """One frontal radiograph, upright, patient's right on the image's left, bone bright.

    Attributes:
        pixels: float32 [rows, columns], 0-1, after modality LUT, VOI and polarity.
        image: What the report says of the image.
        content_box_px: (y0, x0, y1, x1) of the exposed field inside collimation and padding.
        notes: snake_case remarks of the reading that the quality gate turns into flags,
            as `side_not_verified`, `polarity_corrected`, `window_ignored`.
    """

    pixels: npt.NDArray[np.float32]
    image: ImageInfo
    content_box_px: tuple[int, int, int, int]
    notes: tuple[str, ...] = field(default=())

    def with_notes(self, *notes: str) -> Radiograph:
        """A copy with remarks added, each once."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))
