"""Seeds: valid inputs of every kind, from the phantom, and the real and the faulty ones beside the project."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import socket
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from dashboard_browser import TOKEN
from dicom_mutations import SPELLED_OUT
from fuzz.targets import open_listener
from odd_images import image_bytes
from tiff_files import COLOUR_MAP, GREY_8, GREY_12, ORIENTATION, PHOTOMETRIC, PLANAR, tiff_file

from lungsev.bundle.archive import default_bundle_path
from lungsev.bundle.contents import MANIFEST_FILE
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
    yield (root / "lungsev" / "bundle" / "zoo.yaml").read_bytes()
    yield yaml.safe_dump(_shortened(yaml.safe_load((default_bundle_path() / MANIFEST_FILE).read_bytes()))).encode()
    yield b"a: &a [x, x]\nb: &b [*a, *a]\nwatch: {stable_seconds: *b}\n"
    yield yaml.safe_dump({"listen": {"enabled": True, "port": -1, "allowed_addresses": ["10.0.0.0/99"]}}).encode()


def _shortened(value: Any) -> Any:
    """Lists of at most three items: the tables of a manifest take a second to read."""
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    return [_shortened(item) for item in value[:3]] if isinstance(value, list) else value


def _bundles() -> Iterator[bytes]:
    graph = b"\x08\x08" + _field(8, b"\x10\x11") + _field(7, _graph())
    manifest = (default_bundle_path() / MANIFEST_FILE).read_bytes()[:3000]
    files = {"manifest.yaml": manifest, "model.onnx": graph, "card.md": b"card"}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())).encode()
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in {**files, "SHA256SUMS": sums, "SIGNATURE": b"ed25519 0011223344556677 AAAA\n"}.items():
                archive.writestr(zipfile.ZipInfo(name), data, method)
        yield buffer.getvalue()
    yield graph
    yield b"ed25519 0011223344556677 " + b"A" * 86 + b"==\n"


def _graph() -> bytes:
    """A graph of one node and one weight, in protobuf (onnx/onnx.proto3)."""
    node = _field(1, b"image") + _field(1, b"w") + _field(2, b"out") + _field(3, b"n") + _field(4, b"Mul")
    weight = b"\x08\x02\x10\x01" + _field(8, b"w") + _field(9, struct.pack("<2f", 1.0, 2.0))
    shape = _field(2, _field(1, b"\x08\x01") + _field(1, _field(2, b"N")))
    value = _field(1, b"image") + _field(2, _field(1, b"\x08\x01" + shape))
    return _field(1, node) + _field(5, weight) + _field(11, value) + _field(12, value.replace(b"image", b"out.."))


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def _tables() -> Iterator[bytes]:
    table = 'image,patient,A,B\na.png,12,0,3\n"b, c.png",012,1,\n\nd.png,P1,2,2,9\n'
    for text in (table, table.replace(",", ";"), "sep=;\n" + table.replace(",", ";"), table.replace("\n", "\r\n")):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
            yield text.encode(encoding)
    yield gzip.compress(table.encode())
    yield gzip.compress(bytes(1 << 20))


def _web_answers() -> Iterator[bytes]:
    failed = {"00081155": {"vr": "UI", "Value": ["1.2.3"]}, "00081197": {"vr": "US", "Value": [272]}}
    answer = json.dumps({"00081198": {"vr": "SQ", "Value": [failed]}}).encode()
    item = b'<DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2.3</Value></DicomAttribute>'
    sequence = b'<DicomAttribute tag="00081199" vr="SQ"><Item number="1">' + item + b"</Item></DicomAttribute>"
    xml = b'<?xml version="1.0"?><NativeDicomModel>' + sequence + b"</NativeDicomModel>"
    for body in (answer, b"[" + answer + b"]", xml, b"", b"null"):
        yield b"application/dicom+json\n" + body
        yield b"application/dicom+json\n" + gzip.compress(body)
        part = b"--x\r\nContent-Type: application/dicom+json\r\n\r\n" + body + b"\r\n--x--\r\n"
        yield b"multipart/related; boundary=x\n" + part
    yield b"multipart/mixed; boundary=x\n" + b"--x\nContent-Type: multipart/mixed; boundary=x\n\n" * 20


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
    from lungsev.runtime.dashboard.security import Access

    bearer = f"Authorization: Bearer {TOKEN}\r\n"
    pages = ("/", "/earlier", "/files", "/audit", "/parts/board", "/login", "/api/board.json?page=2&find=W", "/livez")
    exams = ("/exams/a2", "/exams/a2/state", "/exams/a2/overlay.png", "/api/exams/a2.json", "/exams/x")
    for path in (*pages, *exams, "/metrics", f"/?token={TOKEN}", "/static/..%2f"):
        yield f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}\r\n".encode()
    signed = f"form={Access(TOKEN).form}&reader=AB&reason=y"
    forms = {
        "/exams/a2/corrections": f"{signed}&scheme=brixia&grade-A=2&grade-B=none",
        "/exams/a2/agreements": signed,
        "/exams/a2/merge": f"{signed}&other=WARD-1",
        "/exams/a2/split": signed,
        "/audit/undo": f"{signed}&seq=1",
        "/login": f"token={TOKEN}&then=/audit",
        "/privacy": signed,
    }
    for path, body in forms.items():
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}Content-Type: application/x-www-form-urlencoded\r\n"
        for length in (len(body), 10**18):
            yield f"{head}Content-Length: {length}\r\n\r\n{body}".encode()
        chunked = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
        yield f"{head}Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}".encode()


_SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "reading": _files,
    "codestreams": _codestreams,
    "dicom_listener": _associations,
    "hl7_listener": _hl7_messages,
    "http": _requests,
    "health": _requests,
    "yaml": _yaml_files,
    "bundles": _bundles,
    "tables": _tables,
    "web_answers": _web_answers,
}
