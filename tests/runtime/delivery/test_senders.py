from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bedside_life import PATIENCE_SECONDS
from pydantic import TypeAdapter
from web_server import Web

from lungsev.runtime.delivery.destinations import Destination
from lungsev.runtime.delivery.senders import send
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError

# pynetdicom leaves sockets of failed associations to the garbage collector.
leaky = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


def destination(**fields: Any) -> Destination:
    return TypeAdapter(Destination).validate_python({"name": "there", "sends": ["json"], **fields})


def test_a_folder_must_exist_and_gets_the_complete_file(tmp_path: Path, report_file: Path) -> None:
    share = tmp_path / "share"
    with pytest.raises(SendLaterError, match="No such file"):
        send(destination(kind="folder", path=share), report_file, "image.json")
    share.mkdir()
    send(destination(kind="folder", path=share), report_file, "image.json")
    assert (share / "image.json").read_bytes() == report_file.read_bytes()


def test_a_webhook_request_is_signed_authorised_and_idempotent(web: Web, tmp_path: Path, report_file: Path) -> None:
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
    ("name", "content_type"),
    [
        ("a.fhir.json", "application/fhir+json"),
        ("a.json", "application/json"),
        ("a.sr.dcm", "application/dicom"),
        ("a.bin", "application/octet-stream"),
    ],
)
def test_a_webhook_is_told_what_the_file_is(web: Web, tmp_path: Path, name: str, content_type: str) -> None:
    (tmp_path / name).write_bytes(b"{}")
    send(destination(kind="webhook", url=web.url), tmp_path / name, name)
    assert web.requests[0][1]["Content-Type"] == content_type


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(500, SendLaterError), (503, SendLaterError), (429, SendLaterError), (403, SendRefusedError),
     (404, SendRefusedError), (302, SendRefusedError)],
)  # fmt: skip
def test_the_status_of_a_web_server_decides_whether_to_try_again(
    web: Web, report_file: Path, status: int, outcome: type[Exception]
) -> None:
    web.status = status
    with pytest.raises(outcome, match=str(status)):
        send(destination(kind="webhook", url=web.url), report_file, "image.json")


def test_a_web_server_that_does_not_answer_is_tried_again(report_file: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SendLaterError, match="did not answer"):
        send(destination(kind="webhook", url=f"http://127.0.0.1:{port}/"), report_file, "image.json")


STORED = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["2.25.1234"]}}]}}


def failed(reason: int, uid: str = "2.25.1234") -> dict[str, Any]:
    item = {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
    return {"00081198": {"vr": "SQ", "Value": [item]}}


@pytest.mark.parametrize(
    ("status", "answer", "outcome", "words"),
    [
        (200, {}, None, ""),
        (200, STORED, None, ""),
        (200, "", None, ""),
        (204, "", None, ""),
        (200, {**STORED, **failed(0xC000, "1.2.3")}, None, ""),  # another object
        (409, failed(45070), None, ""),  # there already
        (409, failed(0x0111), None, ""),
        (409, failed(0xB006), None, ""),
        (202, failed(0xA700), SendLaterError, "out of resources for now"),
        (200, failed(0xC000), SendRefusedError, "cannot understand the object"),
        (202, {**failed(0x0122), **STORED}, SendRefusedError, "does not take this kind of object"),
        (409, failed(0x0122), SendRefusedError, "does not take this kind of object"),
        (400, failed(0x0122), SendRefusedError, "does not take this kind of object"),
        (200, "<html>", SendLaterError, "perhaps a page to log in"),
        (200, '{"error": "log in"}', SendLaterError, "perhaps a page to log in"),
        (409, "", SendLaterError, "stored nothing"),
        (409, "<html>", SendLaterError, "409"),
        (409, STORED, None, ""),
        (503, {}, SendLaterError, "503"),
        (503, failed(0x0122), SendLaterError, "503"),
        (400, {}, SendRefusedError, "400"),
        (401, failed(0xA700), SendRefusedError, "check the token"),
        (307, STORED, SendRefusedError, "a redirect, which is not followed"),
    ],
)
def test_stow_goes_by_what_the_answer_says_of_the_object(
    web: Web, sr_file: Path, status: int, answer: object, outcome: type[Exception] | None, words: str
) -> None:
    web.status = status
    web.answer = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    there = destination(kind="stow", url=web.url, sends=["dicom_sr"])
    if outcome is None:
        send(there, sr_file, "image.sr.dcm")
        path, headers, body = web.requests[0]
        boundary = headers["Content-Type"].split("boundary=")[1]
        assert path == "/studies"
        assert 'type="application/dicom"' in headers["Content-Type"]
        assert body.startswith(f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode())
        assert body.endswith(f"\r\n--{boundary}--\r\n".encode())
        assert sr_file.read_bytes() in body
    else:
        with pytest.raises(outcome, match=words):
            send(there, sr_file, "image.sr.dcm")
    assert len(web.requests) == 1


def test_a_stow_server_that_speaks_no_json_is_asked_to_answer_in_xml(web: Web, sr_file: Path) -> None:
    web.status = 406
    with pytest.raises(SendRefusedError, match="neither DICOM JSON nor XML"):
        send(destination(kind="stow", url=web.url, sends=["dicom_sr"]), sr_file, "image.sr.dcm")
    assert [headers["Accept"] for _, headers, _ in web.requests] == ["application/dicom+json", "application/dicom+xml"]


def test_a_file_that_is_damaged_is_not_tried_again(web: Web, report_file: Path) -> None:
    for there in (destination(kind="stow", url=web.url, sends=["dicom_sr"]), dicom_destination(1)):
        with pytest.raises(SendRefusedError, match="damaged"):
            send(there, report_file, "image.sr.dcm")


def dicom_destination(port: int, **fields: Any) -> Destination:
    return destination(
        kind="dicom",
        host="127.0.0.1",
        port=port,
        ae_title="PACS",
        sends=["dicom_sr"],
        timeout_seconds=PATIENCE_SECONDS,
        **fields,
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x0000, None),
        (0xB000, None),
        (0x0111, None),
        (0xA700, SendLaterError),
        (0xC001, SendRefusedError),
    ],
)
def test_c_store_goes_by_the_status_of_the_peer(sr_file: Path, status: int, outcome: type[Exception] | None) -> None:
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
def test_a_peer_that_does_not_accept_the_object_is_not_tried_again(sr_file: Path) -> None:
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
def test_a_dicom_peer_that_does_not_answer_is_tried_again(sr_file: Path) -> None:
    pytest.importorskip("pynetdicom")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SendLaterError, match="check its host and port"):
        send(dicom_destination(port), sr_file, "image.sr.dcm")


@leaky
def test_a_peer_that_accepts_no_compressed_images_is_sent_uncompressed_ones(tmp_path: Path) -> None:
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
        deadline = time.monotonic() + PATIENCE_SECONDS
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
        server.wait(timeout=PATIENCE_SECONDS)
