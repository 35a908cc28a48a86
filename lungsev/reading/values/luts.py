"""Look-up tables of a file: entries, inputs and bits, as DICOM writers write them.

Entries are unsigned whatever the value representation of LUT Data says, in the byte order of the file (PS3.3 C.11.1.1,
C.11.2.1.1). The first input is read as it is written; which sign it has is decided with the image's values, in
`lungsev.reading.values.inputs`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from lungsev.reading.grayscale import Lut
from lungsev.reading.tags import read_items

_BYTE_ORDER = {True: "<", False: ">"}


def read_luts(dataset: Dataset, keyword: str, big_endian: bool) -> tuple[tuple[Lut, ...], bool]:
    """Read the tables of a sequence.

    Args:
        dataset: The image's.
        keyword: Of the sequence.
        big_endian: Byte order of the file.

    Returns:
        The usable tables, and whether one is there that cannot be used.
    """
    items = read_items(dataset, keyword)
    if not items:
        return (), _holds_something(dataset, keyword)
    luts = [_read_lut(item, big_endian) for item in items]
    usable = tuple(lut for lut in luts if lut is not None)
    return usable, len(usable) < len(luts)


def _holds_something(dataset: Dataset, keyword: str) -> bool:
    """Whether a sequence without items is more than an empty element: it is damaged then."""
    try:
        element = dataset.get_item(keyword)
        return element is not None and bool(element.value)
    except Exception:  # pydicom raises many types here, all of which mean a damaged value
        return True


def _read_lut(item: Dataset, big_endian: bool) -> Lut | None:
    """Descriptor: number of entries (0 is 65,536), first input, bits of an entry."""
    try:
        descriptor, data = item.get_item("LUTDescriptor"), item.get_item("LUTData")
        entries, first, bits = _descriptor(descriptor, big_endian)
        values = _entries(data, entries, bits, big_endian)
    except Exception:  # pydicom raises many types here, all of which mean a damaged table
        return None
    if len(values) < max(entries, 2):
        return None
    used = int(values.max()).bit_length()
    if not 1 <= bits <= 16 or used > bits:
        bits = max(used, 1)
    return Lut(first=first, entries=values.astype(np.float64), bits=bits)


def _descriptor(element: Any, big_endian: bool) -> tuple[int, int, int]:
    value = element.value
    if isinstance(value, bytes):
        kind = np.dtype(_order(element, big_endian) + "u2")
        entries, first, bits = np.frombuffer(value, kind, count=3).tolist()
        if isinstance(element, RawDataElement) and element.VR == "SS" and first > 32767:
            first -= 65536
    else:
        entries, first, bits = (int(part) for part in value)
    return entries % 65536 or 65536, first, bits % 65536


def _entries(element: Any, entries: int, bits: int, big_endian: bool) -> npt.NDArray[np.unsignedinteger]:
    """Return the first `entries` values; fewer where there are fewer."""
    value = element.value
    if not isinstance(value, bytes):
        return (np.asarray(value, dtype=np.int64).ravel()[:entries] & 0xFFFF).astype(np.uint16)
    order = _order(element, big_endian)
    if len(value) >= 2 * entries:
        return np.frombuffer(value, order + "u2", count=entries)
    if bits > 8:  # too few words, rather than bytes
        return np.frombuffer(value, order + "u2", count=len(value) // 2)
    if order == ">" and element.VR == "OW":  # two entries of a byte share a word and its byte order (PS3.5 8.1.1)
        value = np.frombuffer(value, np.uint16, count=len(value) // 2).byteswap().tobytes()
    return np.frombuffer(value, np.uint8)[:entries]


def _order(element: Any, big_endian: bool) -> str:
    if isinstance(element, RawDataElement):
        return _BYTE_ORDER[element.is_little_endian]
    return _BYTE_ORDER[not big_endian]
