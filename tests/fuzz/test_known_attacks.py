"""Patterns of published attacks on DICOM servers: untrue sizes, bombs, private codecs. Refused, at little cost."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from dashboard_browser import TOKEN
from fuzz.pdus import associate_request, cut_pdus
from fuzz.seeds import seeds_of
from fuzz.targets import dashboard_port, open_listener
from odd_images import image_bytes, setting
from pydicom.dataset import Dataset
from tiff_files import COLOUR_MAP, GREY_8, PHOTOMETRIC, tiff_file

from lungsev.errors import ImageError
from lungsev.reading.read import read_radiograph_bytes
from lungsev.runtime.delivery.statuses import SendLaterError
from lungsev.runtime.delivery.web import decode_body
from lungsev.sandbox.client import Sandbox

MAX_GROWTH_KB = 150 * 1024
Refusal = Callable[[bytes], str]
PIXELS = b"\xe0\x7f\x10\x00"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    pytest.importorskip("uvicorn", reason='the dashboard needs the "bedside" extra')
    with dashboard_port() as port:
        yield port


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MAX_GROWTH_KB


@pytest.fixture(scope="module")
def refusal() -> Iterator[Refusal]:
    """Why an image is refused, by the way that every image takes: a worker of the sandbox, with its limits."""
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"

        def read(data: bytes) -> str:
            path.write_bytes(data)
            with pytest.raises(ImageError) as caught:
                sandbox.read(path)
            return caught.value.code

        yield read


def deflated(megabytes: int, window_bits: int, head: bytes = b"") -> bytes:
    """A bomb: zeros behind a head, deflated."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, window_bits)
    parts = [deflater.compress(head), *(deflater.compress(bytes(1 << 20)) for _ in range(megabytes)), deflater.flush()]
    return b"".join(parts)


def answer(port: int, request: bytes) -> bytes:
    """The status line, or nothing where the server closes the connection instead."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found.split(b"\r\n", 1)[0]


def post(body: bytes, *headers: str) -> bytes:
    lines = ["POST /exams/x/corrections HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}"]
    lines += ["Content-Type: application/x-www-form-urlencoded", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def test_a_gzip_bomb_in_a_request_is_not_inflated(port: int) -> None:
    bomb = deflated(64, zlib.MAX_WBITS | 16)
    found = answer(port, post(bomb, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}"))
    assert found.split()[1:2] in ([], [b"401"], [b"403"], [b"413"])


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 1000000000000000000",),
        ("Content-Length: 4294967296",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length: -1",),
        ("Content-Length: 0x10",),
        ("Content-Length: 4", "Content-Length: 4000000000"),
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
    ],
)
def test_a_length_that_is_not_true_reserves_nothing(port: int, headers: tuple[str, ...]) -> None:
    found = answer(port, post(b"form=x", *headers))
    assert not found or found.split()[1][:1] == b"4", found
    assert answer(port, b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize(("rows", "columns"), [(65535, 65535), (65535, 1), (0, 65535), (32768, 32768)])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "PALETTE COLOR"])
@pytest.mark.parametrize("syntax", ["explicit", "rle", "jpeg_ls", "jpeg_2000"])
def test_dimensions_larger_than_the_data_are_refused(
    refusal: Refusal, syntax: str, photometric: str, rows: int, columns: int
) -> None:
    change = setting(Rows=rows, Columns=columns, PhotometricInterpretation=photometric)
    assert refusal(image_bytes(change, transfer_syntax=syntax)) in (
        "too_large",
        "wrong_shape",
        "too_small",
        "unsupported_photometric",
        "colour",
        "not_a_radiograph",
    )


@pytest.mark.parametrize(("entries", "bits", "length"), [(0, 16, 2), (256, 16, 2), (65535, 8, 0), (1, 3, 1)])
def test_palettes_shorter_than_they_say_are_no_images(refusal: Refusal, entries: int, bits: int, length: int) -> None:
    tables = {f"{name}PaletteColorLookupTableData": bytes(length) for name in ("Red", "Green", "Blue")}
    sizes = {f"{name}PaletteColorLookupTableDescriptor": [entries, 0, bits] for name in ("Red", "Green", "Blue")}
    assert refusal(image_bytes(setting(PhotometricInterpretation="PALETTE COLOR", **tables, **sizes)))
    assert refusal(tiff_file((GREY_8, {PHOTOMETRIC: 3, COLOUR_MAP: (0,) * 12}))) == "damaged"


def segments(count: int, *offsets: int) -> bytes:
    return struct.pack("<16I", count, *offsets, *(0,) * (15 - len(offsets)))


@pytest.mark.parametrize(
    "header",
    [
        segments(0),
        segments(1, 64),
        segments(2, 64, 0xFFFFFFF0),
        segments(2, 0xFFFFFFFF, 64),
        segments(2, 70, 64),
        segments(15, *range(64, 79)),
        segments(0xFFFFFFFF, 64),
    ],
)
def test_rle_segments_outside_the_data_are_damaged(refusal: Refusal, header: bytes) -> None:
    data = image_bytes(transfer_syntax="rle")
    place = data.rfind(struct.pack("<II", 2, 64))
    assert place > 0
    assert refusal(data[:place] + header + data[place + 64 :]) in ("damaged", "truncated", "wrong_shape")


@pytest.mark.parametrize("run", [b"\x81\x07", b"\x7f" + bytes(range(128)), b"\x80"])
def test_rle_runs_beyond_the_frame_write_nothing_beyond_it(refusal: Refusal, run: bytes) -> None:
    data = image_bytes(transfer_syntax="rle")
    place = data.rfind(struct.pack("<II", 2, 64))
    longer = data[: place + 64] + run * 4000 + data[place + 64 + len(run) * 4000 :]
    assert refusal(longer) in ("damaged", "truncated", "wrong_shape")


def test_private_compressions_of_philips_are_refused_and_never_decoded(refusal: Refusal) -> None:
    """PMSCT_RLE1: pixels in (07A1,100A), their scheme in (07A1,1011)."""

    def private(dataset: Dataset) -> None:
        dataset.add_new(0x07A10010, "LO", "ELSCINT1")
        dataset.add_new(0x07A11011, "CS", "PMSCT_RLE1")
        dataset.add_new(0x07A1100A, "OB", b"\xa5\x00\x00\x5a\xff" * 40)
        del dataset.PixelData

    assert refusal(image_bytes(private)) == "no_pixels"
    named = image_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.3.46.670589.33.1.4\0"[:20], 1)
    assert refusal(named) == "unsupported_syntax"


@pytest.mark.parametrize("syntax", ["jpeg_ls", "jpeg_2000"])
@pytest.mark.parametrize("factor", [0, 3, 400])
def test_a_codestream_that_claims_another_size_than_its_header_is_refused(
    refusal: Refusal, syntax: str, factor: int
) -> None:
    data = bytearray(image_bytes(transfer_syntax=syntax))
    rows, columns = 160, 128
    for marker, layout in ((b"\xff\xf7\x00\x0b", ">HH"), (b"\xff\x4f\xff\x51", ">II")):
        place = data.rfind(marker)
        if place >= 0:
            at = place + (5 if layout == ">HH" else 8)
            sizes = (rows * factor, columns) if layout == ">HH" else (columns, rows * factor)
            struct.pack_into(layout, data, at, *(size & 0xFFFF for size in sizes))
    assert refusal(bytes(data)) in ("wrong_shape", "damaged", "too_large")


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x7FFFFFFF, 0x10000000])
def test_lengths_beyond_the_file_are_cut_short(refusal: Refusal, length: int) -> None:
    wrapped = image_bytes(transfer_syntax="jpeg_ls")
    item = wrapped.find(b"\xfe\xff\x00\xe0", wrapped.rfind(PIXELS) + 20) + 4
    assert refusal(wrapped[:item] + struct.pack("<I", length) + wrapped[item + 4 :]) in ("truncated", "damaged")


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x7FFFFFFF, 0x10000000])
def test_an_untrue_length_of_native_pixels_changes_no_pixel(refusal: Refusal, length: int) -> None:
    whole = image_bytes()
    place = whole.rfind(PIXELS + b"OW") + 8
    changed = whole[:place] + struct.pack("<I", length) + whole[place + 4 :]
    np.testing.assert_array_equal(read_radiograph_bytes(changed).pixels, read_radiograph_bytes(whole).pixels)
    assert refusal(changed[:-200]) == "truncated"


@pytest.mark.parametrize("sizes", [(0xFFFFFFFF, 1), (1, 0xFFFFFFFF), (65536, 65536), (0, 0)])
def test_pictures_that_claim_more_than_they_hold_are_refused(refusal: Refusal, sizes: tuple[int, int]) -> None:
    png = cv2.imencode(".png", GREY_8)[1].tobytes()
    assert refusal(png[:16] + struct.pack(">II", *sizes) + png[24:]) in ("too_large", "wrong_shape", "too_small")
    assert refusal(tiff_file((GREY_8, {256: sizes[0], 257: sizes[1]}))) in ("too_large", "wrong_shape", "too_small")
    assert refusal(tiff_file((GREY_8, {279: (0x7FFFFFFF, 0x7FFFFFFF)}))) == "damaged"


def test_a_picture_of_a_few_bytes_does_not_buy_a_large_one(refusal: Refusal) -> None:
    bomb = cv2.imencode(".png", np.zeros((5000, 5000), np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    assert len(bomb) < 60_000
    assert refusal(bomb) == "too_large"


def store_request() -> list[bytes]:
    """The PDUs of a whole C-STORE."""
    return cut_pdus(list(seeds_of("dicom_listener"))[1])


def data_pdu(values: bytes, claimed: int | None = None) -> bytes:
    return struct.pack(">BxI", 4, len(values) if claimed is None else claimed) + values


def data_value(data: bytes, claimed: int | None = None, context: int = 3) -> bytes:
    """A PDV of the last fragment of a command (PS3.8 9.3.5.1)."""
    return struct.pack(">IBB", len(data) + 2 if claimed is None else claimed, context, 3) + data


SEQUENCE = struct.pack("<HHIHHI", 8, 0x1140, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
LIES: dict[str, list[bytes]] = {
    "a PDU of 4 GB": [data_pdu(b"x" * 100, 0xFFFFFFFF)],
    "a PDU of the longest int": [data_pdu(b"x" * 100, 0x7FFFFFFF)],
    "a PDV of 4 GB": [data_pdu(data_value(b"x" * 20, 0xFFFFFFFF))],
    "a PDV longer than its PDU": [data_pdu(data_value(b"x" * 20, 25))],
    "a PDV shorter than its header": [data_pdu(data_value(b"x" * 20, 1))],
    "a PDV of nothing": [data_pdu(struct.pack(">I", 0))],
    "a context that was not accepted": [data_pdu(data_value(b"\0" * 20, context=99))],
    "a command that is none": [data_pdu(data_value(b"\xff" * 60))],
    "a command nested without end": [data_pdu(data_value(SEQUENCE * 900))],
    "pixels before their command": [data_pdu(struct.pack(">IBB", 102, 3, 2) + b"x" * 100)],
    "a second association": [associate_request()],
}


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[int, Path]]:
    pytest.importorskip("pynetdicom", reason='the listener needs the "bedside" extra')
    with open_listener() as opened:
        yield opened


@pytest.mark.parametrize("lie", LIES)
def test_lies_of_a_peer_end_its_association_and_leave_nothing(listener: tuple[int, Path], lie: str) -> None:
    port, inbox = listener
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(associate_request(b"1.2.840.10008.1.1"))
        assert peer.recv(65536)[:1] == b"\x02"
        for part in LIES[lie]:
            peer.sendall(part)
        peer.settimeout(4)  # less than the listener waits for a silent peer
        with contextlib.suppress(ConnectionError):
            while answer := peer.recv(65536):
                assert answer[:1] == b"\x07", "expected A-ABORT or the end"
    assert not list(inbox.glob("*.dcm"))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as next_peer:
        next_peer.sendall(associate_request())
        assert next_peer.recv(65536)[:1] == b"\x02"


def test_an_image_longer_than_allowed_is_not_kept(listener: tuple[int, Path]) -> None:
    port, inbox = listener
    associate, command, *_ = store_request()
    part = data_pdu(struct.pack(">IBB", 60_002, 3, 0) + bytes(60_000))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(associate)
        assert peer.recv(65536)[:1] == b"\x02"
        with contextlib.suppress(ConnectionError):
            peer.sendall(command)
            for _ in range(100):  # of the megabyte that this listener takes
                peer.sendall(part)
            while peer.recv(65536):
                pass
    assert not list(inbox.glob("*.dcm"))


def test_a_gzip_bomb_as_the_answer_of_an_archive_is_not_inflated() -> None:
    bomb = deflated(64, zlib.MAX_WBITS | 16)
    for encoding in ("gzip", "", "gzip, gzip"):
        with pytest.raises(SendLaterError):
            decode_body(bomb, encoding)


def test_a_deflate_bomb_in_a_dataset_is_refused_early(refusal: Refusal) -> None:
    data = image_bytes(transfer_syntax="deflated")
    end = 144 + int.from_bytes(data[140:144], "little")
    header = zlib.decompress(data[end:], -zlib.MAX_WBITS)
    place = header.rfind(PIXELS + b"OW")
    bomb = deflated(64, -zlib.MAX_WBITS, header[: place + 8] + struct.pack("<I", 64 << 20))
    assert len(bomb) < 400_000
    assert refusal(data[:end] + bomb) == "too_large"
