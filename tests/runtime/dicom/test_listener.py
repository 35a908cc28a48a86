"""The listener against peers of every kind. SCU calls come from pynetdicom and, where installed, DCMTK."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from lungsev.errors import LungsevError
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.runtime.settings import BedsideSettings, ListenSettings

pynetdicom = pytest.importorskip("pynetdicom", reason='the listener needs the "bedside" extra')

from lungsev.runtime.dicom.listener import (  # noqa: E402
    COMMITMENT,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
    Listener,
    listening,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # hostile values make pydicom and pynetdicom warn
QUICK = ListenSettings(enabled=True, port=0, idle_seconds=5, association_seconds=30, max_object_mb=4)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_dicom(make_phantom(5, size_px=128), tmp_path_factory.mktemp("image") / "image.dcm")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Listener]]:
    import tempfile

    from pynetdicom import _config

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)
    opened: list[Any] = []

    def start(min_free_mb: float = 0.0, **changes: object) -> Listener:
        context = listening(inbox, QUICK.model_copy(update=changes), min_free_mb)
        opened.append(context)
        return context.__enter__()

    yield start
    for context in opened:
        context.__exit__(None, None, None)


def associate(listener: Listener, title: str = "UNIT", called: str = "LUNGSEV", **options: Any) -> Any:
    entity = pynetdicom.AE(title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 5
    entity.add_requested_context("1.2.840.10008.1.1")
    entity.add_requested_context(COMMITMENT)
    for storage_class in STORAGE_CLASSES:
        entity.add_requested_context(storage_class, list(TRANSFER_SYNTAXES)[:2])
    return entity.associate("127.0.0.1", listener.port, ae_title=called, **options)


def send(listener: Listener, dataset: Any) -> int:
    association = associate(listener)
    assert association.is_established
    status = association.send_c_store(dataset)
    association.release()
    return int(status.Status)


def received(inbox: Path) -> list[Path]:
    return [path for path in inbox.iterdir() if path.is_file()]


def test_echo(serve: Callable[..., Listener]) -> None:
    association = associate(serve())
    assert association.send_c_echo().Status == 0
    association.release()


def test_an_image_is_in_the_inbox_when_the_peer_hears_success(
    serve: Callable[..., Listener], inbox: Path, image: Path
) -> None:
    sent = pydicom.dcmread(image)
    assert send(serve(), sent) == 0
    (path,) = received(inbox)
    assert pydicom.dcmread(path).PixelData == sent.PixelData
    assert sent.SOPInstanceUID not in path.name
    assert list((inbox / ".receiving").glob("tmp*")) == []


@pytest.mark.parametrize("uid", ["../../../etc/evil", "/etc/passwd", "1.2.3\x00.4", "1" * 64])
def test_a_uid_reaches_no_path(serve: Callable[..., Listener], inbox: Path, image: Path, uid: str) -> None:
    dataset = pydicom.dcmread(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.SOPInstanceUID = uid
    with contextlib.suppress(ValueError):  # pynetdicom's sender refuses some of them itself
        send(serve(), dataset)
    for path in received(inbox):
        assert path.parent == inbox
        assert path.name.endswith(".dcm")
        assert len(path.name) < 50
    assert not (inbox.parent / "etc").exists()


def test_only_those_allowed_come_in(serve: Callable[..., Listener]) -> None:
    assert associate(serve(allowed_ae_titles=("OTHER",))).is_rejected
    assert associate(serve(), called="NOT-US").is_rejected
    assert not associate(serve(allowed_addresses=("10.0.0.0/8",))).is_established


def test_at_the_watermark_the_peer_hears_out_of_resources(
    serve: Callable[..., Listener], inbox: Path, image: Path
) -> None:
    assert send(serve(min_free_mb=1e12), pydicom.dcmread(image)) == 0xA700
    assert received(inbox) == []


def test_a_disk_that_refuses_is_out_of_resources_too(
    serve: Callable[..., Listener], inbox: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    listener = serve()
    monkeypatch.setattr("lungsev.runtime.dicom.listener.os.replace", refuse)
    assert send(listener, pydicom.dcmread(image)) == 0xA700
    assert received(inbox) == []


def test_an_object_that_does_not_end_is_hung_up_on(serve: Callable[..., Listener], inbox: Path, image: Path) -> None:
    dataset = pydicom.dcmread(image)
    dataset.PixelData = b"\0" * (6 << 20)
    listener = serve()
    association = associate(listener)
    status = association.send_c_store(dataset)
    assert "Status" not in status
    assert received(inbox) == []
    assert send(listener, pydicom.dcmread(image)) == 0


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\x00\xff\xff\xff\xff" + b"\0" * 100,  # an association request of 4 GB
        b"\x04\x00\x7f\xff\xff\xff" + b"\0" * 100,  # data before an association
        b"\xff" * 4096,
        b"\x01",
        b"",
    ],
)
def test_nonsense_is_hung_up_on_and_the_next_peer_served(
    serve: Callable[..., Listener], image: Path, opening: bytes
) -> None:
    listener = serve(idle_seconds=1)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as peer:
        peer.sendall(opening)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass
    assert send(listener, pydicom.dcmread(image)) == 0


def test_a_peer_that_drips_is_cut_off(serve: Callable[..., Listener]) -> None:
    listener = serve(association_seconds=1, idle_seconds=30)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=15) as peer:
        peer.sendall(struct.pack(">BBI", 1, 0, 20_000))
        peer.settimeout(15)
        assert peer.recv(1) == b""


def test_connections_are_bounded_and_free_again(serve: Callable[..., Listener]) -> None:
    listener = serve(max_associations=2, association_seconds=3, idle_seconds=3)
    peers = [socket.create_connection(("127.0.0.1", listener.port), timeout=15) for _ in range(12)]
    try:
        _wait_for(lambda: listener._server.busy() >= 4)
        time.sleep(0.2)
        assert listener._server.busy() == 4
        _wait_for(lambda: listener._server.busy() == 0)
    finally:
        for peer in peers:
            peer.close()
    association = associate(listener)
    assert association.is_established
    association.release()


@pytest.mark.faults
def test_a_peer_that_dies_in_mid_image_leaves_nothing_in_the_inbox(
    serve: Callable[..., Listener], inbox: Path, image: Path
) -> None:
    dataset = pydicom.dcmread(image)
    dataset.PixelData = b"\0" * (96 << 20)  # long enough under way to be seen
    association = associate(serve())
    sender = threading.Thread(target=association.send_c_store, args=(dataset,), daemon=True)
    sender.start()
    _wait_for(lambda: any((inbox / ".receiving").glob("tmp*")))
    association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    sender.join(20)
    assert received(inbox) == []


def test_half_received_files_of_a_dead_process_go_at_the_start(serve: Callable[..., Listener], inbox: Path) -> None:
    (inbox / ".receiving").mkdir()
    (inbox / ".receiving" / "tmpabc.dcm").write_bytes(b"half")
    serve()
    assert list((inbox / ".receiving").glob("tmp*")) == []


def test_our_word_is_given_for_what_we_have_only(serve: Callable[..., Listener], image: Path) -> None:
    listener = serve()
    dataset = pydicom.dcmread(image)
    assert send(listener, dataset) == 0
    reports: list[tuple[int, Any]] = []
    arrived = threading.Event()

    def on_report(event: Any) -> tuple[int, None]:
        reports.append((event.event_type, event.event_information))
        arrived.set()
        return 0x0000, None

    association = associate(listener, evt_handlers=[(pynetdicom.evt.EVT_N_EVENT_REPORT, on_report)])
    request = pydicom.Dataset()
    request.TransactionUID = "1.2.3.4"
    request.ReferencedSOPSequence = []
    for uid in (dataset.SOPInstanceUID, "1.2.3.99"):
        item = pydicom.Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, uid
        request.ReferencedSOPSequence.append(item)
    status, _ = association.send_n_action(request, 1, COMMITMENT, "1.2.840.10008.1.20.1.1")
    assert status.Status == 0
    assert arrived.wait(10)
    association.release()
    event_type, information = reports[0]
    assert event_type == 2
    assert [item.ReferencedSOPInstanceUID for item in information.ReferencedSOPSequence] == [dataset.SOPInstanceUID]
    assert [(item.ReferencedSOPInstanceUID, item.FailureReason) for item in information.FailedSOPSequence] == [
        ("1.2.3.99", 0x0112)
    ]


def test_our_word_is_not_given_where_originals_do_not_stay() -> None:
    with pytest.raises(ValueError, match="commitment"):
        BedsideSettings.model_validate({"watch": {"originals": "delete"}, "listen": {"enabled": True}})


def test_a_port_that_is_taken_is_one_line(inbox: Path, serve: Callable[..., Listener]) -> None:
    port = serve().port
    with pytest.raises(LungsevError, match="cannot listen on"):
        Listener(inbox, QUICK.model_copy(update={"port": port}), 0)


def test_tls_with_peers_that_must_show_who_they_are(
    serve: Callable[..., Listener], tmp_path: Path, image: Path, inbox: Path
) -> None:
    import ssl

    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates of this test and is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    listener = serve(tls_certificate=certificate, tls_key=key, tls_authorities=certificate)
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    assert not associate(listener, tls_args=(context, "localhost")).is_established  # shows nothing
    context.load_cert_chain(certificate, key)
    association = associate(listener, tls_args=(context, "localhost"))
    assert association.is_established
    assert association.send_c_store(pydicom.dcmread(image)).Status == 0
    association.release()
    assert len(received(inbox)) == 1
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10):  # says nothing, and holds up nobody
        association = associate(listener, tls_args=(context, "localhost"))
        assert association.is_established
        association.release()


def test_dcmtk_sends_and_is_answered(serve: Callable[..., Listener], inbox: Path, image: Path) -> None:
    tools = [Path("/usr/bin") / name for name in ("echoscu", "storescu")]
    if not all(tool.exists() for tool in tools):
        pytest.skip("DCMTK is not installed")
    listener = serve()
    target = ["-aec", "LUNGSEV", "127.0.0.1", str(listener.port)]
    assert subprocess.run([tools[0], *target], timeout=30).returncode == 0
    assert subprocess.run([tools[1], *target, image], timeout=30).returncode == 0
    assert len(received(inbox)) == 1


def _wait_for(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
