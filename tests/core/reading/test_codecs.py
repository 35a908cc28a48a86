"""Every transfer syntax has one named codec; its codestream is checked before it is opened."""

from __future__ import annotations

import base64
import struct

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import uid

from lungsev.errors import UnreadableImageError
from lungsev.reading.codecs import CODECS, FrameShape, codec_for, decode_frame, printable_uid
from lungsev.reading.encoding import (
    ENCODERS,
    HTJ2K_LOSSLESS,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR,
    RLE,
    encode_frame,
)

needs_htj2k = pytest.mark.skipif(HTJ2K_LOSSLESS not in ENCODERS, reason="this imagecodecs has no encoder of HTJ2K")
HTJ2K = pytest.param(HTJ2K_LOSSLESS, marks=needs_htj2k)
LOSSLESS = [RLE, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1, JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS, HTJ2K]
# (37 y + 23 x) mod 97 * 40 + (y x) mod 13, of 16 rows and 12 columns, by OpenJPH 0.26.
HTJ2K_SAMPLE = (
    "/0//UQApQAAAAAAMAAAAEAAAAAAAAAAAAAAADAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQkJCQ"
    "iIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAaYAAf+TwAAmj/EFB3QAAMAAEsAAEsAAEoDeAYd0APMBB3QAEQIHdADAABPAABUwAATg"
    "KD7gAot0AGLE5PMxAKGUAGPR5wKLdADAABbMAAFqQAAWwOyZrBLq/SbpGZeLABS5R8z8AVMOMgG9mAD1DKu1OQc+WNT54xflJ1IQgb2XAMOUyRCA8AOt"
    "bcnTLWDot3EAjo5CAL6YAMAAL1KAAF6tAAC9QMgT1MkH4OQ+fTx3Ts5Tl/MLL+NhW09tbV6EurTcOby6eFtTwpwHamv6WgTkBalT0BphysO18mKX8cDW"
    "Xl4LgMbr6wBO3i9HUnnZJcwSkIApkAHIc/JC7S7xktNeyzvh8rQ07x3I42vLU7ZE7S7xEtSshryOfwvynDzWwsvvfK1Om0u8xDTmiYfxiMz1nCzUqkz1"
    "hKxNW8zM7/sq1QwuSN7hhOAKUAOeAJI/Och/3scjW+lNvmssz/AogIkHegzIu5N3NoxnAMlrNpMneQUw8TQfAZnX5SYfbCZP8pi8XTN5ydP4k5vc5AD4"
    "CroUvyHNUJZhrKQA6H8A/9k="
)
LOSSY = {JPEG_EXTENDED: 40, JPEG_LS_NEAR: 2, JPEG_2000: 40}
CODESTREAMS = [syntax for syntax in ENCODERS if syntax not in (RLE, JPEG_BASELINE)]

Stored = npt.NDArray[np.unsignedinteger]


def radiograph(bits: int, rows: int = 70, columns: int = 90) -> Stored:
    """A smooth image with a little noise, over the whole range."""
    y, x = np.mgrid[:rows, :columns]
    top = (1 << bits) - 1
    smooth = (np.sin(y / 9) * np.cos(x / 11) + 1) / 2 * top * 0.96
    noise = np.random.default_rng(bits).uniform(0, top * 0.02, smooth.shape)
    values = np.clip(smooth + noise, 0, top).astype(np.uint8 if bits <= 8 else np.uint16)
    values[0, 0], values[-1, -1] = 0, top
    return values


def shape_of(stored: Stored, bits: int, **changes: int) -> FrameShape:
    rows, columns = stored.shape
    whole = {"rows": rows, "columns": columns, "bits_allocated": 8 * stored.dtype.itemsize, "bits_stored": bits}
    return FrameShape(**{**whole, **changes}, signed=False)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_codecs_give_every_value_back(syntax: str, bits: int) -> None:
    stored = radiograph(bits)
    decoded = decode_frame(encode_frame(stored, syntax, bits), codec_for(syntax), shape_of(stored, bits))
    np.testing.assert_array_equal(decoded, stored)


def test_htj2k_is_decoded_where_nothing_encodes_it() -> None:
    y, x = np.mgrid[:16, :12]
    decoded = decode_frame(base64.b64decode(HTJ2K_SAMPLE), codec_for(HTJ2K_LOSSLESS), FrameShape(16, 12, 16, 12, False))
    np.testing.assert_array_equal(decoded, (37 * y + 23 * x) % 97 * 40 + y * x % 13)


def test_a_codestream_left_in_its_jp2_file_is_found() -> None:
    import imagecodecs

    stored = radiograph(12)
    boxed = bytes(imagecodecs.jpeg2k_encode(stored, reversible=True, codecformat="jp2", bitspersample=12))
    decoded = decode_frame(boxed, codec_for(JPEG_2000_LOSSLESS), shape_of(stored, 12))
    np.testing.assert_array_equal(decoded, stored)
    decoy = b"\0\0\0\x10uuid\xff\x4f\xff\x51\0\0\0\0"
    decoded = decode_frame(boxed[:32] + decoy + boxed[32:], codec_for(JPEG_2000_LOSSLESS), shape_of(stored, 12))
    np.testing.assert_array_equal(decoded, stored)
    with pytest.raises(UnreadableImageError):
        decode_frame(boxed[:12] + b"\0\0\0\0uuid" * 9, codec_for(JPEG_2000_LOSSLESS), shape_of(stored, 12))


@pytest.mark.parametrize("syntax", LOSSY)
def test_lossy_codecs_give_nearly_every_value_back(syntax: str) -> None:
    stored = radiograph(12)
    decoded = decode_frame(encode_frame(stored, syntax, 12), codec_for(syntax), shape_of(stored, 12))
    np.testing.assert_allclose(decoded.astype(int), stored, atol=LOSSY[syntax])


def test_baseline_jpeg_gives_nearly_every_value_back() -> None:
    stored = radiograph(8)
    decoded = decode_frame(encode_frame(stored, JPEG_BASELINE, 8), codec_for(JPEG_BASELINE), shape_of(stored, 8))
    np.testing.assert_allclose(decoded.astype(int), stored, atol=12)


def test_the_table_holds_every_syntax_a_radiograph_comes_in() -> None:
    expected = {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.RLELossless,
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEGLSNearLossless,
        uid.JPEG2000Lossless,
        uid.JPEG2000,
        uid.HTJ2KLossless,
        uid.HTJ2KLosslessRPCL,
        uid.HTJ2K,
    }
    assert set(CODECS) == {str(syntax) for syntax in expected}
    assert all(codec.name for codec in CODECS.values())


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.102", "", "<b>"])
def test_another_syntax_is_named_and_refused(syntax: str) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        codec_for(syntax)
    assert caught.value.code == "unsupported_syntax"
    assert "<" not in str(caught.value)


@pytest.mark.parametrize("syntax", CODESTREAMS)
@pytest.mark.parametrize("changes", [{"rows": 71}, {"columns": 45}, {"rows": 90, "columns": 70}])
def test_a_header_with_another_size_is_refused_before_decoding(
    syntax: str, changes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = radiograph(12)
    encoded = encode_frame(stored, syntax, 12)
    _forbid_decoding(monkeypatch)
    with pytest.raises(UnreadableImageError) as caught:
        decode_frame(encoded, codec_for(syntax), shape_of(stored, 12, **changes))
    assert caught.value.code == "wrong_shape"


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS_SV1, JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS])
def test_more_bits_than_the_header_allocates_are_refused(syntax: str) -> None:
    stored = radiograph(12)
    with pytest.raises(UnreadableImageError) as caught:
        decode_frame(encode_frame(stored, syntax, 12), codec_for(syntax), shape_of(stored, 8, bits_allocated=8))
    assert caught.value.code == "wrong_shape"


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS_SV1, JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS, HTJ2K])
def test_a_colour_codestream_is_refused(syntax: str) -> None:
    import imagecodecs

    colour = np.dstack([radiograph(8)] * 3)
    encoded = {
        JPEG_LOSSLESS_SV1: lambda: imagecodecs.jpeg8_encode(colour, lossless=True),
        JPEG_LS_LOSSLESS: lambda: imagecodecs.jpegls_encode(colour),
        JPEG_2000_LOSSLESS: lambda: imagecodecs.jpeg2k_encode(colour, codecformat="j2k"),
        HTJ2K_LOSSLESS: lambda: imagecodecs.htj2k_encode(colour),
    }[syntax]()
    with pytest.raises(UnreadableImageError) as caught:
        decode_frame(bytes(encoded), codec_for(syntax), shape_of(radiograph(8), 8))
    assert caught.value.code == "wrong_shape"


@pytest.mark.parametrize("syntax", ENCODERS)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_a_codestream_cut_short_is_refused_in_one_line(syntax: str, kept: float) -> None:
    bits = 8 if syntax == JPEG_BASELINE else 12
    stored = radiograph(bits)
    encoded = encode_frame(stored, syntax, bits)
    with pytest.raises(UnreadableImageError) as caught:
        decode_frame(encoded[: int(len(encoded) * kept)], codec_for(syntax), shape_of(stored, bits))
    assert caught.value.code in ("truncated", "damaged")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("syntax", ENCODERS)
def test_noise_is_refused_in_one_line(syntax: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    with pytest.raises(UnreadableImageError):
        decode_frame(noise, codec_for(syntax), shape_of(radiograph(12), 12))


def test_a_few_bytes_do_not_buy_a_large_radiograph(monkeypatch: pytest.MonkeyPatch) -> None:
    constant = encode_frame(np.zeros((3000, 3000), np.uint8), JPEG_2000_LOSSLESS, 8)
    siz = constant.index(b"\xff\x51")
    sized = bytearray(constant)
    sized[siz + 6 : siz + 14] = struct.pack(">II", 6000, 6000)
    _forbid_decoding(monkeypatch)
    with pytest.raises(UnreadableImageError) as caught:
        decode_frame(bytes(sized), codec_for(JPEG_2000_LOSSLESS), FrameShape(6000, 6000, 8, 8, False))
    assert caught.value.code == "too_large"


def test_runs_that_add_up_to_more_than_the_radiograph_are_stopped() -> None:
    runs = b"\x81\x00" * 100_000  # 12.8 million bytes where 12,600 belong
    header = struct.pack("<16I", 2, 64, 64 + len(runs) // 2, *([0] * 13))
    with pytest.raises(UnreadableImageError) as caught:
        decode_frame(header + runs, codec_for(RLE), shape_of(radiograph(12), 12))
    assert caught.value.code == "damaged"


@pytest.mark.parametrize("stray", [b"\0", b"\x05", b"\x80\x80\x80", b"\xff\x07", b"\x81\0"])
def test_stray_bytes_behind_the_segments_of_rle_are_no_part_of_the_image(stray: bytes) -> None:
    stored = radiograph(8)
    encoded = encode_frame(stored, RLE, 8)
    np.testing.assert_array_equal(decode_frame(encoded + stray, codec_for(RLE), shape_of(stored, 8)), stored)


@pytest.mark.parametrize(("extra", "code"), [(-2, "truncated"), (180, "wrong_shape"), (6300, "wrong_shape")])
def test_native_data_of_another_length_is_refused(extra: int, code: str) -> None:
    stored = radiograph(12)
    raw = (stored.tobytes() + b"\0" * 20_000)[: stored.nbytes + extra]
    with pytest.raises(UnreadableImageError) as caught:
        decode_frame(raw, codec_for(uid.ExplicitVRLittleEndian), shape_of(stored, 12))
    assert caught.value.code == code


@pytest.mark.parametrize("padding", [1, 90])
def test_padding_of_less_than_a_line_is_allowed(padding: int) -> None:
    stored = radiograph(8, 71, 91)
    decoded = decode_frame(
        stored.tobytes() + b"\0" * padding, codec_for(uid.ExplicitVRLittleEndian), shape_of(stored, 8)
    )
    np.testing.assert_array_equal(decoded, stored)


def test_a_uid_in_a_message_is_digits_and_dots() -> None:
    assert printable_uid("1.2.<script>\x1b[0m3" + "4" * 100) == ("1.2.03" + "4" * 100)[:64]
    assert printable_uid("") == "(none)"


def _forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    import imagecodecs
    import simplejpeg

    def fail(*arguments: object, **options: object) -> None:
        pytest.fail("the decoder was called")

    for name in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode"):
        monkeypatch.setattr(imagecodecs, name, fail)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", fail)
