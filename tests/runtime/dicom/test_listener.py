"""The listener against peers of every kind. SCU calls come from pynetdicom and, where installed, DCMTK."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from bedside_life import PATIENCE_SECONDS, wait_for

from lungsev.errors import LungsevError
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.runtime.settings import BedsideSettings, ListenSettings

pynetdicom = pytest.importorskip("pynetdicom", reason='the listener needs the "bedside" extra')

from lungsev.runtime.dicom.listener import (  # noqa: E402
    STORAGE_CLASSES,
    STORAGE_COMMITMENT,
    TRANSFER_SYNTAXES,
    Listener,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # hostile values make pydicom and pynetdicom warn


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_dicom(make_phantom(5, size_px=128), tmp_path_factory.mktemp("image") / "image.dcm")


def associate(listener: Listener, title: str = "UNIT", called: str = "LUNGSEV", **options: Any) -> Any:
    entity = pynetdicom.AE(title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_SECONDS
    entity.add_requested_context("1.2.840.10008.1.1")
    entity.add_requested_context(STORAGE_COMMITMENT)
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


def test_a_peer_that_echoes_is_answered(serve: Callable[..., Listener]) -> None:
    association = associate(serve())
    assert association.send_c_echo().Status == 0
    association.release()


def test_an_image_is_in_the_inbox_when_its_peer_is_answered_with_success(
    serve: Callable[..., Listener], inbox: Path, image: Path
) -> None:
    sent = pydicom.dcmread(image)
    assert send(serve(), sent) == 0
    (path,) = received(inbox)
    assert pydicom.dcmread(path).PixelData == sent.PixelData
    assert sent.SOPInstanceUID not in path.name
    assert list((inbox / ".receiving").glob("tmp*")) == []


J2K, JPEG_LS, UNKNOWN = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.100"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


def test_of_every_context_the_senders_first_syntax_that_is_read_is_accepted(serve: Callable[..., Listener]) -> None:
    entity = pynetdicom.AE("UNIT")
    proposals = {
        STORAGE_CLASSES[0]: [[J2K, EXPLICIT, IMPLICIT], [IMPLICIT, J2K], [UNKNOWN, JPEG_LS, EXPLICIT], [UNKNOWN]],
        STORAGE_CLASSES[3]: [[EXPLICIT, J2K]],
        "1.2.840.10008.1.1": [[EXPLICIT, IMPLICIT]],
        "1.2.840.10008.5.1.4.1.1.2": [[EXPLICIT]],  # CT
    }
    contexts = [pynetdicom.build_context(uid, syntaxes) for uid, lists in proposals.items() for syntaxes in lists]
    association = entity.associate("127.0.0.1", serve().port, contexts=contexts, ae_title="LUNGSEV")
    accepted = {context.context_id: context.transfer_syntax[0] for context in association.accepted_contexts}
    refused = [context.context_id for context in association.rejected_contexts]
    association.release()
    assert list(accepted.values()) == [J2K, IMPLICIT, JPEG_LS, EXPLICIT, EXPLICIT]
    assert refused == [7, 13]


def test_a_sender_that_cannot_convert_gets_its_compressed_image_through(
    serve: Callable[..., Listener], inbox: Path, image: Path
) -> None:
    dataset = pydicom.dcmread(image)
    dataset.compress("1.2.840.10008.1.2.5")
    entity = pynetdicom.AE("UNIT")
    entity.add_requested_context(dataset.SOPClassUID, ["1.2.840.10008.1.2.5", EXPLICIT, IMPLICIT])
    association = entity.associate("127.0.0.1", serve().port, ae_title="LUNGSEV")
    assert association.send_c_store(dataset).Status == 0
    association.release()
    (path,) = received(inbox)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"


@pytest.mark.parametrize("uid", ["../../../etc/evil", "/etc/passwd", "1.2.3\x00.4", "1" * 64])
def test_a_uid_never_becomes_part_of_a_path(serve: Callable[..., Listener], inbox: Path, image: Path, uid: str) -> None:
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


def test_a_peer_with_a_title_or_address_that_is_not_allowed_is_refused(serve: Callable[..., Listener]) -> None:
    assert associate(serve(allowed_ae_titles=("OTHER",))).is_rejected
    assert associate(serve(), called="NOT-US").is_rejected
    assert not associate(serve(allowed_addresses=("10.0.0.0/8",))).is_established


def test_on_a_nearly_full_disk_the_peer_is_answered_out_of_resources(
    serve: Callable[..., Listener], inbox: Path, image: Path
) -> None:
    assert send(serve(min_free_mb=1e12), pydicom.dcmread(image)) == 0xA700
    assert received(inbox) == []


def test_on_a_disk_error_the_peer_is_answered_out_of_resources(
    serve: Callable[..., Listener], inbox: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    listener = serve()
    monkeypatch.setattr("lungsev.runtime.dicom.listener.os.replace", refuse)
    assert send(listener, pydicom.dcmread(image)) == 0xA700
    assert received(inbox) == []


def test_the_association_of_an_object_that_is_too_long_is_closed(
    serve: Callable[..., Listener], inbox: Path, image: Path
) -> None:
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
def test_a_peer_that_does_not_speak_dicom_is_closed_and_the_next_one_served(
    serve: Callable[..., Listener], image: Path, opening: bytes
) -> None:
    listener = serve()
    with socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE_SECONDS) as peer:
        peer.sendall(opening)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(4096):
            pass
    assert send(listener, pydicom.dcmread(image)) == 0


def test_a_peer_that_sends_too_slowly_is_closed(serve: Callable[..., Listener]) -> None:
    listener = serve(association_seconds=1, idle_seconds=600)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE_SECONDS) as peer:
        peer.sendall(struct.pack(">BBI", 1, 0, 20_000))
        assert peer.recv(1) == b""


def test_peers_that_connect_and_say_nothing_do_not_keep_others_out(serve: Callable[..., Listener]) -> None:
    listener = serve(max_associations=2, idle_seconds=1)
    address = ("127.0.0.1", listener.port)
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(socket.create_connection(address, timeout=PATIENCE_SECONDS))
        wait_for(lambda: is_served(listener))


def is_served(listener: Listener) -> bool:
    association = associate(listener)
    served = bool(association.is_established)
    if served:
        association.release()
    return served


@pytest.mark.faults
def test_a_peer_that_dies_while_it_sends_leaves_nothing_in_the_inbox(
    serve: Callable[..., Listener], inbox: Path, image: Path
) -> None:
    dataset = pydicom.dcmread(image)
    dataset.PixelData = b"\0" * (96 << 20)  # long enough under way to be seen
    association = associate(serve())
    sender = threading.Thread(target=association.send_c_store, args=(dataset,), daemon=True)
    sender.start()
    wait_for(lambda: any((inbox / ".receiving").glob("tmp*")))
    association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    sender.join(PATIENCE_SECONDS)
    assert received(inbox) == []


def test_incomplete_files_of_a_dead_process_are_removed_at_the_start(
    serve: Callable[..., Listener], inbox: Path
) -> None:
    (inbox / ".receiving").mkdir()
    (inbox / ".receiving" / "tmpabc.dcm").write_bytes(b"half")
    serve()
    assert list((inbox / ".receiving").glob("tmp*")) == []


def test_storage_is_committed_for_received_instances_only(serve: Callable[..., Listener], image: Path) -> None:
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
    status, _ = association.send_n_action(request, 1, STORAGE_COMMITMENT, "1.2.840.10008.1.20.1.1")
    assert status.Status == 0
    assert arrived.wait(PATIENCE_SECONDS)
    association.release()
    event_type, information = reports[0]
    assert event_type == 2
    assert [item.ReferencedSOPInstanceUID for item in information.ReferencedSOPSequence] == [dataset.SOPInstanceUID]
    assert [(item.ReferencedSOPInstanceUID, item.FailureReason) for item in information.FailedSOPSequence] == [
        ("1.2.3.99", 0x0112)
    ]


def test_storage_commitment_is_refused_where_originals_are_deleted() -> None:
    with pytest.raises(ValueError, match="commitment"):
        BedsideSettings.model_validate({"watch": {"originals": "delete"}, "listen": {"enabled": True}})


def test_a_port_in_use_is_an_error_that_names_its_setting(inbox: Path, serve: Callable[..., Listener]) -> None:
    port = serve().port
    with pytest.raises(LungsevError, match="cannot listen on"):
        Listener(inbox, ListenSettings(port=port), 0)


def test_with_tls_only_a_peer_with_a_certificate_is_served(
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
    with socket.create_connection(
        ("127.0.0.1", listener.port), timeout=PATIENCE_SECONDS
    ):  # says nothing, and delays nobody
        association = associate(listener, tls_args=(context, "localhost"))
        assert association.is_established
        association.release()


def test_dcmtk_echoes_and_sends(serve: Callable[..., Listener], inbox: Path, image: Path) -> None:
    echoscu, storescu = shutil.which("echoscu"), shutil.which("storescu")
    if echoscu is None or storescu is None:
        pytest.skip("DCMTK is not installed")
    listener = serve()
    target = ["-aec", "LUNGSEV", "127.0.0.1", str(listener.port)]
    compressed = image.with_name("rle.dcm")
    dataset = pydicom.dcmread(image)
    dataset.compress("1.2.840.10008.1.2.5")
    dataset.save_as(compressed)
    assert subprocess.run([echoscu, *target], timeout=PATIENCE_SECONDS).returncode == 0
    assert subprocess.run([storescu, *target, image], timeout=PATIENCE_SECONDS).returncode == 0
    assert subprocess.run([storescu, "-xr", "+C", *target, compressed], timeout=PATIENCE_SECONDS).returncode == 0
    assert len(received(inbox)) == 2
