"""A seeded corpus of bad files, a few megabytes in all: cut short, contradictory, hostile and merely odd."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from lungsev.phantom import TRANSFER_SYNTAXES, make_phantom, write_phantom_dicom

_PIXEL_TAG = b"\xe0\x7f\x10\x00"


def write_corpus(folder: Path, mutations: int = 40) -> list[Path]:
    """Write the corpus; every file has a name that says what is wrong with it."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {
        syntax: write_phantom_dicom(make_phantom(4, size_px=128), folder / "whole", transfer_syntax=syntax).read_bytes()
        for syntax in sorted(TRANSFER_SYNTAXES)
    }
    (folder / "whole").unlink()
    paths = []
    explicit = whole["explicit"]
    plain = (
        *_odd(),
        *_contradictory(explicit),
        *_nested(explicit),
        *_cut(whole),
        *_bombs(whole),
        *_mutated(whole, mutations),
    )
    for name, data in plain:
        paths.append(folder / name)
        paths[-1].write_bytes(data)
    for name, dataset in _odd_datasets(whole["explicit"], folder):
        paths.append(folder / name)
        dataset.save_as(paths[-1])
    return paths


def _odd() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "one-byte", b"\0"
    yield "text.dcm", b"Dear colleague, please find the image attached.\n"
    yield "report.json", b'{"schema_version": 1, "status": "scored"}'
    yield "preamble-only.dcm", b"\0" * 128 + b"DICM"
    yield "zeros.dcm", b"\0" * 100_000
    yield "png-with-bad-chunk.png", b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + b"\xff" * 40
    yield "page.html.dcm", b"<html><script>alert(1)</script></html>"


def _cut(whole: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for syntax, data in whole.items():
        for share in (0.1, 0.5, 0.95):
            yield f"cut-{syntax}-{share}.dcm", data[: int(len(data) * share)]


def _contradictory(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The header says one thing, the pixels another (explicit VR little endian)."""

    def with_us(tag: bytes, value: int) -> bytes:
        place = data.index(tag + b"US\x02\x00") + 8
        return data[:place] + struct.pack("<H", value) + data[place + 2 :]

    yield "rows-65535.dcm", with_us(b"\x28\x00\x10\x00", 65535)
    yield "rows-zero.dcm", with_us(b"\x28\x00\x10\x00", 0)
    yield "columns-one.dcm", with_us(b"\x28\x00\x11\x00", 1)
    yield "bits-allocated-1.dcm", with_us(b"\x28\x00\x00\x01", 1)
    yield "bits-stored-99.dcm", with_us(b"\x28\x00\x01\x01", 99)
    yield "samples-3.dcm", with_us(b"\x28\x00\x02\x00", 3)
    place = data.index(_PIXEL_TAG + b"OW") + 8
    yield "pixels-claim-2-gb.dcm", data[:place] + struct.pack("<I", 0x7FFFFFFE) + data[place + 4 :]
    yield "pixels-claim-nothing.dcm", data[:place] + struct.pack("<I", 0) + data[place + 4 :]
    yield "unknown-transfer-syntax.dcm", data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0", 1)
    yield "jpeg-that-is-raw.dcm", data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.4\0", 1)


def _nested(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Sequences in sequences, written as bytes: pydicom takes too long to write them."""
    opening = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    closing = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    place = data.index(_PIXEL_TAG + b"OW")
    for depth in (40, 500, 20_000):
        yield f"nested-{depth}.dcm", data[:place] + opening * depth + closing * depth + data[place:]


def _odd_datasets(data: bytes, folder: Path) -> Iterator[tuple[str, Dataset]]:
    def fresh() -> Dataset:
        scratch = folder / ".scratch"
        scratch.write_bytes(data)
        dataset = pydicom.dcmread(scratch)
        scratch.unlink()
        return dataset

    dataset = fresh()
    del dataset.PixelData
    yield "no-pixels.dcm", dataset
    dataset = fresh()
    dataset.NumberOfFrames = 2000
    yield "many-frames.dcm", dataset
    dataset = fresh()
    dataset.Modality = "CT"
    yield "ct.dcm", dataset
    dataset = fresh()
    dataset.WindowWidth, dataset.WindowCenter = 0, 0
    yield "window-zero.dcm", dataset


def _bombs(whole: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    head = whole["deflated"]
    meta = head[: 144 + int.from_bytes(head[140:144], "little")]
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    element = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 140 << 20)
    bomb = squeeze.compress(element) + b"".join(squeeze.compress(b"\0" * (1 << 20)) for _ in range(140))
    yield "bomb-deflated-140-mb.dcm", meta + bomb + squeeze.flush()
    rows = 30_000
    header = struct.pack(">IIBBBBB", rows, rows, 16, 0, 0, 0, 0)
    pixels = zlib.compressobj(6)
    body = b"".join(pixels.compress(b"\0" * (1 << 20)) for _ in range(16)) + pixels.flush()
    yield (
        "bomb-30000-square.png",
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
            for kind, part in ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
        ),
    )


def _mutated(whole: dict[str, bytes], count: int) -> Iterator[tuple[str, bytes]]:
    """Bytes flipped, runs removed and doubled, mostly in the header."""
    for number in range(count):
        chance = random.Random(number)
        syntax = chance.choice(sorted(whole))
        data = bytearray(whole[syntax])
        for _ in range(chance.choice((1, 4, 30))):
            place = chance.randrange(132, min(len(data), 2500) if chance.random() < 0.8 else len(data))
            action = chance.random()
            if action < 0.7:
                data[place] = chance.randrange(256)
            elif action < 0.85:
                del data[place : place + chance.randrange(1, 20)]
            else:
                data[place:place] = data[place : place + chance.randrange(1, 20)]
        yield f"mutated-{number:03d}-{syntax}.dcm", bytes(data)
