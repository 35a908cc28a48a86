"""DICOM files give the same stored values in every encoding; a broken file gives one clear line."""

from __future__ import annotations

import contextlib
import logging
import struct
import zlib

import numpy as np
import pytest
from odd_images import (
    bare_header,
    encoded_image,
    image_bytes,
    image_dataset,
    nested_sequences,
    sequence_of,
    setting,
    to_bytes,
)
from pydicom import uid

from lungsev.errors import SkippedImageError, UnreadableImageError
from lungsev.reading.container import is_dicom
from lungsev.reading.decode import decode_dicom
from lungsev.reading.encoding import ENCODERS, JPEG_2000, JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR
from lungsev.reading.limits import ReadLimits
from lungsev.reading.radiograph import Stored, pixel_sha256

LIMITS = ReadLimits()
SYNTAXES = ["implicit", "explicit", "big_endian", "deflated", "rle", "jpeg_ls", "jpeg_2000"]

LOSSY_SYNTAXES = {JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR, JPEG_2000}
LOSSLESS_SYNTAXES = [str(uid.ExplicitVRLittleEndian), *(syntax for syntax in ENCODERS if syntax not in LOSSY_SYNTAXES)]


def expected_values() -> Stored:
    dataset = image_dataset(bits=12)
    return np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)


def failure(data: bytes, limits: ReadLimits = LIMITS) -> UnreadableImageError:
    with pytest.raises(UnreadableImageError) as caught:
        decode_dicom(data, limits)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_lossless_syntax_carries_the_same_values(syntax: str) -> None:
    decoded = decode_dicom(image_bytes(bits=12, transfer_syntax=syntax), LIMITS)
    np.testing.assert_array_equal(decoded.values, expected_values())
    assert decoded.values.dtype == np.uint16
    assert pixel_sha256(decoded.hashed) == pixel_sha256(expected_values())
    assert decoded.info.decoder


def test_the_report_names_the_codec_and_the_syntax() -> None:
    image = decode_dicom(image_bytes(transfer_syntax="jpeg_ls"), LIMITS).info
    assert image.decoder == "imagecodecs/charls"
    assert image.transfer_syntax == uid.JPEGLSLossless


def test_what_the_report_says_of_the_radiograph() -> None:
    image = decode_dicom(image_bytes(patient_id="P7"), LIMITS).info
    dataset = image_dataset(patient_id="P7")
    assert image.patient_id == "P7"
    assert image.sop_instance_uid == dataset.SOPInstanceUID
    assert image.study_instance_uid == dataset.StudyInstanceUID
    assert (image.modality, image.view) == ("CR", "AP")
    assert image.acquired_at == "2026-03-02T08:15:00"
    assert (image.rows, image.columns) == (160, 128)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS_SYNTAXES)
def test_signed_radiographs_keep_their_sign(bits: int, syntax: str) -> None:
    half = 1 << (bits - 1)
    waves = np.sin(np.linspace(0, 150, 64 * 80)) * (half - 0.5) - 0.5
    signed = np.rint(waves).astype(np.int8 if bits == 8 else np.int16).reshape(64, 80)
    words = signed.view(np.uint8 if bits == 8 else np.uint16) & ((1 << bits) - 1)
    decoded = decode_dicom(encoded_image(words, syntax, bits=bits, PixelRepresentation=1), LIMITS)
    np.testing.assert_array_equal(decoded.values, signed)
    assert decoded.values.dtype == signed.dtype


@pytest.mark.parametrize("high_bit", [11, 13, 15])
def test_values_high_in_their_words_with_overlays_beside_them(high_bit: int) -> None:
    values = expected_values()
    below = high_bit - 11
    words = (values << below).astype(np.uint16)
    words |= np.uint16(1) if below else np.uint16(0)  # an overlay plane below
    if high_bit < 15:
        words |= np.uint16(1 << 15)  # and one above
    decoded = decode_dicom(encoded_image(words, uid.ExplicitVRLittleEndian, bits=12, HighBit=high_bit), LIMITS)
    np.testing.assert_array_equal(decoded.values, values)


@pytest.mark.parametrize("stored_bits", [8, 9, 10, 11, 16])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, *LOSSLESS_SYNTAXES[1:]])
def test_a_wrong_number_of_stored_bits_costs_no_value(stored_bits: int, syntax: str) -> None:
    tags = {"BitsStored": stored_bits, "HighBit": stored_bits - 1}
    decoded = decode_dicom(encoded_image(expected_values(), syntax, bits=12, **tags), LIMITS)
    np.testing.assert_array_equal(decoded.values, expected_values())


def test_unsigned_values_under_a_sign_keep_their_order() -> None:
    tags = {"PixelRepresentation": 1}
    decoded = decode_dicom(encoded_image(expected_values(), uid.ExplicitVRLittleEndian, bits=12, **tags), LIMITS)
    np.testing.assert_array_equal(decoded.values, expected_values())


def test_an_overlay_above_the_stored_bits_is_no_part_of_the_radiograph() -> None:
    words = expected_values().copy()
    words[20:60, 30:34] |= 1 << 12
    words[100, ::2] |= 1 << 13
    decoded = decode_dicom(encoded_image(words, uid.ExplicitVRLittleEndian, bits=12), LIMITS)
    np.testing.assert_array_equal(decoded.values, expected_values())


def test_a_high_bit_that_makes_no_sense_is_ignored() -> None:
    decoded = decode_dicom(encoded_image(expected_values(), uid.ExplicitVRLittleEndian, bits=12, HighBit=3), LIMITS)
    np.testing.assert_array_equal(decoded.values, expected_values())


def test_pixels_in_several_fragments_are_joined() -> None:
    whole = image_bytes(transfer_syntax="jpeg_ls", bits=12)
    start = whole.index(b"\xfe\xff\x00\xe0", whole.index(b"\xe0\x7f\x10\x00"))
    table = whole[start : start + 8 + struct.unpack("<I", whole[start + 4 : start + 8])[0]]
    item = start + len(table)
    (length,) = struct.unpack("<I", whole[item + 4 : item + 8])
    body = whole[item + 8 : item + 8 + length]
    parts = [body[:100], body[100:1000], body[1000:]]
    items = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(part)) + part for part in parts)
    decoded = decode_dicom(whole[:item] + items + whole[item + 8 + length :], LIMITS)
    np.testing.assert_array_equal(decoded.values, expected_values())


@pytest.mark.parametrize("pad", [b"", b"\0"])
def test_a_fragment_of_odd_length_may_be_padded_or_not(pad: bytes) -> None:
    whole = image_bytes(transfer_syntax="jpeg_ls", bits=12)
    item = whole.index(b"\xfe\xff\x00\xe0", whole.index(b"\xe0\x7f\x10\x00") + 20)
    (length,) = struct.unpack("<I", whole[item + 4 : item + 8])
    body = whole[item + 8 : item + 8 + length] + b"\0"
    assert len(body) % 2 == 1, "an even fragment, as the standard has it, and one more byte"
    odd = whole[: item + 4] + struct.pack("<I", len(body)) + body + pad + whole[item + 8 + length :]
    decoded = decode_dicom(odd, LIMITS)
    np.testing.assert_array_equal(decoded.values, expected_values())


@pytest.mark.parametrize("syntax", ["implicit", "explicit"])
def test_a_bare_dataset_is_read_without_preamble(syntax: str) -> None:
    whole = image_bytes(transfer_syntax=syntax, bits=12)
    bare = whole[132 + 12 + struct.unpack("<I", whole[140:144])[0] :]
    assert is_dicom(bare)
    decoded = decode_dicom(bare, LIMITS)
    np.testing.assert_array_equal(decoded.values, expected_values())
    assert decoded.info.transfer_syntax == (
        uid.ImplicitVRLittleEndian if syntax == "implicit" else uid.ExplicitVRLittleEndian
    )


def test_a_bare_big_endian_dataset_is_read() -> None:
    whole = image_bytes(transfer_syntax="big_endian", bits=12)
    decoded = decode_dicom(whole[132 + 12 + struct.unpack("<I", whole[140:144])[0] :], LIMITS)
    np.testing.assert_array_equal(decoded.values, expected_values())


def test_the_class_may_stand_in_the_file_meta_alone() -> None:
    assert (
        decode_dicom(image_bytes(setting(SOPClassUID=None)), LIMITS).info.sop_class_uid == image_dataset().SOPClassUID
    )


@pytest.mark.parametrize("kept", [140, 200, 600, 1200, -200, -40])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_short_anywhere_is_truncated_or_damaged(syntax: str, kept: int) -> None:
    error = failure(image_bytes(transfer_syntax=syntax)[:kept])
    assert error.code in ("truncated", "damaged")


def test_an_over_long_buffer_is_a_wrong_shape() -> None:
    assert failure(image_bytes(setting(Rows=80))).code == "wrong_shape"
    assert failure(image_bytes(setting(Rows=320))).code == "truncated"
    assert failure(image_bytes(setting(Rows=80), transfer_syntax="jpeg_2000")).code == "wrong_shape"


@pytest.mark.parametrize(("rows", "columns"), [(65535, 65535), (60000, 64), (7000, 7000)])
def test_an_absurd_size_is_refused_by_its_header(rows: int, columns: int) -> None:
    assert failure(image_bytes(setting(Rows=rows, Columns=columns))).code == "too_large"


@pytest.mark.parametrize(
    ("code", "tags"),
    [
        ("wrong_shape", {"Rows": 0}),
        ("damaged", {"Rows": None}),
        ("damaged", {"BitsAllocated": None}),
        ("unsupported_bits", {"BitsAllocated": 32, "BitsStored": 32}),
        ("unsupported_bits", {"BitsAllocated": 1, "BitsStored": 1}),
        ("unsupported_bits", {"BitsStored": 17}),
        ("truncated", {"PixelData": b""}),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(code: str, tags: dict[str, object]) -> None:
    assert failure(image_bytes(setting(**tags))).code == code


def test_a_compression_that_is_stated_and_absent_is_refused() -> None:
    raw = image_bytes(bits=12)
    claimed = raw.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    assert failure(claimed).code == "damaged"
    fragments = image_bytes(transfer_syntax="rle", bits=12).replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")
    assert failure(fragments).code == "damaged"


def test_an_unknown_syntax_is_named() -> None:
    error = failure(image_bytes(transfer_syntax="rle").replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.9.9.9\0"))
    assert error.code == "unsupported_syntax"
    assert "1.2.840.10008.9.9.9" in str(error)


def test_a_file_without_pixels_is_skipped_with_what_is_known() -> None:
    with pytest.raises(SkippedImageError) as caught:
        decode_dicom(to_bytes(bare_header(Modality="CR", PatientID="P1")), LIMITS)
    assert caught.value.code == "no_pixels"
    assert caught.value.image is not None
    assert caught.value.image.patient_id == "P1"


def test_a_structured_report_is_skipped_for_its_class() -> None:
    report = bare_header(Modality="SR", ContentSequence=sequence_of(TextValue="x"))
    report["ContentSequence"].is_undefined_length = True
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    with pytest.raises(SkippedImageError) as caught:
        decode_dicom(to_bytes(report), LIMITS)
    assert caught.value.code == "unsupported_sop_class"


def test_a_skipped_radiograph_is_still_known() -> None:
    with pytest.raises(SkippedImageError) as caught:
        decode_dicom(image_bytes(body_part="HAND"), LIMITS)
    assert caught.value.image is not None
    assert caught.value.image.sop_instance_uid == image_dataset().SOPInstanceUID


def test_deep_nesting_is_refused_without_harm() -> None:
    assert decode_dicom(nested_sequences(20), LIMITS).values.shape == (160, 128)
    assert failure(nested_sequences(3000)).code == "too_deep"


def test_a_deflated_bomb_is_stopped_early() -> None:
    whole = image_bytes(transfer_syntax="deflated")
    start = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    zeros = b"\x09\x00\x10\x10OB\0\0" + struct.pack("<I", 20 << 20) + b"\0" * (20 << 20)
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = whole[:start] + squeeze.compress(zeros) + squeeze.flush()
    assert len(bomb) < 40_000
    assert failure(bomb).code == "too_large"


def test_a_deflated_radiograph_may_not_outgrow_its_limit() -> None:
    assert failure(image_bytes(transfer_syntax="deflated"), ReadLimits(inflated_bytes=20_000)).code == "too_large"


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bits_never_raise_anything_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(image_bytes(transfer_syntax=SYNTAXES[seed % len(SYNTAXES)], bits=12))
    for place in rng.integers(132, 132 + (len(data) - 132) // (8 if seed % 2 else 1), 40):
        data[place] = rng.integers(256)
    with contextlib.suppress(UnreadableImageError, SkippedImageError):
        assert decode_dicom(bytes(data), LIMITS).values.ndim == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nothing_of_the_patient_is_logged_or_said(caplog: pytest.LogCaptureFixture) -> None:
    canary = setting(PatientName="CANARY^NAME", PatientID="CANARY-ID", PatientBirthDate="19CANARY")
    with caplog.at_level(logging.DEBUG):
        data = image_bytes(canary, setting(Rows=80, WindowCenter="1"))
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        error = failure(data)
    assert "CANARY" not in caplog.text + str(error) + repr(error)
