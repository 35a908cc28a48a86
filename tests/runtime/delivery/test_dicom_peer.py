from __future__ import annotations

import functools
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bedside_life import PATIENCE_SECONDS

from lungsev.runtime.delivery.destinations import DicomDestination
from lungsev.runtime.delivery.dicom_peer import associated, tls_context
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError

pynetdicom = pytest.importorskip("pynetdicom", reason='sending by DICOM needs the "bedside" extra')
from pynetdicom import transport  # noqa: E402

# pynetdicom leaves sockets of failed associations to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

VERIFICATION, SR = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.88.33"
IMPLICIT = "1.2.840.10008.1.2"


def pacs(port: int, **fields: Any) -> DicomDestination:
    return DicomDestination.model_validate(
        {"name": "pacs", "kind": "dicom", "host": "127.0.0.1", "port": port, "ae_title": "PACS", "sends": ["dicom_sr"],
         "timeout_seconds": PATIENCE_SECONDS, **fields}
    )  # fmt: skip


def open_association(destination: DicomDestination) -> int:
    with associated(destination, [(VERIFICATION, [IMPLICIT]), (SR, [IMPLICIT])]) as association:
        return int(association.send_c_echo().Status)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Starts a peer that takes C-ECHO, and returns its port."""
    servers = []
    end_sooner = functools.partialmethod(socketserver.BaseServer.serve_forever, 0.01)
    monkeypatch.setattr(transport.ThreadedAssociationServer, "serve_forever", end_sooner)

    def start(**attributes: Any) -> int:
        entity = pynetdicom.AE("PACS")
        entity.add_supported_context(attributes.pop("takes", VERIFICATION))
        for name, value in attributes.items():
            setattr(entity, name, value)
        servers.append(entity.start_server(("127.0.0.1", 0), block=False))
        return int(servers[-1].server_address[1])

    yield start
    for server in servers:
        server.shutdown()


def test_an_association_is_open_in_the_block_and_released_after_it(serve: Callable[..., int]) -> None:
    with associated(pacs(serve()), [(VERIFICATION, [IMPLICIT])]) as association:
        assert association.is_established
        assert association.send_c_echo().Status == 0
    assert association.is_released


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"require_calling_aet": ["OTHER"]}, r"it does not know the title LUNGSEV \(calling_ae_title\)"),
        ({"ae_title": "OTHER", "require_called_aet": True}, r"it does not go by the title PACS \(ae_title\)"),
        ({"maximum_associations": 0}, "it has too many associations"),
    ],
)
def test_a_rejection_is_explained(
    serve: Callable[..., int], attributes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if attributes.pop("maximum_associations", None) == 0:
        monkeypatch.setattr(pynetdicom.AE, "maximum_associations", 0)
    with pytest.raises(SendLaterError, match=f"the PACS refused the connection: {words}"):
        open_association(pacs(serve(**attributes)))


def test_a_peer_that_takes_no_such_object_refuses_it(serve: Callable[..., int]) -> None:
    with pytest.raises(SendRefusedError, match="does not accept this kind of object"):
        open_association(pacs(serve(takes="1.2.840.10008.5.1.4.1.1.1")))


def test_a_peer_that_is_away_did_not_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        SendLaterError, match=r"the PACS did not answer \(Connection refused\): check its host and port"
    ):
        open_association(pacs(port))


def test_a_peer_that_lets_connections_wait_timed_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # fill the queue, so that the next one is not taken
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(full.getsockname())
        with pytest.raises(SendLaterError, match=r"the PACS did not answer \(timed out\)"):
            open_association(pacs(full.getsockname()[1], timeout_seconds=0.3))
        for connection in waiting:
            connection.close()


def test_a_port_that_does_not_speak_dicom_took_the_connection_and_did_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(10)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(SendLaterError, match="took the connection and did not answer"):
            open_association(pacs(server.getsockname()[1]))
        thread.join()


def test_tls_files_are_named_when_they_cannot_be_used_and_a_certificate_that_is_not_trusted_is(
    serve: Callable[..., int], tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate of this test and is not installed")
    assert tls_context(pacs(1)) is None
    with pytest.raises(SendLaterError, match="cannot use the TLS files"):
        tls_context(pacs(1, tls_authorities=tmp_path / "absent.pem"))
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    assert tls_context(pacs(1, tls_authorities=certificate, tls_certificate=certificate, tls_key=key)) is not None
    with pytest.raises(SendLaterError, match=r"did not answer \(TLS failed|took the connection and did not answer"):
        open_association(pacs(serve(), tls_authorities=certificate))  # the peer speaks no TLS
