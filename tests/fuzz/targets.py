"""What is fuzzed: each target takes any bytes, and may answer only with the errors that its own module declares."""

from __future__ import annotations

import contextlib
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lungsev.errors import ImageError, LungsevError

Feed = Callable[[bytes], None]
TOKEN = "a-token-of-the-tests-0123456789"
ANSWER_SECONDS = 20.0
_QUIET_SECONDS = 0.3


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
            decode_frame(data[head.size :], codec_for(syntaxes[syntax % len(syntaxes)]), shape)

    yield feed


@contextlib.contextmanager
def yaml_files() -> Iterator[Feed]:
    """Settings of the bedside computer, an index of bundles, a bundle's manifest."""
    from lungsev.bundle.manifest import Manifest
    from lungsev.bundle.zoo import read_index
    from lungsev.config import load_model
    from lungsev.runtime.settings import BedsideSettings

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zoo.yaml"

        def feed(data: bytes) -> None:
            path.write_bytes(data)
            for read in (
                lambda: load_model(BedsideSettings, path),
                lambda: load_model(Manifest, path),
                lambda: read_index(Path(folder)),
            ):
                with contextlib.suppress(LungsevError):
                    read()

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
    with open_listener() as (port, inbox), _failing_threads() as check:

        def feed(data: bytes) -> None:
            _talk(port, _pdus(data), _whole_pdu)
            check()
            for received in inbox.glob("*.dcm"):
                received.unlink()

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
    """The bytes of one client, to the dashboard and to the watcher's pages of its health."""
    from lungsev.runtime.settings import HealthSettings
    from lungsev.runtime.watcher.health import Health, HealthServer

    health = HealthServer(HealthSettings(enabled=True, port=0), Health(), lambda: b"")
    with dashboard_port() as port, health, _failing_threads() as check:

        def feed(data: bytes) -> None:
            for each in (port, health.port):
                answer = _talk(each, [data], lambda answer: b"\r\n\r\n" in answer, half_close=False)
                if answer.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500")):
                    raise AssertionError("a server met an internal error")
            check()

        yield feed


@contextlib.contextmanager
def dashboard_port() -> Iterator[int]:
    """A dashboard of an empty folder on a port."""
    import uvicorn

    from lungsev.runtime.dashboard.app import create_app

    with tempfile.TemporaryDirectory() as folder:
        for name in ("reports", "images", "maps", "overlays"):
            (Path(folder) / name).mkdir()
        config = uvicorn.Config(create_app(Path(folder), TOKEN), host="127.0.0.1", port=0, log_level="critical")
        bound = config.bind_socket()
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)
            bound.close()


TARGETS: dict[str, Callable[[], contextlib.AbstractContextManager[Feed]]] = {
    "reading": reading,
    "codestreams": codestreams,
    "dicom_listener": dicom_listener,
    "hl7_listener": hl7_listener,
    "http": http,
    "yaml": yaml_files,
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


def _pdus(data: bytes) -> list[bytes]:
    """Cut at the lengths that the bytes state; what is left is sent as it is."""
    parts, position = [], 0
    while position < len(data):
        length = int.from_bytes(data[position + 2 : position + 6], "big") + 6
        parts.append(data[position : position + length])
        position += length
    return parts


def _whole_pdu(answer: bytes) -> bool:
    return len(answer) >= 6 and len(answer) >= 6 + int.from_bytes(answer[2:6], "big")


def _talk(port: int, parts: list[bytes], is_whole: Callable[[bytes], bool], half_close: bool = True) -> bytes:
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
        connection.settimeout(_QUIET_SECONDS)
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
