"""An image in memory: as its file stores it, and as a radiograph, whose pixels mean the same from every file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lungsev.reading.grayscale import Grayscale
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo

Stored = npt.NDArray[np.integer]


@dataclass(frozen=True)
class StoredImage:
    """One decoded image, upright, before its values are shown as brightness.

    Attributes:
        values: uint8, int8, uint16 or int16 [rows, columns]: sign extended, unused bits removed.
        grayscale: How the file says the values are to be shown.
        info: What the report says of the image, but for its hashes.
        notes: snake_case remarks, see `Radiograph`.
        hashed: The values as a MONOCHROME2 file stores them, before the image was turned.
    """

    values: Stored
    grayscale: Grayscale
    info: ImageInfo
    notes: tuple[str, ...]
    hashed: Stored


@dataclass(frozen=True)
class Radiograph:
    """One frontal radiograph, upright, patient's right on the image's left, bone bright.

    Attributes:
        brightness: [rows, columns], 0-1, after modality LUT, VOI and polarity.
        image: What the report says of the image.
        content_box_px: (y0, x0, y1, x1) of the exposed field inside collimation and padding.
        notes: snake_case remarks that the quality gate turns into flags, e.g. `side_not_verified`,
            `polarity_corrected`, `window_ignored`.
    """

    brightness: Brightness
    image: ImageInfo
    content_box_px: tuple[int, int, int, int]
    notes: tuple[str, ...] = field(default=())

    @property
    def pixels(self) -> npt.NDArray[np.float32]:
        """Return the brightness of all pixels, float32 [rows, columns]."""
        return self.brightness.pixels

    def with_notes(self, *notes: str) -> Radiograph:
        """Return a copy with remarks added, each once."""
        return replace(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))


def pixel_sha256(stored: Stored) -> str:
    """Hash the values a MONOCHROME2 file stores, as little-endian 16-bit numbers with their shape before them."""
    digest = hashlib.sha256(f"{stored.shape[0]}x{stored.shape[1]}:".encode())
    wide = stored.astype(np.dtype("<i2") if stored.dtype.kind == "i" else np.dtype("<u2"), copy=False)
    digest.update(np.ascontiguousarray(wide).data)
    return digest.hexdigest()
