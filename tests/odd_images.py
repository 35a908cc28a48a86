"""DICOM images made odd on purpose: a phantom's dataset, changed, as bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from lungsev.phantom import PhantomRadiograph, make_phantom, phantom_dataset
from lungsev.reading.encoding import ENCODERS, encode_pixel_data

Change = Callable[[Dataset], Any]


@lru_cache(maxsize=1)
def phantom() -> PhantomRadiograph:
    """One small image without any border, so that what a test adds is all there is."""
    return make_phantom(3, size_px=(160, 128))


def image_dataset(**style: Any) -> FileDataset:
    """The phantom as a computed radiograph; `style` as in DicomStyle."""
    return phantom_dataset(phantom(), **{"modality": "CR", **style})


def image_bytes(*changes: Change, **style: Any) -> bytes:
    """The phantom's file after the changes."""
    dataset = image_dataset(**style)
    for change in changes:
        change(dataset)
    return to_bytes(dataset)


def to_bytes(dataset: FileDataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def setting(**tags: Any) -> Change:
    """Sets elements by keyword; None deletes."""

    def change(dataset: Dataset) -> None:
        for keyword, value in tags.items():
            if value is None:
                if keyword in dataset:
                    delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return change


def encoded_image(stored: npt.NDArray[np.integer], syntax: str, *, bits: int, **tags: Any) -> bytes:
    """Given stored values in any syntax lungsev can encode, or explicit little endian, as a chest radiograph's file."""
    dataset = image_dataset()
    setting(RescaleSlope=None, RescaleIntercept=None, WindowCenter=None, WindowWidth=None)(dataset)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    if syntax in ENCODERS:
        dataset.PixelData = encode_pixel_data(stored, syntax, bits)
        dataset["PixelData"].is_undefined_length = True
        dataset["PixelData"].VR = "OB"
    else:
        raw = stored.tobytes()
        dataset.PixelData = raw + b"\0" * (len(raw) % 2)
        dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = syntax
    setting(**tags)(dataset)
    return to_bytes(dataset)


def nested_sequences(depth: int) -> bytes:
    """A file whose header nests sequences this deep, before its first useful element."""
    inner = b""
    for _ in range(depth):
        item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + inner + b"\xfe\xff\x0d\xe0\0\0\0\0"
        inner = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0"
    whole = image_bytes()
    meta_end = (
        whole.index(b"\x08\x00\x05\x00CS") if b"\x08\x00\x05\x00CS" in whole else whole.index(b"\x08\x00\x08\x00CS")
    )
    return whole[:meta_end] + inner + whole[meta_end:]


def bare_header(**tags: Any) -> FileDataset:
    """A file with a header and nothing of an image."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    setting(**tags)(dataset)
    return dataset


def sequence_of(**tags: Any) -> Sequence:
    """One item with these elements."""
    item = Dataset()
    setting(**tags)(item)
    return Sequence([item])
