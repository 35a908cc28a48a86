"""Valid images made bad: an endless, seeded supply of mutations that know what a DICOM file looks like.

`mutant(n)` is always the same file for the same n. The first ones are spelled out; the others are drawn.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import lru_cache, partial
from io import BytesIO

import numpy as np
import pydicom
from odd_images import image_bytes, nested_sequences, phantom, setting, to_bytes
from pydicom.dataset import FileDataset
from pydicom.sequence import Sequence

from lungsev.phantom import TRANSFER_SYNTAXES, phantom_dataset

PIXELS = b"\xe0\x7f\x10\x00"
HOSTILE_TEXTS = (
    "../../../../etc/evil",
    "<script>alert(1)</script>",
    "=cmd|'/c calc'!A1",
    "\x1b[31m\u202egnp",
    "'; DROP TABLE images; --",
    "%s%s%n",
    "A" * 60_000,
    "$(reboot)`reboot`",
)
TRANSFER_SYNTAX_UIDS = (
    *(bytes(uid, "ascii") for uid in TRANSFER_SYNTAXES.values()),
    b"1.2.840.10008.1.2.4.50",
    b"1.2.840.10008.1.2.4.57",
    b"1.2.840.10008.1.2.4.70",
    b"1.2.840.10008.1.2.4.91",
    b"1.2.840.10008.1.2.4.201",
    b"1.2.840.10008.1.2.4.100",
    b"1.2.840.10008.1.2.4.95",
    b"1.2.3.4.5",
    b"",
)


def mutant(number: int) -> tuple[str, bytes]:
    """What was done to it, and the file."""
    if number < len(SPELLED_OUT):
        name = list(SPELLED_OUT)[number]
        return name, SPELLED_OUT[name]()
    chance = random.Random(number)
    data = _whole(chance.choice(sorted(TRANSFER_SYNTAXES)))
    names = [chance.choice(sorted(DRAWN)) for _ in range(chance.choice((1, 1, 2, 4)))]
    for name in names:
        data = DRAWN[name](data, chance)
    return "+".join(names), data


@lru_cache
def _whole(syntax: str) -> bytes:
    return image_bytes(transfer_syntax=syntax)


def _changed(**tags: object) -> bytes:
    return image_bytes(setting(**tags))


def _pixels(data: bytes, vr: str = "OW", **tags: object) -> bytes:
    def change(dataset: FileDataset) -> None:
        dataset.PixelData = data
        dataset["PixelData"].VR = vr
        setting(**tags)(dataset)

    return image_bytes(change)


def _colour(photometric: str, planar: int, samples: int = 3) -> bytes:
    picture = np.random.default_rng(0).integers(0, 255, (160, 128, samples), np.uint8)
    tags = {
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "SamplesPerPixel": samples,
        "PlanarConfiguration": planar,
    }
    return _pixels(picture.tobytes(), "OB", PhotometricInterpretation=photometric, **tags)


def _palette() -> bytes:
    tables = {f"{name}PaletteColorLookupTableData": b"\0\1" * 256 for name in ("Red", "Green", "Blue")}
    descriptors = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in ("Red", "Green", "Blue")}
    return _changed(PhotometricInterpretation="PALETTE COLOR", **descriptors, **tables)


def _floats(keyword: str, kind: type) -> bytes:
    def change(dataset: FileDataset) -> None:
        del dataset.PixelData
        setattr(dataset, keyword, np.linspace(-1e300 if kind is np.float64 else 0, 1, 160 * 128, dtype=kind).tobytes())
        dataset.BitsAllocated = 8 * np.dtype(kind).itemsize
        setting(BitsStored=None, HighBit=None, PixelRepresentation=None)(dataset)

    return image_bytes(change)


def _wide_sequence(items: int) -> bytes:
    def change(dataset: FileDataset) -> None:
        dataset.ReferencedStudySequence = Sequence([pydicom.Dataset() for _ in range(items)])

    return image_bytes(change)


def _lut(entries: int, first: int, bits: int, length: int) -> bytes:
    item = pydicom.Dataset()
    item.add_new(0x00283002, "US", [entries, first, bits])
    item.add_new(0x00283006, "OW", b"\1\2" * length)
    return _changed(VOILUTSequence=Sequence([item]), WindowCenter=None, WindowWidth=None)


def _without_meta() -> bytes:
    data = _whole("implicit")
    return data[144 + int.from_bytes(data[140:144], "little") :]


def _meta_twice() -> bytes:
    data = _whole("explicit")
    end = 144 + int.from_bytes(data[140:144], "little")
    return data[:end] + data[132:end] + data[end:]


def _many_elements(count: int) -> bytes:
    data = _whole("explicit")
    end = 144 + int.from_bytes(data[140:144], "little")
    block = b"".join(struct.pack("<HH2sH", 0x0009, 0x1000 + n % 0xEFFF, b"LO", 2) + b"x " for n in range(count))
    return data[:end] + block + data[end:]


def _fragments_without_end() -> bytes:
    data = _whole("rle")
    place = data.index(PIXELS + b"OB")
    return data[: place + 12] + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 50_000


def _text_everywhere(text: str) -> bytes:
    """The text in every element that reports, logs, pages or file names could quote."""
    dataset = phantom_dataset(phantom(), modality="CR")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in ("PatientID", "PatientName", "AccessionNumber", "StudyDescription", "Manufacturer", "StationName"):
        dataset.add_new(pydicom.datadict.tag_for_keyword(keyword), "UT", text)  # of no length limit
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(dataset, keyword, text.encode("ascii", "ignore").decode())
    return to_bytes(dataset)


SPELLED_OUT: dict[str, Callable[[], bytes]] = {
    "nested-500": lambda: nested_sequences(500),
    "nested-3000": lambda: nested_sequences(3000),
    "wide-sequence": lambda: _wide_sequence(20_000),
    "many-elements": lambda: _many_elements(150_000),
    "no-meta": _without_meta,
    "meta-twice": _meta_twice,
    "preamble-only-zeros": lambda: bytes(128) + b"DICM" + bytes(4096),
    "fragments-without-end": _fragments_without_end,
    "rgb": lambda: _colour("RGB", 0),
    "rgb-planar": lambda: _colour("RGB", 1),
    "ybr": lambda: _colour("YBR_FULL_422", 0),
    "four-samples": lambda: _colour("ARGB", 0, 4),
    "palette": _palette,
    "float": lambda: _floats("FloatPixelData", np.float32),
    "double": lambda: _floats("DoubleFloatPixelData", np.float64),
    "no-pixels": lambda: image_bytes(lambda dataset: dataset.pop("PixelData")),
    "empty-pixels": lambda: _pixels(b""),
    "odd-pixels": lambda: _pixels(b"\1" * 40_961),
    "too-many-pixels": lambda: _pixels(b"\1\2" * 160 * 128 * 2),
    "multi-frame": lambda: _changed(NumberOfFrames=2),
    "frames-negative": lambda: _changed(NumberOfFrames=-1),
    "frames-huge": lambda: _changed(NumberOfFrames=2**31 - 1),
    "rows-zero": lambda: _changed(Rows=0),
    "rows-huge": lambda: _changed(Rows=65_535, Columns=65_535),
    "columns-absent": lambda: _changed(Columns=None),
    "bits-12-in-8": lambda: _changed(BitsAllocated=8, BitsStored=12, HighBit=11),
    "bits-32": lambda: _changed(BitsAllocated=32, BitsStored=32, HighBit=31),
    "bits-64": lambda: _changed(BitsAllocated=64, BitsStored=64, HighBit=63),
    "bits-1": lambda: _changed(BitsAllocated=1, BitsStored=1, HighBit=0),
    "bits-12-packed": lambda: _changed(BitsAllocated=12, BitsStored=12, HighBit=11),
    "high-bit-above": lambda: _changed(HighBit=15),
    "signed": lambda: _changed(PixelRepresentation=1),
    "slope-zero": lambda: _changed(RescaleSlope=0),
    "slope-nan": lambda: image_bytes().replace(b"\x28\x00\x53\x10DS\x02\x001 ", b"\x28\x00\x53\x10DS\x02\x00na"),
    "slope-huge": lambda: _changed(RescaleSlope="1e300", RescaleIntercept="-1e300"),
    "window-nan": lambda: _changed(WindowCenter="1e308", WindowWidth="1e-308"),
    "window-negative": lambda: _changed(WindowWidth="-5"),
    "lut-short": lambda: _lut(4096, 0, 16, 3),
    "lut-empty": lambda: _lut(0, 0, 16, 0),
    "lut-descriptor-odd": lambda: _lut(1, 65_535, 3, 1),
    "padding-everything": lambda: _changed(PixelPaddingValue=0, PixelPaddingRangeLimit=65_535),
    "constant": lambda: _pixels(b"\x10\x02" * 160 * 128),
    "noise": lambda: _pixels(random.Random(1).randbytes(2 * 160 * 128)),
    "photometric-unknown": lambda: _changed(PhotometricInterpretation="CMYK"),
    "spacing-zero": lambda: _changed(PixelSpacing=["0", "0"], ImagerPixelSpacing=["-1", "0"]),
    "date-odd": lambda: _changed(AcquisitionDate="99999999", AcquisitionTime="999999", StudyDate="00000000"),
    **{f"hostile-{n}": partial(_text_everywhere, text) for n, text in enumerate(HOSTILE_TEXTS)},
}


def _place(data: bytes, chance: random.Random) -> int:
    """Mostly in the header, where a byte matters more."""
    return chance.randrange(132, max(133, min(len(data), 2500) if chance.random() < 0.7 else len(data)))


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 30, 300))):
        changed[min(_place(data, chance), len(data) - 1)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _remove(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + data[place + chance.choice((1, 2, 8, 100)) :]


def _double(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + data[place : place + chance.choice((1, 8, 500))] * chance.choice((2, 50)) + data[place:]


def _insert(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + chance.randbytes(chance.choice((1, 4, 64))) + data[place:]


def _elements(data: bytes) -> list[int]:
    """Where explicit elements seem to begin."""
    found = [
        n
        for n in range(132, min(len(data), 3000) - 8)
        if data[n + 4 : n + 6].isalpha() and data[n + 4 : n + 6].isupper()
    ]
    return [n for n in found if data[n + 1] < 0x30 or data[n : n + 4] == PIXELS] or [132]


def _wrong_vr(data: bytes, chance: random.Random) -> bytes:
    place = chance.choice(_elements(data)) + 4
    vr = chance.choice((b"SQ", b"UN", b"OW", b"US", b"DS", b"UI", b"FD", b"AT", b"OB", b"ZZ", b"\0\0"))
    return data[:place] + vr + data[place + 2 :]


def _wrong_length(data: bytes, chance: random.Random) -> bytes:
    place = chance.choice(_elements(data)) + 6
    if chance.random() < 0.5:
        return data[:place] + struct.pack("<H", chance.choice((0, 1, 3, 0x7FFF, 0xFFFF))) + data[place + 2 :]
    return data[: place + 2] + struct.pack("<I", chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF))) + data[place + 6 :]


def _wrong_syntax(data: bytes, chance: random.Random) -> bytes:
    for uid in sorted(TRANSFER_SYNTAX_UIDS, key=len, reverse=True):
        padded = uid + b"\0" * (len(uid) % 2)
        place = data.find(struct.pack("<HH2sH", 2, 0x10, b"UI", len(padded)) + padded)
        if place >= 0 and uid:
            other = chance.choice(TRANSFER_SYNTAX_UIDS)
            other += b"\0" * (len(other) % 2)
            new = struct.pack("<HH2sH", 2, 0x10, b"UI", len(other)) + other
            return data[:place] + new + data[place + 8 + len(padded) :]
    return data


def _wrong_number(data: bytes, chance: random.Random) -> bytes:
    """Another value in one of the elements that decide the pixels' shape."""
    element = chance.choice((0x0002, 0x0010, 0x0011, 0x0100, 0x0101, 0x0102, 0x0103))
    place = data.find(struct.pack("<HH2sH", 0x0028, element, b"US", 2))
    if place < 0:
        return data
    value = chance.choice((0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 64, 127, 129, 4096, 32_768, 65_535))
    return data[: place + 8] + struct.pack("<H", value) + data[place + 10 :]


def _wrong_codestream(data: bytes, chance: random.Random) -> bytes:
    """Damage behind the start of the pixels: headers of RLE, JPEG-LS and JPEG 2000."""
    place = data.rfind(PIXELS)
    if place < 0 or len(data) - place < 40:
        return data
    changed = bytearray(data)
    for _ in range(chance.choice((1, 4, 40))):
        changed[place + chance.randrange(8, min(200, len(data) - place))] = chance.choice(
            (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
        )
    return bytes(changed)


DRAWN: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": _flip,
    "cut": _cut,
    "remove": _remove,
    "double": _double,
    "insert": _insert,
    "vr": _wrong_vr,
    "length": _wrong_length,
    "syntax": _wrong_syntax,
    "number": _wrong_number,
    "codestream": _wrong_codestream,
}


def disguised(data: bytes) -> bytes:
    """Any DICOM file as a chest radiograph, so that it is not refused by its tags before its pixels are read."""
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "AP"
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()
