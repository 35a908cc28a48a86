"""Seeds: valid inputs of every kind, from the phantom, and the real and the faulty ones beside the project."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import yaml
from dicom_mutations import SPELLED_OUT
from fuzz.targets import TOKEN, open_listener
from odd_images import image_bytes
from tiff_files import COLOUR_MAP, GREY_8, GREY_12, ORIENTATION, PHOTOMETRIC, PLANAR, tiff_file

from lungsev.phantom import TRANSFER_SYNTAXES
from lungsev.reading.codecs import CODECS
from lungsev.reading.encoding import ENCODERS, encode_frame

MAX_SEED_BYTES = 600_000  # of the files beside the project: larger ones make a fuzzer slow, and teach it no more
_SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def seeds_of(target: str) -> Iterator[bytes]:
    """Inputs to begin with."""
    return _SEEDS[target]()


def write_seeds(target: str, folder: Path) -> int:
    """Write the seeds as numbered files, and return how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, seed in enumerate(seeds_of(target), 1):
        (folder / f"seed-{count:04}").write_bytes(seed)
    return count


def _files() -> Iterator[bytes]:
    for syntax in sorted(TRANSFER_SYNTAXES):
        yield image_bytes(transfer_syntax=syntax)
    for name, make in SPELLED_OUT.items():
        if not name.startswith(("many", "nested-3", "fragments", "wide", "hostile-6")):  # long, and of one kind
            yield make()
    for suffix in (".png", ".jpg", ".tiff"):
        for picture in (GREY_8, GREY_12, np.dstack([GREY_8] * 3)):
            if suffix != ".jpg" or picture.dtype == np.uint8:
                yield cv2.imencode(suffix, picture)[1].tobytes()
    palette = tuple(range(0, 65536, 256)) * 3
    for tags in ({PHOTOMETRIC: 3, COLOUR_MAP: palette}, {PHOTOMETRIC: 0, ORIENTATION: 6}):
        for big in (False, True):
            yield tiff_file((GREY_8, dict(tags)), big=big)
    yield tiff_file((np.stack([GREY_8] * 3), {PLANAR: 2}), (GREY_8, {}), order=">")
    yield tiff_file((GREY_8.astype(np.float32), {}), first=True)
    for folder in ("faults", "dicom"):
        for path in sorted((_SHARED / folder).rglob("*")):
            if path.suffix in (".md", ".py", ".sh", ".csv") or not path.is_file():
                continue
            if path.stat().st_size <= MAX_SEED_BYTES:
                yield path.read_bytes()


def _codestreams() -> Iterator[bytes]:
    syntaxes = sorted(CODECS)
    for stored, bits in ((GREY_8, 8), (GREY_12, 12)):
        rows, columns = stored.shape
        for syntax in ENCODERS:
            with contextlib.suppress(ValueError):  # baseline JPEG holds no 12 bits
                encoded = encode_frame(stored, syntax, bits)
                yield struct.pack("<BBBHH", syntaxes.index(syntax), bits - 1, int(bits > 8), rows, columns) + encoded


def _yaml_files() -> Iterator[bytes]:
    root = Path(__file__).resolve().parents[2]
    yield from (path.read_bytes() for path in sorted((root / "configs").rglob("*.yaml")) if path.stat().st_size < 9000)
    yield from (path.read_bytes() for path in sorted((root / "lungsev" / "bundle").rglob("*.yaml")))
    yield b"a: &a [x, x]\nb: &b [*a, *a]\nwatch: {stable_seconds: *b}\n"
    yield yaml.safe_dump({"listen": {"enabled": True, "port": -1, "allowed_addresses": ["10.0.0.0/99"]}}).encode()


def _associations() -> Iterator[bytes]:
    """What a real peer sends: recorded between pynetdicom and the listener."""
    import pydicom
    from pynetdicom import AE

    from lungsev.runtime.dicom.listener import STORAGE_COMMITMENT, VERIFICATION

    image = pydicom.dcmread(io.BytesIO(image_bytes()))

    def exchange(port: int, use: Callable[..., object]) -> None:
        ae = AE("PEER")
        for context in (VERIFICATION, image.SOPClassUID, STORAGE_COMMITMENT):
            ae.add_requested_context(context)
        association = ae.associate("127.0.0.1", port, ae_title="LUNGSEV")
        use(association)

    with open_listener() as (listener_port, _):
        for use in (
            lambda peer: (peer.send_c_echo(), peer.release()),
            lambda peer: (peer.send_c_store(image), peer.release()),
            lambda peer: (peer.send_c_store(image), peer.abort()),
            lambda peer: (peer.send_n_action(image, 1, STORAGE_COMMITMENT, "1.2.840.10008.1.20.1.1"), peer.release()),
        ):
            with _recorder(listener_port) as (port, recorded):
                exchange(port, use)
            yield bytes(recorded)


@contextlib.contextmanager
def _recorder(server_port: int) -> Iterator[tuple[int, bytearray]]:
    """A relay for one connection that keeps what the client sends."""
    recorded = bytearray()

    def copy(source: socket.socket, target: socket.socket, keep: bool) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                if keep:
                    recorded.extend(part)
                target.sendall(part)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def relay() -> None:
        client, _ = entrance.accept()
        with client, socket.create_connection(("127.0.0.1", server_port)) as server:
            back = threading.Thread(target=copy, args=(server, client, False))
            back.start()
            copy(client, server, True)
            back.join(10)

    with socket.create_server(("127.0.0.1", 0)) as entrance:
        thread = threading.Thread(target=relay)
        thread.start()
        yield entrance.getsockname()[1], recorded
        thread.join(10)


def _hl7_messages() -> Iterator[bytes]:
    merge = (
        "MSH|^~\\&|ADT|WARD|LUNGSEV|BEDSIDE|20261128081500+0100||ADT^A40^ADT_A39|77|P|2.5.1\r"
        "EVN|A40|20261128081500\rPID|1||NEW^^^HOSP||DOE^JANE\rMRG|OLD^^^HOSP\r"
    )
    for text in (merge, merge.replace("A40", "A01"), "MSH|^~\\&|", merge.replace("\r", "\n")):
        yield b"\x0b" + text.encode() + b"\x1c\r"


def _requests() -> Iterator[bytes]:
    cookie = f"Authorization: Bearer {TOKEN}\r\nCookie: lungsev={TOKEN}\r\n"
    for path in ("/", "/api/board", "/exams/x", "/audit", "/livez", "/metrics", f"/?token={TOKEN}", "/static/..%2f"):
        yield f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}\r\n".encode()
    body = "form=x&reader=AB&reason=y&scheme=brixia&A=2"
    for length in (len(body), 0, 10**18, -1):
        yield (
            f"POST /exams/x/corrections HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}Origin: http://127.0.0.1\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        ).encode()
    yield (
        f"POST /exams/x/corrections HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}Content-Encoding: gzip\r\n"
        "Transfer-Encoding: chunked\r\n\r\n5\r\nform=\r\n0\r\n\r\n"
    ).encode()


_SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "reading": _files,
    "codestreams": _codestreams,
    "dicom_listener": _associations,
    "hl7_listener": _hl7_messages,
    "http": _requests,
    "yaml": _yaml_files,
}
