"""What is fuzzed: each target takes any bytes, and may answer only with the errors that its own module declares."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dashboard_browser import TOKEN
from fuzz.pdus import associate_request, cut_pdus, is_whole_pdu

from lungsev.errors import ImageError, LungsevError

Feed = Callable[[bytes], None]
ANSWER_SECONDS = 20.0
QUIET_SECONDS = 0.1  # then an input has no answer: it was no whole request
INPUTS_BETWEEN_QUESTIONS = 20  # whether a server still answers
ASSOCIATE = bytes.fromhex(
    "010000000085000100004c554e475345562020202020202020205045455220202020202020202020202000000000000000000000000000"
    "00000000000000000000000000000000000000000010000015312e322e3834302e31303030382e332e312e312e31"
    "2000002e01000000300000 11312e322e3834302e31303030382e312e31 40000011312e322e3834302e31303030382e312e32"
)


@contextlib.contextmanager
def reading() -> Iterator[Feed]:
    """Whole files as a watched folder may hold them: structure, pixels, brightness, field, polarity."""
    from lungsev.reading.completeness import check_completeness
    from lungsev.reading.read import read_radiograph_bytes

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"

        def feed(data: bytes) -> None:
            path.write_bytes(data)
            check_completeness(path)
            with contextlib.suppress(ImageError):
                read_radiograph_bytes(data)

        yield feed


@contextlib.contextmanager
def codestreams() -> Iterator[Feed]:
    """A transfer syntax, what a header says of the frame, and the frame's bytes."""
    from lungsev.reading.codecs import CODECS, FrameShape, codec_for, decode_frame
    from lungsev.reading.limits import ReadLimits

    syntaxes, head, limits = sorted(CODECS), struct.Struct("<BBBHH"), ReadLimits()

    def feed(data: bytes) -> None:
        if len(data) < head.size:
            return
        syntax, bits, flags, rows, columns = head.unpack_from(data)
        allocated = 16 if flags & 1 else 8
        with contextlib.suppress(ImageError):
            limits.check_size(rows, columns)
            shape = FrameShape(
                rows, columns, allocated, 1 + bits % allocated, bool(flags & 2), bool(flags & 4), bool(flags & 8)
            )
            codec = codec_for(syntaxes[syntax % len(syntaxes)])
            if codec.at_half_size is not None:
                with contextlib.suppress(ImageError):
                    decode_frame(data[head.size :], codec.at_half_size, shape)
            decode_frame(data[head.size :], codec, shape)

    yield feed


@contextlib.contextmanager
def yaml_files() -> Iterator[Feed]:
    """Settings of the bedside computer, options, an index of bundles, a bundle's manifest."""
    from lungsev.bundle.contents import parse_manifest
    from lungsev.bundle.zoo import read_index
    from lungsev.config import load_model, parse_assignments
    from lungsev.runtime.settings import BedsideSettings

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zoo.yaml"

        def feed(data: bytes) -> None:
            path.write_bytes(data)
            for read in (
                lambda: load_model(BedsideSettings, path),
                lambda: parse_manifest(data, path),
                lambda: read_index(Path(folder)),
                lambda: parse_assignments([data.decode("latin-1")]),
            ):
                with contextlib.suppress(LungsevError):
                    read()

        yield feed


@contextlib.contextmanager
def bundles() -> Iterator[Feed]:
    """A zipped bundle, and each kind of file in it by itself, since the checksums let no change of one pass."""
    from lungsev.bundle.archive import verify_bundle
    from lungsev.bundle.onnx_facts import read_onnx
    from lungsev.bundle.signature import demand_signature
    from lungsev.bundle.zoo import sums_sha256

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle.zip"

        def feed(data: bytes) -> None:
            path.write_bytes(data)
            for read in (
                lambda: verify_bundle(path, allow_unsigned=True),
                lambda: sums_sha256(path),
                lambda: read_onnx(data),
                lambda: demand_signature({"SIGNATURE": data, "SHA256SUMS": b""}, path, Path(folder)),
            ):
                with contextlib.suppress(LungsevError):
                    read()

        yield feed


@contextlib.contextmanager
def tables() -> Iterator[Feed]:
    """A table of annotations."""
    from lungsev.train.data.tables import read_table

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"

        def feed(data: bytes) -> None:
            path.write_bytes(data)
            with contextlib.suppress(LungsevError):
                read_table(path)

        yield feed


@contextlib.contextmanager
def web_answers() -> Iterator[Feed]:
    """What a server answers that takes results or gives images: the first line its Content-Type, the rest its body."""
    from lungsev.runtime.cluster.dicomweb import Access, DicomWeb, only_part, read_page
    from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError
    from lungsev.runtime.delivery.stow_answer import read_stow_answer
    from lungsev.runtime.delivery.web import WebAnswer, decode_body

    archive = DicomWeb("https://pacs.example/dicom-web", Access())

    def feed(data: bytes) -> None:
        first, _, body = data.partition(b"\n")
        with contextlib.suppress(SendLaterError, SendRefusedError):
            for encoding in ("", "gzip"):
                answer = read_stow_answer(decode_body(body, encoding), first.decode("latin-1"))
                if answer is not None:
                    answer.check_object("1.2.3", False)
        with contextlib.suppress(SendLaterError, SendRefusedError):
            only_part(WebAnswer(200, first.decode("latin-1"), body))
        with contextlib.suppress(SendRefusedError):
            for item in archive.items(read_page(WebAnswer(200, "", body)), "DX"):
                assert item.place.replace("/", "").replace(".", "").isalnum()

    yield feed


@contextlib.contextmanager
def open_listener() -> Iterator[tuple[int, Path]]:
    """A DICOM listener on a port, and its inbox; what it sets for the whole process is set back."""
    from pynetdicom import _config

    from lungsev.runtime.dicom.listener import listening
    from lungsev.runtime.settings import ListenSettings

    before = tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET
    settings = ListenSettings(enabled=True, port=0, max_object_mb=1, idle_seconds=5, max_associations=256)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with listening(Path(folder), settings, 0.0) as listener:
                yield listener.port, Path(folder)
        finally:
            tempfile.tempdir, _config.STORE_RECV_CHUNKED_DATASET = before


@contextlib.contextmanager
def dicom_listener() -> Iterator[Feed]:
    """The bytes of one peer, PDU by PDU, as PS3.8 9.3 lays them out."""
    count = itertools.count(1)
    with open_listener() as (port, inbox), _failing_threads() as check:

        def feed(data: bytes) -> None:
            _talk(port, cut_pdus(data), is_whole_pdu)
            check()
            for received in inbox.glob("*.dcm"):
                received.unlink()
            if next(count) % INPUTS_BETWEEN_QUESTIONS == 0:
                answer = _talk(port, [associate_request()], is_whole_pdu, False, ANSWER_SECONDS)
                assert answer[:1] == b"\x02", "the listener accepts no association any more"

        yield feed


@contextlib.contextmanager
def hl7_listener() -> Iterator[Feed]:
    """The bytes of one sender of HL7 messages."""
    from lungsev.runtime.hl7.listener import MergeListener
    from lungsev.runtime.settings import Hl7ListenSettings

    settings = Hl7ListenSettings(enabled=True, port=0, max_message_kb=16, idle_seconds=5)
    with MergeListener(settings, lambda merge: None) as listener, _failing_threads() as check:

        def feed(data: bytes) -> None:
            answer = _talk(listener.port, [data], lambda answer: answer.endswith(b"\x1c\r"))
            if b"|207|" in answer:
                raise AssertionError("an internal error is told to the sender")
            check()

        yield feed


@contextlib.contextmanager
def http() -> Iterator[Feed]:
    """The bytes of one client, to the dashboard."""
    with dashboard_port() as port, _failing_threads() as check:
        yield _web_feed(port, check, half_close=False)


@contextlib.contextmanager
def health() -> Iterator[Feed]:
    """The bytes of one client, to the watcher's pages of its health."""
    from lungsev.runtime.settings import HealthSettings
    from lungsev.runtime.watcher.health import Health, HealthServer

    server = HealthServer(HealthSettings(enabled=True, port=0), Health(), lambda: b"")
    with server, _failing_threads() as check:
        yield _web_feed(server.port, check, half_close=True)


def _web_feed(port: int, check: Callable[[], None], half_close: bool) -> Feed:
    count = itertools.count(1)

    def feed(data: bytes) -> None:
        answer = _talk(port, [data], lambda answer: b"\r\n\r\n" in answer, half_close)
        if answer.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500")):
            raise AssertionError("a server met an internal error")
        check()
        if next(count) % INPUTS_BETWEEN_QUESTIONS == 0:
            answer = _talk(
                port, [b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], bool, quiet_seconds=ANSWER_SECONDS
            )
            assert answer.startswith(b"HTTP/1."), "the server answers no request any more"

    return feed


@contextlib.contextmanager
def dashboard_port() -> Iterator[int]:
    """A dashboard of two images of one patient on a port."""
    from dashboard_browser import served
    from exam_makers import put_report, scored_report

    from lungsev.runtime.dashboard.app import create_app

    with tempfile.TemporaryDirectory() as folder:
        for name in ("reports", "images", "maps", "overlays"):
            (Path(folder) / name).mkdir()
        put_report(Path(folder), "a1", scored_report("WARD-1", "2026-11-20T08:00:00", "000111"))
        put_report(Path(folder), "a2", scored_report("WARD-1", "2026-11-21T08:00:00", "012321"))
        with served(create_app(Path(folder), TOKEN)) as port:
            yield port


TARGETS: dict[str, Callable[[], contextlib.AbstractContextManager[Feed]]] = {
    "reading": reading,
    "codestreams": codestreams,
    "dicom_listener": dicom_listener,
    "hl7_listener": hl7_listener,
    "http": http,
    "health": health,
    "web_answers": web_answers,
    "yaml": yaml_files,
    "bundles": bundles,
    "tables": tables,
}


@contextlib.contextmanager
def _failing_threads() -> Iterator[Callable[[], None]]:
    """Exceptions that end a thread of a server fail the input that caused them."""
    failed: list[BaseException] = []
    before = threading.excepthook

    def remember(args: Any) -> None:
        if args.exc_value is not None:
            failed.append(args.exc_value)

    def check() -> None:
        if failed:
            raise failed.pop()

    threading.excepthook = remember
    try:
        yield check
    finally:
        threading.excepthook = before


def _talk(
    port: int,
    parts: list[bytes],
    is_whole: Callable[[bytes], bool],
    half_close: bool = True,
    quiet_seconds: float = QUIET_SECONDS,
) -> bytes:
    """Send the first part, wait for an answer, send the others, and listen until the answer is whole or none comes.

    Raises:
        AssertionError: The server takes no connection.
    """
    answer = b""
    try:
        connection = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
    except OSError as error:
        raise AssertionError(f"the server takes no connection: {error}") from None
    with connection, contextlib.suppress(OSError):  # it may close at any moment, or say nothing
        connection.settimeout(quiet_seconds)
        for number, part in enumerate(parts):
            connection.sendall(part)
            if number == 0 and len(parts) > 1:
                with contextlib.suppress(TimeoutError):
                    answer = connection.recv(65536)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(65536):
            answer += received
            if is_whole(answer) and len(parts) == 1:
                break
    return answer
