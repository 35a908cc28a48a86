"""A file is told complete, cut short or unknown by its structure alone."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from bedside_images import png

from lungsev.phantom import TRANSFER_SYNTAXES, make_phantom, write_phantom_dicom, write_phantom_jpeg
from lungsev.reading.completeness import check_completeness
from lungsev.reading.read import read_radiograph

RADIOGRAPH = make_phantom(3, size_px=96)


@pytest.mark.parametrize("syntax", sorted(TRANSFER_SYNTAXES))
def test_a_whole_radiograph_is_complete_and_any_beginning_of_it_is_not(tmp_path: Path, syntax: str) -> None:
    whole = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", transfer_syntax=syntax).read_bytes()
    assert check_completeness(tmp_path / "image.dcm") == "complete"
    cut = tmp_path / "cut.dcm"
    for length in (140, 200, 400, len(whole) // 2):
        cut.write_bytes(whole[:length])
        assert check_completeness(cut) != "complete", length
    cut.write_bytes(whole[: len(whole) - 20])
    assert check_completeness(cut) == "incomplete"


@pytest.mark.parametrize(
    "behind", [b"", b"\0", b"\n", b"\x1a", bytes(8), bytes(500), b"stray bytes that follow nothing"]
)
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "rle", "jpeg_ls", "jpeg_2000"])
def test_whole_pixels_are_enough_for_watching_and_for_reading(tmp_path: Path, syntax: str, behind: bytes) -> None:
    path = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", transfer_syntax=syntax)
    expected = read_radiograph(path).pixels
    delimiter = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    path.write_bytes(path.read_bytes().removesuffix(delimiter) + behind)
    assert check_completeness(path) == "complete"
    np.testing.assert_array_equal(read_radiograph(path).pixels, expected)


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "jpeg_ls"])
def test_a_dataset_without_preamble_is_complete_or_not(tmp_path: Path, syntax: str) -> None:
    path = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", transfer_syntax=syntax)
    bare = path.read_bytes()[132:]
    if syntax != "jpeg_ls":  # whose syntax nothing else tells
        bare = bare[12 + int.from_bytes(bare[8:12], "little") :]
    path.write_bytes(bare)
    assert check_completeness(path) == "complete"
    assert read_radiograph(path).pixels.shape == RADIOGRAPH.pixels.shape
    path.write_bytes(bare[:-40])
    assert check_completeness(path) == "incomplete"


def _syntax_of(whole: bytes, stated: bytes) -> bytes:
    """The file with another transfer syntax in its meta group."""
    place = whole.index(b"1.2.840.10008.1.2", whole.index(b"\x02\0\x10\0UI"))
    length = int.from_bytes(whole[place - 2 : place], "little")
    meta_length = int.from_bytes(whole[140:144], "little") + len(stated) - length
    head = whole[:140] + meta_length.to_bytes(4, "little") + whole[144 : place - 2]
    return head + len(stated).to_bytes(2, "little") + stated + whole[place + length :]


@pytest.mark.parametrize(
    ("syntax", "stated"), [("explicit", b"1.2.840.10008.1.2\0"), ("implicit", b"1.2.840.10008.1.2.1\0")]
)
def test_a_syntax_that_is_wrong_about_value_representations_is_read_and_watched(
    tmp_path: Path, syntax: str, stated: bytes
) -> None:
    path = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", transfer_syntax=syntax)
    expected = read_radiograph(path).pixels
    path.write_bytes(_syntax_of(path.read_bytes(), stated))
    assert check_completeness(path) == "complete"
    np.testing.assert_array_equal(read_radiograph(path).pixels, expected)


_ITEM_OF_UNKNOWN_LENGTH = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
_ENDS = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
_ICON = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + b"".join(
    (struct.pack("<HHI", 0xFFFE, 0xE000, 0), struct.pack("<HHI4s", 0xFFFE, 0xE000, 4, b"\1\2\3\4"), _ENDS[8:])
)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"UN", struct.pack("<HHI4s", 0x0011, 0x1001, 4, b"abcd")),
        (b"UN", struct.pack("<HHI", 0x0011, 0x1001, 0xFFFFFFFF) + _ITEM_OF_UNKNOWN_LENGTH + _ENDS),
        (b"SQ", _ICON),
    ],
    ids=["items of an unknown sequence", "sequences in an unknown sequence", "fragments of an icon"],
)
def test_sequences_that_are_encoded_otherwise_are_walked_over(tmp_path: Path, kind: bytes, body: bytes) -> None:
    path = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm")
    whole = path.read_bytes()
    sequence = struct.pack("<HH2sHI", 0x0077, 0x1001, kind, 0, 0xFFFFFFFF) + _ITEM_OF_UNKNOWN_LENGTH + body + _ENDS
    place = whole.index(struct.pack("<HH", 0x7FE0, 0x0010))
    changed = whole[:place] + sequence + whole[place:]
    path.write_bytes(changed)
    assert check_completeness(path) == "complete"
    assert read_radiograph(path).pixels.shape == RADIOGRAPH.pixels.shape
    path.write_bytes(changed[:-40])
    assert check_completeness(path) == "incomplete"


def test_a_radiograph_with_nested_sequences_is_complete(tmp_path: Path) -> None:
    write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", voi="lut")
    assert check_completeness(tmp_path / "image.dcm") == "complete"


def test_a_header_without_pixels_may_be_a_writer_that_pauses(tmp_path: Path) -> None:
    import pydicom

    write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm")
    dataset = pydicom.dcmread(tmp_path / "image.dcm")
    del dataset.PixelData
    dataset.save_as(tmp_path / "header.dcm")
    assert check_completeness(tmp_path / "header.dcm") == "unrecognised"


def test_pixel_data_that_claims_more_than_there_is_waits(tmp_path: Path) -> None:
    path = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", transfer_syntax="explicit")
    data = path.read_bytes()
    place = data.index(b"\xe0\x7f\x10\x00OW") + 8
    path.write_bytes(data[:place] + (0x7FFFFFFE).to_bytes(4, "little") + data[place + 4 :])
    assert check_completeness(path) == "incomplete"


def test_what_is_behind_the_pixels_may_be_cut_short(tmp_path: Path) -> None:
    path = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", transfer_syntax="jpeg_ls")
    padding = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 6) + bytes(6)
    path.write_bytes(path.read_bytes() + padding[:-1])
    assert check_completeness(path) == "complete"


def test_a_fragment_whose_padding_is_not_counted_is_complete(tmp_path: Path) -> None:
    path = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", transfer_syntax="jpeg_ls")
    data = path.read_bytes()
    item = data.index(b"\xfe\xff\x00\xe0", data.index(b"\xe0\x7f\x10\x00") + 20)
    (length,) = struct.unpack("<I", data[item + 4 : item + 8])
    path.write_bytes(
        data[: item + 4]
        + struct.pack("<I", length + 1)
        + data[item + 8 : item + 8 + length]
        + b"a\0"
        + data[item + 8 + length :]
    )
    assert check_completeness(path) == "complete"


def test_an_item_of_known_length_is_walked_into(tmp_path: Path) -> None:
    path = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", transfer_syntax="explicit")
    data = path.read_bytes()
    place = data.index(b"\xe0\x7f\x10\x00OW")
    element = struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 2) + b"CR"
    known = struct.pack("<HHI", 0xFFFE, 0xE000, len(element)) + element
    closed = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    sequence = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF) + known
    path.write_bytes(data[:place] + sequence + closed + data[place:])
    assert check_completeness(path) == "complete"
    path.write_bytes(data[:place] + sequence + data[place:])
    assert check_completeness(path) == "incomplete"


def test_pictures(tmp_path: Path) -> None:
    picture = tmp_path / "image.png"
    picture.write_bytes(png(1))
    assert check_completeness(picture) == "complete"
    picture.write_bytes(png(1)[:-3])
    assert check_completeness(picture) == "incomplete"
    write_phantom_jpeg(RADIOGRAPH, tmp_path / "image.jpg")
    assert check_completeness(tmp_path / "image.jpg") == "complete"
    (tmp_path / "image.jpg").write_bytes((tmp_path / "image.jpg").read_bytes()[:-40])
    assert check_completeness(tmp_path / "image.jpg") == "incomplete"


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"", "incomplete"),
        (b"\0" * 60, "incomplete"),
        (b"\0" * 4096, "unrecognised"),
        (b"hello, this is a letter", "unrecognised"),
        (b"\0" * 128 + b"DICM" + b"\xff" * 400, "unrecognised"),
        (b"II*\0\xff\xff\xff\x00", "incomplete"),
        (b"II*\0", "incomplete"),
        (b"MM\0*\0\0\0\x08" + bytes(6), "unrecognised"),
        (b"MM\0*\0\0\0\x08" + bytes(5), "incomplete"),
        (b"II+\0\x08\0\0\0" + b"\xff" * 8, "incomplete"),
        (b"\x89PNG", "incomplete"),
        (b"\xff\x4f\xff\x51" + bytes(300), "unrecognised"),
        (b"\0" * 128 + b"DICM", "incomplete"),
        (b"\0" * 128 + b"DICM\x02\0\0\0UL\x04\0\0\0\0\0", "incomplete"),
        (b"\0" * 128 + b"DICM\x02\0\0\0UL\x04\0\0\0\0\0\x08\0\x05\0", "incomplete"),
        (b"\0" * 128 + b"DICM\x02\0\x02\0UT\0\0\0\0\x20\0", "unrecognised"),
    ],
)
def test_other_files_are_unrecognised_and_beginnings_incomplete(tmp_path: Path, data: bytes, verdict: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert check_completeness(path) == verdict


def test_a_deflated_bomb_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc
    import zlib

    head = write_phantom_dicom(RADIOGRAPH, tmp_path / "image.dcm", transfer_syntax="deflated").read_bytes()
    meta = head[: 132 + 12 + int.from_bytes(head[140:144], "little")]
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(squeeze.compress(b"\0" * (1 << 20)) for _ in range(30)) + squeeze.flush()
    (tmp_path / "bomb.dcm").write_bytes(meta + bomb)
    monkeypatch.setattr("lungsev.reading.completeness._MAX_INFLATED", 16 << 20)
    tracemalloc.start()
    check_completeness(tmp_path / "bomb.dcm")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(png(1))
    (tmp_path / "link").symlink_to(tmp_path / "image.png")
    with pytest.raises(OSError):
        check_completeness(tmp_path / "link")
