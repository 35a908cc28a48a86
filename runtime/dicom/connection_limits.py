"""Limits of the listener's connections: which addresses, how many, how many bytes and how much time.

pynetdicom trusts the length that a PDU claims, does the TLS handshake on the thread that accepts, and waits for a slow
peer for ever. Each is bounded here, before pynetdicom sees a byte.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from lungsev.runtime.addresses import is_allowed, parse_networks
from lungsev.runtime.settings import ListenSettings
from lungsev.runtime.tls import HANDSHAKE_SECONDS

log = logging.getLogger("lungsev.runtime.dicom.listener")

_PDU_OVERHEAD_BYTES = 1 << 16  # an association request may be longer than the data PDUs that it allows


class LimitedServer(ThreadedAssociationServer):
    """Server for allowed addresses and a bounded number of connections, each with a thread for its TLS handshake."""

    settings: ListenSettings
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, ae: Any, settings: ListenSettings, contexts: Any, tls: ssl.SSLContext | None, handlers: Any):
        self.settings = settings
        self._networks = parse_networks(settings.allowed_addresses)
        self._connections: dict[Association, float] = {}
        self._lock = threading.Lock()
        self._opening: set[Any] = set()  # addresses of connections without an association yet
        super().__init__(
            ae,
            (settings.host, settings.port),
            settings.ae_title,
            contexts,
            tls,
            handlers,
            request_handler=_LimitedHandler,
        )

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and give it a time limit for every read."""
        assert self.socket is not None
        connection, address = self.socket.accept()
        connection.settimeout(self.settings.idle_seconds)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether a new connection is within the limits."""
        if not is_allowed(client_address[0], self._networks):
            log.warning(
                "refused a connection: its address is not in listen.allowed_addresses", extra={"code": "address"}
            )
            return False
        with self._lock:
            if len(self._opening) + len(self._open_associations()) >= 2 * self.settings.max_associations:
                log.warning(
                    "refused a connection: there are too many (listen.max_associations)", extra={"code": "connections"}
                )
                return False
            self._opening.add(client_address)
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Do the TLS handshake and serve the peer, on a thread of this connection."""
        try:
            if self.ssl_context is not None:
                request.settimeout(HANDSHAKE_SECONDS)
                request = self.ssl_context.wrap_socket(request, server_side=True)
                request.settimeout(self.settings.idle_seconds)
            self.finish_request(request, client_address)
        except (OSError, ssl.SSLError):
            log.warning("the TLS handshake of a peer failed", extra={"code": "tls"})
            self.shutdown_request(request)
        except Exception:
            log.exception("a connection failed")
            self.shutdown_request(request)
        finally:
            with self._lock:
                self._opening.discard(client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, whatever state it is in."""
        with contextlib.suppress(OSError):
            super().shutdown_request(request)

    def add_association(self, association: Association, client_address: Any) -> None:
        """Start the time limit of an association."""
        with self._lock:
            self._opening.discard(client_address)
            self._connections[association] = time.monotonic()

    def close_overdue(self) -> None:
        """Close the associations that are older than `association_seconds`."""
        now = time.monotonic()
        with self._lock:
            late = [
                a for a, since in self._open_associations().items() if now - since > self.settings.association_seconds
            ]
            for association in late:
                del self._connections[association]
        for association in late:
            log.warning("closed an association: it took longer than listen.association_seconds", extra={"code": "time"})
            close_association(association)

    def close_all(self) -> None:
        """Close all associations."""
        with self._lock:
            living = list(self._open_associations())
        for association in living:
            close_association(association)

    def _open_associations(self) -> dict[Association, float]:
        # An association without a thread number has not been started yet.
        self._connections = {a: t for a, t in self._connections.items() if a.is_alive() or a.ident is None}
        return self._connections


class _LimitedHandler(RequestHandler):
    """Handler that counts the bytes of each peer."""

    server: LimitedServer

    def _create_association(self) -> Any:
        association: Any = super()._create_association()
        limit = _ByteLimit(association, self.server.settings)
        association.dul.socket.recv = limit.receive
        association.lungsev_byte_limit = limit
        end_on_broken_protocol(association)
        self.server.add_association(association, self.client_address)
        return association


class _ByteLimit:
    """Byte limit of one association, between the socket and pynetdicom."""

    def __init__(self, association: Any, settings: ListenSettings) -> None:
        self._receive = association.dul.socket.recv
        self._longest_pdu = settings.max_pdu_bytes + _PDU_OVERHEAD_BYTES
        self._longest_object = int(settings.max_object_mb * 1e6)
        self._bytes = 0

    def receive(self, count: int) -> bytearray:
        """Receive bytes for pynetdicom.

        Raises:
            OSError: A PDU or an object is longer than allowed; this ends the association.
        """
        if count > self._longest_pdu or self._bytes + count > self._longest_object:
            log.warning(
                "closed an association: its peer sent more than listen.max_pdu_bytes or listen.max_object_mb allow",
                extra={"code": "size"},
            )
            raise OSError("more bytes than allowed")
        self._bytes += count
        return self._receive(count)

    def restart_object_limit(self) -> None:
        """Start counting the next object."""
        self._bytes = 0


def end_on_broken_protocol(association: Any) -> None:
    """End an association whose peer breaks the order of the protocol: pynetdicom's thread dies and leaves it open."""
    machine = association.dul.state_machine
    do_action = machine.do_action

    def act(event: str) -> None:
        try:
            do_action(event)
        except Exception:  # InvalidEventError, or an action that failed half-way
            log.warning("closed an association: its peer broke the order of the protocol", extra={"code": "protocol"})
            association.is_aborted, association.is_established = True, False
            association._kill = association.dul._kill_thread = True  # as pynetdicom ends its reactors itself
            close_association(association)

    machine.do_action = act


def restart_object_limit(association: Association) -> None:
    """Restart the byte limit of an association after a complete object."""
    limit = getattr(association, "lungsev_byte_limit", None)
    if limit is not None:
        limit.restart_object_limit()


def close_association(association: Any) -> None:
    """Close the connection without the release handshake, which the peer may not answer."""
    with contextlib.suppress(Exception):
        raw = association.dul.socket.socket
        raw.shutdown(socket.SHUT_RDWR)
