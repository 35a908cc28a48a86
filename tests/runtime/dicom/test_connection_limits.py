from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from lungsev.runtime.settings import ListenSettings

pytest.importorskip("pynetdicom", reason='the listener needs the "bedside" extra')

from lungsev.runtime.dicom.connection_limits import (
    LimitedServer,
    close_association,
    restart_object_limit,
)

MEGABYTE = 10**6


class Association(threading.Thread):
    """As much of pynetdicom's association as the limits use: a thread with a socket."""

    def __init__(self) -> None:
        super().__init__(target=lambda: self.ending.wait(), daemon=True)
        self.ending = threading.Event()
        self.closed = 0
        self.dul = SimpleNamespace(socket=SimpleNamespace(socket=SimpleNamespace(shutdown=self._shut_down)))

    def _shut_down(self, _how: int) -> None:
        self.closed += 1


@pytest.fixture
def server(serve: Callable[..., Any]) -> LimitedServer:
    return serve(max_associations=2)._server  # type: ignore[no-any-return]


def admit(server: LimitedServer, port: int, address: str = "127.0.0.1") -> bool:
    return server.verify_request(None, (address, port))


def test_twice_as_many_connections_as_associations_are_admitted(server: LimitedServer) -> None:
    assert [admit(server, port) for port in range(6)] == [True] * 4 + [False] * 2


def test_an_association_counts_from_its_connection_to_its_end(server: LimitedServer) -> None:
    associations = [Association() for _ in range(4)]
    for port, association in enumerate(associations):
        assert admit(server, port)
        server.add_association(association, ("127.0.0.1", port))
        assert not admit(server, 99) or port < 3, "not started yet, and counted all the same"
        server._opening.discard(("127.0.0.1", 99))
        association.start()
    assert not admit(server, 4)
    associations[0].ending.set()
    associations[0].join()
    assert admit(server, 4)
    for association in associations:
        association.ending.set()


@pytest.mark.parametrize(
    ("allowed", "address", "admitted"),
    [
        ("10.1.2.0/24", "10.1.2.200", True),
        ("10.1.2.0/24", "10.1.3.1", False),
        ("10.1.2.3", "::ffff:10.1.2.3", True),
        ("::1", "::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("127.0.0.1", "8.8.8.8", False),
    ],
)
def test_only_allowed_addresses_and_networks_are_admitted(
    serve: Callable[..., Any], allowed: str, address: str, admitted: bool
) -> None:
    assert admit(serve(allowed_addresses=(allowed,))._server, 1, address) == admitted


def test_an_association_that_takes_too_long_is_closed_once(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("lungsev.runtime.dicom.connection_limits.time.monotonic", lambda: now)
    server = serve(association_seconds=600)._server
    early, late = Association(), Association()
    server.add_association(early, ("127.0.0.1", 1))
    now = 1500.0
    server.add_association(late, ("127.0.0.1", 2))
    now = 1601.0
    server.close_overdue()
    server.close_overdue()
    assert (early.closed, late.closed) == (1, 0)
    server.close_all()
    assert (early.closed, late.closed) == (1, 1)


def receiver(settings: ListenSettings) -> Any:
    """An association whose reads are limited and return as many zeros as asked for."""
    from lungsev.runtime.dicom.connection_limits import _ByteLimit

    association: Any = SimpleNamespace(dul=SimpleNamespace(socket=SimpleNamespace(recv=bytearray)))
    association.lungsev_byte_limit = _ByteLimit(association, settings)
    association.read = association.lungsev_byte_limit.receive
    return association


def test_an_object_may_have_its_megabytes_and_not_a_byte_more() -> None:
    association = receiver(ListenSettings(max_object_mb=1, max_pdu_bytes=1 << 24))
    assert len(association.read(MEGABYTE)) == MEGABYTE
    with pytest.raises(OSError, match="more bytes than allowed"):
        association.read(1)


def test_the_next_object_has_its_own_megabytes() -> None:
    association = receiver(ListenSettings(max_object_mb=1, max_pdu_bytes=1 << 24))
    association.read(MEGABYTE)
    restart_object_limit(association)
    assert len(association.read(MEGABYTE)) == MEGABYTE


def test_a_pdu_that_claims_more_than_allowed_is_not_read() -> None:
    association = receiver(ListenSettings(max_pdu_bytes=4096))
    assert len(association.read(4096)) == 4096
    with pytest.raises(OSError, match="more bytes than allowed"):
        association.read(4096 + (1 << 16) + 1)


def test_an_association_without_a_socket_can_be_closed() -> None:
    close_association(SimpleNamespace(dul=SimpleNamespace(socket=None)))


def test_a_broken_protocol_ends_the_association_and_not_the_thread() -> None:
    from lungsev.runtime.dicom.connection_limits import end_on_broken_protocol

    ours, peer = socket.socketpair()
    done: list[str] = []

    def do_action(event: str) -> None:
        if event == "Evt8":
            raise RuntimeError("Invalid event 'Evt8' for the current state 'Sta13'")
        done.append(event)

    machine = SimpleNamespace(do_action=do_action)
    dul = SimpleNamespace(state_machine=machine, socket=SimpleNamespace(socket=ours), _kill_thread=False)
    association = SimpleNamespace(dul=dul, is_aborted=False, is_established=True, _kill=False)
    with ours, peer:
        end_on_broken_protocol(association)
        machine.do_action("Evt1")
        assert (done, association._kill, dul._kill_thread) == (["Evt1"], False, False)
        machine.do_action("Evt8")
        assert (association.is_aborted, association.is_established) == (True, False)
        assert (association._kill, dul._kill_thread) == (True, True)
        assert peer.recv(1) == b""
