"""Tables of a file are read in every form that writers give them; one that cannot be used is counted, not dropped."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from odd_images import image_bytes, image_dataset
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lungsev.reading.container import parse_dicom
from lungsev.reading.limits import ReadLimits
from lungsev.reading.read import read_radiograph_bytes
from lungsev.reading.values.luts import read_luts

ENTRIES = (np.arange(4096) * 16 + 15).astype(np.uint16)  # of 16 bits: half of them are negative as SS


def lut_item(descriptor: list[int], data: Any, vr: str, descriptor_vr: str = "US") -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, descriptor_vr, descriptor)
    item.add_new(0x00283006, vr, data)
    return item


def with_voi(item: Dataset) -> Any:
    def change(dataset: Dataset) -> None:
        dataset.VOILUTSequence = [item]

    return change


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big_endian", "deflated"])
@pytest.mark.parametrize("vr", ["OW", "US", "SS"])
@pytest.mark.parametrize("bits", [12, 16])
def test_entries_are_unsigned_in_the_order_of_the_file(syntax: str, vr: str, bits: int) -> None:
    order = ">" if syntax == "big_endian" else "<"
    as_numbers = ENTRIES.view(np.int16) if vr == "SS" else ENTRIES
    data = ENTRIES.astype(order + "u2").tobytes() if vr == "OW" else as_numbers.tolist()
    file = image_bytes(with_voi(lut_item([4096, 0, bits], data, vr)), bits=12, voi="none", transfer_syntax=syntax)
    dataset = parse_dicom(file, ReadLimits()).dataset
    (lut,), unusable = read_luts(dataset, "VOILUTSequence", big_endian=order == ">")
    assert not unusable
    assert (lut.first, lut.bits) == (0, 16)  # the data holds 16 bits, whatever is stated
    np.testing.assert_array_equal(lut.entries, ENTRIES)


@pytest.mark.parametrize("vr", ["OB", "OW", "UN"])
def test_entries_of_a_byte_may_be_packed(vr: str) -> None:
    dataset = Dataset()
    dataset.VOILUTSequence = [lut_item([4, 0, 8], bytes([1, 2, 3, 250]), vr)]
    (lut,), _ = read_luts(dataset, "VOILUTSequence", big_endian=False)
    np.testing.assert_array_equal(lut.entries, [1, 2, 3, 250])
    (lut,), _ = read_luts(dataset, "VOILUTSequence", big_endian=True)
    np.testing.assert_array_equal(lut.entries, [2, 1, 250, 3] if vr == "OW" else [1, 2, 3, 250])


def test_zero_entries_are_65536_and_a_descriptor_may_be_bytes() -> None:
    dataset = Dataset()
    data = np.zeros(65536, "<u2").tobytes()
    dataset.ModalityLUTSequence = [lut_item(struct.pack("<HhH", 0, -5, 16), data, "OW", descriptor_vr="OW")]
    (lut,), _ = read_luts(dataset, "ModalityLUTSequence", big_endian=False)
    assert (lut.first, len(lut.entries)) == (65531, 65536)


@pytest.mark.parametrize(
    "item",
    [
        lut_item([256, 0], bytes(512), "OW"),
        lut_item([256, 0, 16], bytes(100), "OW"),
        lut_item([256, 0, 12], bytes(256), "OW"),
        lut_item([256, 0, 16], [1, 2, 3], "US"),
        lut_item([1, 0, 16], [5], "US"),
        lut_item([4, 0, 8], b"", "OW"),
        Dataset(),
    ],
)
def test_a_table_that_cannot_be_used_is_counted(item: Dataset) -> None:
    dataset = Dataset()
    dataset.VOILUTSequence = [item]
    assert read_luts(dataset, "VOILUTSequence", big_endian=False) == ((), True)
    notes = read_radiograph_bytes(image_bytes(with_voi(item), voi="none")).notes
    assert "lut_ignored" in notes


def test_bits_that_make_no_sense_are_those_of_the_data() -> None:
    for bits in (0, 99):
        dataset = Dataset()
        dataset.VOILUTSequence = [lut_item([3, 0, bits], [0, 500, 1000], "US")]
        (lut,), _ = read_luts(dataset, "VOILUTSequence", big_endian=False)
        assert lut.bits == 10


def test_what_pydicom_cannot_convert_is_read_by_its_bytes() -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [2, 0, 8])
    item[0x00283006] = RawDataElement(Tag(0x00283006), "XX", 3, b"ab", 0, False, True)
    dataset = image_dataset(voi="none", rescale=None)
    dataset.VOILUTSequence = [item]
    (lut,), unusable = read_luts(dataset, "VOILUTSequence", big_endian=False)
    assert lut.entries.tolist() == [97, 98]
    assert not unusable


def test_a_file_without_tables_has_none_that_is_unusable() -> None:
    assert read_luts(Dataset(), "VOILUTSequence", big_endian=False) == ((), False)
    empty = Dataset()
    empty.VOILUTSequence = []
    assert read_luts(empty, "VOILUTSequence", big_endian=False) == ((), False)
