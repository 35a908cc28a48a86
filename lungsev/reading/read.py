"""Any supported file to a `Radiograph`; the only entrance for images.

file -> bytes (a regular file within the size limit)       here
     -> values as stored, upright                           decode (DICOM), pictures (PNG, JPEG, TIFF)
     -> brightness 0-1                                      grayscale
     -> exposed field                                       collimation
     -> bone bright                                         polarity
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from lungsev.errors import ImageError, UnreadableImageError
from lungsev.reading.collimation import content_box
from lungsev.reading.container import is_dicom
from lungsev.reading.decode import decode_dicom
from lungsev.reading.grayscale import render
from lungsev.reading.limits import ReadLimits
from lungsev.reading.pictures import decode_picture, store_array
from lungsev.reading.polarity import correct_polarity
from lungsev.reading.radiograph import Radiograph, StoredImage, pixel_sha256
from lungsev.reading.values.edge_bands import note_edges
from lungsev.report import ImageInfo


def read_radiograph(path: Path, limits: ReadLimits | None = None) -> Radiograph:
    """Read an image from a DICOM, PNG, JPEG or TIFF file, whatever its name.

    Raises:
        UnreadableImageError: The file is missing, damaged, hostile or of no known kind.
        SkippedImageError: The file is intact but no frontal chest radiograph.
    """
    limits = limits or ReadLimits()
    return read_radiograph_bytes(read_file(path, limits), limits)


def read_radiograph_bytes(data: bytes, limits: ReadLimits | None = None) -> Radiograph:
    """Read an image from a file's bytes.

    Raises:
        UnreadableImageError: The bytes are damaged, hostile or of no known kind.
        SkippedImageError: The file is intact but no frontal chest radiograph.
    """
    limits = limits or ReadLimits()
    if not data:
        raise UnreadableImageError("empty", "the file is empty")
    with ThreadPoolExecutor(max_workers=1) as beside:  # a hash takes as long as the pixels do
        sha256 = beside.submit(lambda: hashlib.sha256(data).hexdigest())
        try:
            stored = decode_dicom(data, limits) if is_dicom(data) else decode_picture(data, limits)
        except ImageError as error:
            error.image = replace(error.image or ImageInfo(), sha256=sha256.result())
            raise
        of_pixels = beside.submit(pixel_sha256, stored.hashed)
        radiograph = _to_radiograph(stored)
    image = replace(radiograph.image, sha256=sha256.result(), pixel_sha256=of_pixels.result())
    return replace(radiograph, image=image)


def radiograph_from_array(values: npt.NDArray[Any], limits: ReadLimits | None = None) -> Radiograph:
    """Take an array as a picture file would be: upright, the patient's right on the image's left.

    Args:
        values: Real numbers [rows, columns]. 8-bit values are shown as they are; all others over their robust range,
            and what is not finite as the smallest value. An image with dark bone is inverted.
        limits: Bounds on the size.

    Raises:
        ValueError: The array has another number of dimensions, or holds no real numbers.
        UnreadableImageError: The image is too large.
        SkippedImageError: The image is too small.
    """
    stored = store_array(values, limits or ReadLimits())
    return _to_radiograph(replace(stored, info=replace(stored.info, pixel_sha256=pixel_sha256(stored.hashed))))


def read_file(path: Path, limits: ReadLimits) -> bytes:
    """Read all bytes of a regular file; nothing else is opened, and nothing blocks.

    Raises:
        UnreadableImageError: `not_found`, `not_a_file`, `too_large` or `unreadable`.
    """
    try:
        # Non-blocking so that a FIFO without a writer returns at once; the type is checked on what was opened.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnreadableImageError("not_found", "there is no such file") from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise _not_a_file() from None
        reason = os.strerror(error.errno or 0)
        raise UnreadableImageError("unreadable", f"the file cannot be opened: {reason}") from None
    try:
        data = _read_regular(descriptor, limits)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UnreadableImageError("unreadable", f"the file cannot be read: {reason}") from None
    finally:
        os.close(descriptor)
    if len(data) > limits.file_bytes:
        raise UnreadableImageError("too_large", f"the file grows beyond the limit of {limits.file_bytes} bytes")
    return data


def _read_regular(descriptor: int, limits: ReadLimits) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _not_a_file()
    if status.st_size > limits.file_bytes:
        raise UnreadableImageError(
            "too_large", f"the file has {status.st_size} bytes, the limit is {limits.file_bytes}"
        )
    with open(descriptor, "rb", closefd=False) as file:
        # Asked for what is there: to provide room for all that is allowed takes ten times as long as to read.
        data = file.read(status.st_size + 1)
        if len(data) > status.st_size:  # it grows while it is read
            data += file.read(limits.file_bytes + 1 - len(data))
    return data


def _not_a_file() -> UnreadableImageError:
    return UnreadableImageError("not_a_file", "this is not a regular file; expected an image")


def _to_radiograph(stored: StoredImage) -> Radiograph:
    grayscale = stored.grayscale
    brightness, render_notes = render(stored.values, grayscale)
    box = content_box(brightness)
    brightness, polarity_notes = correct_polarity(
        brightness, box, tags_invert=grayscale.inverted, tags_conflict=grayscale.polarity_conflict
    )
    rows, columns = brightness.shape
    notes = (*stored.notes, *render_notes, *polarity_notes, *note_edges(brightness))
    return Radiograph(brightness, replace(stored.info, rows=rows, columns=columns), box, notes)
