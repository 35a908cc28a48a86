"""Phantoms as PNG and JPEG files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.phantom.radiograph import PhantomRadiograph


def write_phantom_png(radiograph: PhantomRadiograph, path: Path, bits: Literal[8, 16] = 8) -> Path:
    """Write the image as a grey PNG."""
    top = (1 << bits) - 1
    return write_picture(path, np.round(radiograph.pixels * top).astype(np.uint8 if bits == 8 else np.uint16))


def write_phantom_jpeg(radiograph: PhantomRadiograph, path: Path, quality: int = 92) -> Path:
    """Write the image as a grey JPEG of 8 bits."""
    return write_picture(path, np.round(radiograph.pixels * 255).astype(np.uint8), cv2.IMWRITE_JPEG_QUALITY, quality)


def write_picture(path: Path, image: npt.NDArray[np.integer], *options: int) -> Path:
    """Write an image in the format that the path's suffix names.

    Args:
        path: File to write; its folder exists.
        image: uint8 or uint16 [rows, columns] or [rows, columns, channels in OpenCV's order].
        options: Pairs of OpenCV's encoder parameters.

    Raises:
        ValueError: OpenCV has no encoder for the suffix.
    """
    suffix = path.suffix.lower()
    if not cv2.haveImageWriter(suffix):
        raise ValueError(f"OpenCV has no encoder for {suffix!r}; expected a suffix such as .png or .jpg")
    path.write_bytes(cv2.imencode(suffix, image, options)[1].tobytes())
    return path
