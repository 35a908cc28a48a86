"""Elements are read without an exception, whatever they hold."""

from __future__ import annotations

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lungsev.reading import tags


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_text_is_printable_short_and_on_one_line() -> None:
    dataset = Dataset()
    dataset.SeriesDescription = "AP\x1b[31m chest\r\n\u202eerect " + "x" * 100
    assert tags.read_text(dataset, "SeriesDescription") == ("AP[31m chest erect " + "x" * 100)[:64]


def test_an_absent_and_an_empty_value_are_none() -> None:
    dataset = Dataset()
    dataset.Modality = ""
    assert tags.read_text(dataset, "Modality") is None
    assert tags.read_text(dataset, "ViewPosition") is None
    assert tags.read_number(dataset, "WindowWidth") is None
    assert tags.read_items(dataset, "VOILUTSequence") == []


@pytest.mark.parametrize("stored", [b"abc ", b"1e999 ", b"nan ", b"1\\x"])
def test_a_damaged_number_reads_as_absent(stored: bytes) -> None:
    dataset = Dataset()
    dataset[0x00281050] = RawDataElement(Tag(0x00281050), "DS", len(stored), stored, 0, True, True)
    assert tags.read_numbers(dataset, "WindowCenter") == ()


def test_a_fraction_is_no_whole_number() -> None:
    dataset = Dataset()
    dataset.WindowCenter = 10.5
    assert tags.read_integer(dataset, "WindowCenter") is None
    assert tags.read_number(dataset, "WindowCenter") == 10.5


def test_a_scalar_where_a_sequence_belongs_is_no_item() -> None:
    dataset = Dataset()
    dataset.Modality = "CR"
    assert tags.read_items(dataset, "Modality") == []


@pytest.mark.parametrize(
    ("charset", "stored", "expected"),
    [
        (None, b"12\\34 ", "12\\34"),
        (None, b"A  B", "A  B"),
        ("GB18030", "\u4e57".encode("gb18030") + b"7", "\u4e577"),  # half of the letter is the byte of a backslash
        ("ISO_IR 192", b"A\xe9", "A\xe9"),  # no UTF-8
        (None, b"7" * 1000, "7" * 1000),
    ],
)
def test_an_identifier_is_as_in_the_file(charset: str | None, stored: bytes, expected: str) -> None:
    dataset = Dataset()
    if charset:
        dataset.SpecificCharacterSet = charset
    tag = Tag("PatientID")
    dataset[tag] = RawDataElement(tag, "LO", len(stored), stored, 0, False, True)
    assert tags.read_identifier(dataset, "PatientID") == expected


def test_two_endless_identifiers_stay_different() -> None:
    one, other = Dataset(), Dataset()
    one.add_new(Tag("PatientID"), "LT", "7" * 5000 + "1")
    other.add_new(Tag("PatientID"), "LT", "7" * 5000 + "2")
    found = tags.read_identifier(one, "PatientID"), tags.read_identifier(other, "PatientID")
    assert found[0] != found[1]
    assert all(text is not None and len(text) < 1100 for text in found)
