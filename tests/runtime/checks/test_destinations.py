from __future__ import annotations

import functools
import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from web_server import Web

from lungsev.runtime.checks import destinations as module
from lungsev.runtime.checks.check import Check
from lungsev.runtime.checks.destinations import check_destinations
from lungsev.runtime.delivery.destinations import SOP_CLASSES, Destination

# pynetdicom leaves sockets of failed associations to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
VERIFICATION = "1.2.840.10008.1.1"


def check(**fields: Any) -> Check:
    destination = TypeAdapter(Destination).validate_python({"name": "there", "sends": ["json"], **fields})
    (found,) = check_destinations([destination])
    assert found.name == "destination there"
    assert found.ok or found.advice
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def pacs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Starts a PACS that takes some SOP classes, and returns its port."""
    pynetdicom = pytest.importorskip("pynetdicom")
    servers = []
    end_sooner = functools.partialmethod(socketserver.BaseServer.serve_forever, 0.01)
    monkeypatch.setattr(pynetdicom.transport.ThreadedAssociationServer, "serve_forever", end_sooner)

    def start(*classes: str, syntax: str = "1.2.840.10008.1.2", handlers: Any = None) -> int:
        entity = pynetdicom.AE("PACS")
        for uid in classes:
            entity.add_supported_context(uid, syntax)
        servers.append(entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers or []))
        return int(servers[-1].server_address[1])

    yield start
    for server in servers:
        server.shutdown()


def check_dicom(port: int, *sends: str) -> Check:
    return check(kind="dicom", host="127.0.0.1", port=port, ae_title="PACS", sends=sends or ["dicom_sr"])


def test_a_pacs_answers_and_takes_what_is_sent_without_being_sent_an_object(pacs: Callable[..., int]) -> None:
    import pynetdicom

    stored: list[object] = []
    handlers = [(pynetdicom.evt.EVT_C_STORE, lambda event: stored.append(event) or 0)]
    found = check_dicom(pacs(VERIFICATION, *SOP_CLASSES.values(), handlers=handlers), *SOP_CLASSES)
    assert found.ok
    assert "PACS at 127.0.0.1:" in found.found
    assert "answered C-ECHO in" in found.found
    assert found.found.endswith("takes structured reports, presentation states, secondary captures, rejection notes")
    assert stored == []


def test_classes_that_a_pacs_refuses_are_named(pacs: Callable[..., int]) -> None:
    found = check_dicom(pacs(VERIFICATION, SOP_CLASSES["dicom_sr"]), "dicom_sr", "dicom_pr", "dicom_sc")
    assert not found.ok
    assert "takes no presentation states and no secondary captures" in found.found
    assert "structured" not in found.found


def test_a_pacs_without_verification_that_takes_jpeg_only_is_sound(pacs: Callable[..., int]) -> None:
    found = check_dicom(pacs(SOP_CLASSES["dicom_sc"], syntax="1.2.840.10008.1.2.4.50"), "dicom_sc")
    assert (found.ok, "C-ECHO" in found.found) == (True, False)
    assert found.found.endswith("it takes no rejection notes: results of a wrong patient are deleted there by hand")


def test_a_pacs_that_fails_to_echo_is_named(pacs: Callable[..., int]) -> None:
    import pynetdicom

    port = pacs(VERIFICATION, SOP_CLASSES["dicom_sr"], handlers=[(pynetdicom.evt.EVT_C_ECHO, lambda event: 0x0122)])
    assert "did not answer C-ECHO" in check_dicom(port).found


def test_a_dead_pacs_is_named() -> None:
    pytest.importorskip("pynetdicom")
    found = check_dicom(free_port())
    assert not found.ok
    assert "the PACS did not answer (Connection refused)" in found.found


@pytest.mark.parametrize(
    ("status", "ok", "words"),
    [
        (200, True, "answered 200"),
        (204, True, "answered 204"),
        (400, True, "answered 400"),
        (409, True, "answered 409"),
        (415, True, "answered 415"),
        (501, True, "answered 501"),
        (401, False, "does not let lungsev in"),
        (403, False, "does not let lungsev in"),
        (404, False, "nothing at this address"),
        (405, False, "takes no STOW requests there"),
        (302, False, "a redirect"),
        (500, False, "it failed"),
        (503, False, "it failed"),
    ],
)
def test_a_stow_server_is_asked_without_an_object(web: Web, status: int, ok: bool, words: str) -> None:
    web.status = status
    found = check(kind="stow", url=web.url, sends=["dicom_sr"])
    assert (found.ok, words in found.found) == (ok, True), found
    ((path, headers, body),) = web.requests
    assert (path, body) == ("/studies", b"--lungsev--\r\n")
    assert headers["Content-Type"].startswith("multipart/related")


def test_a_page_to_log_in_is_no_stow_server(web: Web) -> None:
    web.answer = b"<html>log in</html>"
    assert "not about storage" in check(kind="stow", url=web.url, sends=["dicom_sr"]).found
    web.answer = json.dumps({"00081199": {"vr": "SQ"}}).encode()
    assert check(kind="stow", url=web.url, sends=["dicom_sr"]).ok


@pytest.mark.parametrize(
    ("status", "ok"),
    [(200, True), (204, True), (405, True), (501, True), (401, False), (404, False), (308, False), (502, False)],
)
def test_a_webhook_is_asked_for_its_options_and_nothing_is_posted(web: Web, status: int, ok: bool) -> None:
    web.status = status
    assert check(kind="webhook", url=web.url).ok == ok
    assert web.methods == ["OPTIONS"]
    assert web.requests[0][2] == b""


def test_the_token_is_sent_and_files_that_cannot_be_read_are_named(web: Web, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken")
    web.status = 401
    found = check(kind="webhook", url=web.url, token_file=tmp_path / "token")
    assert web.requests[0][1]["Authorization"] == "Bearer t0ken"
    assert found.advice == "put a token into token_file that it accepts"
    assert check(kind="webhook", url=web.url).advice == "set token_file"
    for name in ("token_file", "secret_file"):
        found = check(kind="webhook", url=web.url, **{name: tmp_path / "absent"})
        assert (found.ok, "cannot read absent" in found.found) == (False, True)


@pytest.mark.parametrize("kind", ["webhook", "stow"])
def test_a_server_that_is_away_or_speaks_no_tls_is_named(kind: str, web: Web) -> None:
    sends = ["dicom_sr"] if kind == "stow" else ["json"]
    found = check(kind=kind, url=f"http://127.0.0.1:{free_port()}/studies", sends=sends)
    assert (found.ok, "/studies: the server did not answer: Connection refused" in found.found) == (False, True)
    assert "TLS failed" in check(kind=kind, url=web.url.replace("http:", "https:"), sends=sends).found


def test_a_host_whose_name_is_unknown_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = check(kind="webhook", url="https://absent.example/")
    assert (found.ok, "the name of the host is unknown" in found.found) == (False, True)


def test_a_folder_is_written_to_and_left_as_it_was(tmp_path: Path) -> None:
    found = check(kind="folder", path=tmp_path)
    assert (found.ok, list(tmp_path.iterdir())) == (True, [])
    found = check(kind="folder", path=tmp_path / "absent")
    assert (found.ok, "no folder at" in found.found) == (False, True)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    found = check(kind="folder", path=tmp_path)
    assert (found.ok, "No space left on device" in found.found) == (False, True)


def test_a_destination_that_hangs_delays_no_other_and_is_named(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_SECONDS", 0.5)
    end = threading.Event()
    monkeypatch.setattr(module, "_check_folder", lambda destination: end.wait(30))
    settings = [
        {"name": "share", "kind": "folder", "path": tmp_path, "sends": ["json"]},
        {"name": "hook", "kind": "webhook", "url": web.url, "sends": ["json"]},
    ]
    found = list(check_destinations(TypeAdapter(list[Destination]).validate_python(settings)))
    end.set()
    assert [(check.name, check.ok) for check in found] == [("destination share", False), ("destination hook", True)]
    assert "no answer within" in found[0].found


def test_an_unexpected_error_of_one_check_is_named_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(destination: object) -> None:
        raise RuntimeError("DOE^JANE")

    monkeypatch.setattr(module, "_check_folder", fail)
    found = check(kind="folder", path=tmp_path)
    assert (found.ok, found.found) == (False, "unexpected RuntimeError")
