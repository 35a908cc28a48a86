"""Sending: the peer's answer decides, nothing is lost, and nothing is called sent that was not."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from lungsev.runtime.delivery import outbox as outbox_module
from lungsev.runtime.delivery.deliveries import read_deliveries, read_states
from lungsev.runtime.delivery.destinations import Destination
from lungsev.runtime.delivery.outbox import Outbox
from lungsev.runtime.delivery.senders import SendLaterError, SendRefusedError, send


def destination(**fields: Any) -> Destination:
    return TypeAdapter(Destination).validate_python({"name": "there", "sends": ["json"], **fields})


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    path = tmp_path / "20261122T081500-3f9a2c7e.json"
    path.write_text('{"status": "scored"}', encoding="utf-8")
    return path


# What the release before wrote.
OLD_TABLE = """
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    film TEXT NOT NULL,
    name TEXT NOT NULL,
    destination TEXT NOT NULL,
    file TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    message TEXT,
    queued_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    UNIQUE (name, destination)
);
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, destination, seq);
PRAGMA user_version = 1;
INSERT INTO deliveries (film, name, destination, file, state, attempts, queued_at, changed_at)
VALUES ('20261122T081500-3f9a2c7e', 'image.json', 'there', 'ab.json', 'queued', 3, 5.0, 6.0);
"""


class Peer:
    """A sender whose answers are set by the test."""

    def __init__(self) -> None:
        self.answer: Exception | None = None
        self.taken: list[tuple[str, bytes]] = []
        self.attempts = 0

    def __call__(self, _destination: Destination, path: Path, name: str) -> None:
        self.attempts += 1
        if self.answer is not None:
            raise self.answer
        self.taken.append((name, path.read_bytes()))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def open_outbox(tmp_path: Path, peer: Peer) -> Iterator[Callable[[], Outbox]]:
    opened: list[Outbox] = []

    def make() -> Outbox:
        opened.append(Outbox(tmp_path / "outbox", [destination(kind="folder", path=tmp_path)], peer))
        return opened[-1]

    yield make
    for outbox in opened:
        outbox.close()


def test_a_file_is_sent_once_and_known_as_sent(open_outbox, peer: Peer, report_file: Path) -> None:
    outbox = open_outbox()
    assert outbox.queue("image", [("json", report_file), ("overlay", report_file)]) == 1
    assert outbox.deliver_due() == 1
    assert outbox.deliver_due() == 0
    assert outbox.queue("image", [("json", report_file)]) == 0
    assert peer.taken == [(report_file.name, report_file.read_bytes())]
    assert [delivery.state for delivery in read_deliveries(report_file.parent, "image")] == ["sent"]


def test_a_dead_destination_loses_nothing_and_is_never_called_sent(
    open_outbox, peer: Peer, report_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six hours of silence, then the peer is back."""
    clock = [1000.0]
    monkeypatch.setattr(outbox_module.time, "monotonic", lambda: clock[0])
    peer.answer = SendLaterError("nobody answers")
    outbox = open_outbox()
    for number in range(5):
        copy = report_file.with_name(f"image{number}.json")
        copy.write_bytes(report_file.read_bytes())
        outbox.queue(f"image{number}", [("json", copy)])
        copy.unlink()  # retention may do so
    for _ in range(6 * 360):
        outbox.deliver_due()
        clock[0] += 10
    assert 20 < peer.attempts < 60, "back-off: about one attempt in a quarter of an hour"
    (state,) = read_states(report_file.parent)
    assert (state.queued, state.sent, state.message) == (5, 0, "nobody answers")
    peer.answer = None
    clock[0] += 900
    outbox.deliver_due()
    (state,) = read_states(report_file.parent)
    assert (state.queued, state.sent) == (0, 5)
    assert sorted(name for name, _ in peer.taken) == [f"image{number}.json" for number in range(5)]


def test_what_was_queued_survives_the_process(open_outbox, peer: Peer, report_file: Path) -> None:
    first = open_outbox()
    first.queue("image", [("json", report_file)])
    peer.answer = SendLaterError("nobody answers")
    first.deliver_due()
    first.close()
    peer.answer = None
    second = open_outbox()
    assert second.deliver_due() == 1


def test_deliveries_queued_by_an_older_release_are_sent_after_the_upgrade(
    open_outbox, peer: Peer, tmp_path: Path
) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    (folder / "ab.json").write_text("{}")
    with contextlib.closing(sqlite3.connect(folder / "outbox.sqlite", isolation_level=None)) as connection:
        connection.executescript(OLD_TABLE)
    assert open_outbox().deliver_due() == 1
    assert peer.taken == [("image.json", b"{}")]
    (delivery,) = read_deliveries(tmp_path, "20261122T081500-3f9a2c7e")
    assert (delivery.state, delivery.attempts) == ("sent", 4)


def test_a_refusal_is_final_until_somebody_retries(open_outbox, peer: Peer, report_file: Path) -> None:
    peer.answer = SendRefusedError("the server answered 403: check the token")
    outbox = open_outbox()
    outbox.queue("image", [("json", report_file)])
    for _ in range(3):
        outbox.deliver_due()
    assert peer.attempts == 1
    (delivery,) = read_deliveries(report_file.parent, "image")
    assert (delivery.state, delivery.message) == ("refused", "the server answered 403: check the token")
    peer.answer = None
    assert outbox.retry_refused("there") == 1
    assert outbox.deliver_due() == 1


def test_an_unforeseen_fault_of_a_sender_is_not_sent(open_outbox, peer: Peer, report_file: Path) -> None:
    peer.answer = ZeroDivisionError()
    outbox = open_outbox()
    outbox.queue("image", [("json", report_file)])
    outbox.deliver_due()
    (delivery,) = read_deliveries(report_file.parent, "image")
    assert (delivery.state, delivery.message) == ("queued", "unexpected ZeroDivisionError")


def test_a_file_removed_from_the_outbox_is_said_to_be_missing(open_outbox, report_file: Path, tmp_path: Path) -> None:
    outbox = open_outbox()
    outbox.queue("image", [("json", report_file)])
    for path in (tmp_path / "outbox").glob("*.json"):
        path.unlink()
    outbox.deliver_due()
    (delivery,) = read_deliveries(tmp_path, "image")
    assert delivery.message == "the file was removed from the folder of the outbox"


def test_sent_is_written_after_the_peer_has_the_file(tmp_path: Path, report_file: Path) -> None:
    states: list[str] = []

    def look(_destination: Destination, _path: Path, _name: str) -> None:
        with sqlite3.connect(tmp_path / "outbox" / "outbox.sqlite") as reader:
            states.extend(row[0] for row in reader.execute("SELECT state FROM deliveries"))
        reader.close()

    outbox = Outbox(tmp_path / "outbox", [destination(kind="folder", path=tmp_path)], look)
    outbox.queue("image", [("json", report_file)])
    outbox.deliver_due()
    assert states == ["queued"]
    outbox.close()


def test_the_worker_thread_sends_what_is_queued_and_stops(open_outbox, peer: Peer, report_file: Path) -> None:
    outbox, stop = open_outbox(), threading.Event()
    thread = threading.Thread(target=outbox.run, args=(stop,))
    thread.start()
    outbox.queue("image", [("json", report_file)])
    deadline = time.monotonic() + 20
    while not peer.taken and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(timeout=20)
    assert peer.taken
    assert not thread.is_alive()


def test_a_folder_gets_the_file_whole_and_must_exist(tmp_path: Path, report_file: Path) -> None:
    share = tmp_path / "share"
    with pytest.raises(SendLaterError, match="No such file"):
        send(destination(kind="folder", path=share), report_file, "image.json")
    share.mkdir()
    send(destination(kind="folder", path=share), report_file, "image.json")
    assert (share / "image.json").read_bytes() == report_file.read_bytes()


class Web:
    """A web server that answers as told and remembers what it was sent."""

    def __init__(self) -> None:
        self.status, self.answer = 200, b""
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.requests.append((self.path, dict(self.headers), body))
                self.send_response(web.status)
                if web.status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", str(len(web.answer)))
                self.end_headers()
                self.wfile.write(web.answer)

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/studies"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


def test_a_webhook_is_signed_authorised_and_idempotent(web: Web, tmp_path: Path, report_file: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n", encoding="utf-8")
    (tmp_path / "secret").write_text("s3cret", encoding="utf-8")
    there = destination(kind="webhook", url=web.url, token_file=tmp_path / "token", secret_file=tmp_path / "secret")
    for _ in range(2):
        send(there, report_file, "image.json")
    (_, headers, body), (_, again, _) = web.requests
    assert body == report_file.read_bytes()
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Lungsev-Signature"] == f"sha256={hmac.new(b's3cret', body, hashlib.sha256).hexdigest()}"
    assert headers["Idempotency-Key"] == again["Idempotency-Key"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(500, SendLaterError), (503, SendLaterError), (429, SendLaterError), (403, SendRefusedError),
     (404, SendRefusedError), (302, SendRefusedError)],
)  # fmt: skip
def test_a_webhooks_answer_decides(web: Web, report_file: Path, status: int, outcome: type[Exception]) -> None:
    web.status = status
    with pytest.raises(outcome, match=str(status)):
        send(destination(kind="webhook", url=web.url), report_file, "image.json")


def test_nobody_at_the_address_means_later(report_file: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SendLaterError, match="no answer"):
        send(destination(kind="webhook", url=f"http://127.0.0.1:{port}/"), report_file, "image.json")


@pytest.mark.parametrize(
    ("status", "answer", "outcome"),
    [
        (200, {}, None),
        (200, {"00081199": {"vr": "SQ", "Value": [{}]}}, None),
        (202, {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}}, SendLaterError),
        (200, {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xC000]}}]}}, SendRefusedError),
        (200, "<html>", SendLaterError),
        (503, {}, SendLaterError),
        (400, {}, SendRefusedError),
    ],
)
def test_stow_believes_the_list_of_what_failed_rather_than_the_status(
    web: Web, report_file: Path, status: int, answer: object, outcome: type[Exception] | None
) -> None:
    web.status = status
    web.answer = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    there = destination(kind="stow", url=web.url, sends=["dicom_sr"])
    if outcome is None:
        send(there, report_file, "image.sr.dcm")
        path, headers, body = web.requests[0]
        boundary = headers["Content-Type"].split("boundary=")[1]
        assert path == "/studies"
        assert 'type="application/dicom"' in headers["Content-Type"]
        assert body.startswith(f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode())
        assert body.endswith(f"\r\n--{boundary}--\r\n".encode())
        assert report_file.read_bytes() in body
    else:
        with pytest.raises(outcome):
            send(there, report_file, "image.sr.dcm")


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "webhook", "url": "ftp://there"},
        {"kind": "webhook", "url": "https://user:word@there"},
        {"kind": "stow", "url": "https://there", "sends": ["json"]},
        {"kind": "dicom", "host": "there", "port": 104, "ae_title": "A" * 17, "sends": ["dicom_sr"]},
        {"kind": "dicom", "host": "there", "port": 104, "ae_title": "PACS", "sends": ["overlay"]},
        {"kind": "folder", "path": "x", "sends": []},
        {"kind": "folder", "path": "x", "sends": ["csv"]},
        {"kind": "folder", "path": "x", "name": "../x"},
        {"kind": "pigeon"},
    ],
)
def test_destinations_that_cannot_be_meant_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        destination(**fields)


# pynetdicom leaves sockets of failed associations to the garbage collector.
leaky = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture
def sr_file(tmp_path: Path) -> Path:
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    dataset.SOPInstanceUID = "2.25.1234"
    dataset.PatientID, dataset.Modality = "PHANTOM-1", "SR"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    path = tmp_path / "image.sr.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def dicom_destination(port: int, **fields: Any) -> Destination:
    return destination(
        kind="dicom", host="127.0.0.1", port=port, ae_title="PACS", sends=["dicom_sr"], timeout_seconds=5, **fields
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(0x0000, None), (0xB000, None), (0xA700, SendLaterError), (0xA900, SendRefusedError), (0xC001, SendRefusedError)],
)
def test_c_store_goes_by_the_status(sr_file: Path, status: int, outcome: type[Exception] | None) -> None:
    pynetdicom = pytest.importorskip("pynetdicom")
    stored: list[str] = []

    def take(event: Any) -> int:
        stored.append(event.dataset.SOPInstanceUID)
        return status

    entity = pynetdicom.AE(ae_title="PACS")
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.88.33")
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, take)])
    try:
        there = dicom_destination(server.server_address[1])
        if outcome is None:
            send(there, sr_file, "image.sr.dcm")
        else:
            with pytest.raises(outcome):
                send(there, sr_file, "image.sr.dcm")
        assert stored == ["2.25.1234"]
    finally:
        server.shutdown()


@leaky
def test_a_peer_that_does_not_know_the_object_refuses_it_for_good(sr_file: Path) -> None:
    pynetdicom = pytest.importorskip("pynetdicom")
    entity = pynetdicom.AE(ae_title="PACS")
    entity.add_supported_context("1.2.840.10008.1.1")
    server = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        with pytest.raises(SendRefusedError, match="does not accept"):
            send(dicom_destination(server.server_address[1]), sr_file, "image.sr.dcm")
    finally:
        server.shutdown()


@leaky
def test_no_dicom_peer_means_later(sr_file: Path) -> None:
    pytest.importorskip("pynetdicom")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SendLaterError, match="check its host and port"):
        send(dicom_destination(port), sr_file, "image.sr.dcm")


@leaky
def test_a_peer_that_takes_no_compressed_pictures_gets_them_uncompressed(tmp_path: Path) -> None:
    pynetdicom = pytest.importorskip("pynetdicom")
    pydicom = pytest.importorskip("pydicom")
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:, 12:] = (250, 230, 100)
    path = a_capture(tmp_path, picture)
    uid = pydicom.dcmread(path).SOPInstanceUID
    stored = []
    entity = pynetdicom.AE(ae_title="PACS")
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.1.2")

    def take(event: Any) -> int:
        stored.append((event.dataset, event.context.transfer_syntax))
        return 0x0000

    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, take)])
    try:
        send(dicom_destination(server.server_address[1]), path, "image.sc.dcm")
    finally:
        server.shutdown()
    ((dataset, syntax),) = stored
    assert (dataset.SOPInstanceUID, syntax) == (uid, "1.2.840.10008.1.2")
    assert dataset.PhotometricInterpretation == "RGB"
    found = np.frombuffer(dataset.PixelData, np.uint8)[: picture.size].reshape(picture.shape)
    np.testing.assert_allclose(found[:, ::20].astype(int), picture[:, ::20].astype(int), atol=6)


def a_capture(folder: Path, picture: Any) -> Path:
    """A Secondary Capture as the outputs write it: JPEG."""
    from lungsev.report import ImageInfo, SeverityReport
    from lungsev.runtime.outputs.dicom_sc import encode_capture

    header = pytest.importorskip("pydicom").Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "2.25.77"
    path = folder / "image.sc.dcm"
    path.write_bytes(encode_capture(SeverityReport("skipped", ImageInfo(), reason="lateral"), header, picture))
    return path


@leaky
@pytest.mark.skipif(shutil.which("storescp") is None, reason="DCMTK's storescp is not installed")
def test_dcmtk_receives_what_is_sent(sr_file: Path, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    received = tmp_path / "received"
    received.mkdir()
    server = subprocess.Popen(["storescp", "--aetitle", "PACS", "--output-directory", str(received), str(port)])
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                send(dicom_destination(port), sr_file, "image.sr.dcm")
                break
            except SendLaterError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        (file,) = received.iterdir()
        assert pydicom.dcmread(file).SOPInstanceUID == "2.25.1234"
    finally:
        server.terminate()
        server.wait(timeout=10)
