"""The door of the listener: who may come in, how many, how much they may say and how long they may take.

pynetdicom believes the length a PDU claims, shakes TLS hands on the thread that accepts, and waits for a peer that
drips. Each is bounded here, before its code sees a byte.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import ssl
import threading
import time
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from lungsev.runtime.settings import ListenSettings

log = logging.getLogger("lungsev.runtime.dicom.listener")

_PDU_OVERHEAD_BYTES = 1 << 16  # an association request may be longer than the data PDUs that it allows
_HANDSHAKE_SECONDS = 10.0


class GuardedServer(ThreadedAssociationServer):
    """Accepts from allowed addresses, a bounded number of connections, and shakes hands on their own threads."""

    settings: ListenSettings
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, ae: Any, settings: ListenSettings, contexts: Any, tls: ssl.SSLContext | None, handlers: Any):
        self.settings = settings
        self._networks = [ipaddress.ip_network(item, strict=False) for item in settings.allowed_addresses]
        self._connections: dict[Association, float] = {}
        self._lock = threading.Lock()
        self._opening: set[Any] = set()  # addresses, from accepting to the association
        super().__init__(
            ae,
            (settings.host, settings.port),
            settings.ae_title,
            contexts,
            tls,
            handlers,
            request_handler=GuardedHandler,
        )

    def get_request(self) -> tuple[socket.socket, Any]:
        assert self.socket is not None
        connection, address = self.socket.accept()
        connection.settimeout(self.settings.idle_seconds)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if not self._is_allowed(client_address[0]):
            log.warning("a connection from an address that is not allowed was closed", extra={"code": "address"})
            return False
        with self._lock:
            if len(self._opening) + len(self._living()) >= 2 * self.settings.max_associations:
                log.warning("a connection too many was closed", extra={"code": "connections"})
                return False
            self._opening.add(client_address)
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            if self.ssl_context is not None:
                request.settimeout(_HANDSHAKE_SECONDS)
                request = self.ssl_context.wrap_socket(request, server_side=True)
                request.settimeout(self.settings.idle_seconds)
            self.finish_request(request, client_address)
        except (OSError, ssl.SSLError):
            log.warning("a peer failed at the TLS handshake", extra={"code": "tls"})
            self.shutdown_request(request)
        except Exception:
            log.exception("a connection failed")
            self.shutdown_request(request)
        finally:
            with self._lock:
                self._opening.discard(client_address)

    def shutdown_request(self, request: Any) -> None:
        with contextlib.suppress(OSError):
            super().shutdown_request(request)

    def entered(self, association: Association, client_address: Any) -> None:
        """A peer is connected; its time runs."""
        with self._lock:
            self._opening.discard(client_address)
            self._connections[association] = time.monotonic()

    def hang_up_on_the_slow(self) -> int:
        """Close connections older than the limit; returns how many."""
        now = time.monotonic()
        with self._lock:
            late = [a for a, since in self._living().items() if now - since > self.settings.association_seconds]
            for association in late:
                del self._connections[association]
        for association in late:
            log.warning("an association took too long and was closed", extra={"code": "time"})
            close(association)
        return len(late)

    def close_all(self) -> None:
        """Hang up on everybody."""
        with self._lock:
            living = list(self._living())
        for association in living:
            close(association)

    def busy(self) -> int:
        """Connections that are open."""
        with self._lock:
            return len(self._living())

    def _living(self) -> dict[Association, float]:
        self._connections = {a: since for a, since in self._connections.items() if a.is_alive()}
        return self._connections

    def _is_allowed(self, address: str) -> bool:
        peer = ipaddress.ip_address(address.split("%")[0])
        mapped = getattr(peer, "ipv4_mapped", None)
        return any((mapped or peer) in network for network in self._networks)


class GuardedHandler(RequestHandler):
    """Counts what a peer sends."""

    server: GuardedServer

    def _create_association(self) -> Any:
        association: Any = super()._create_association()
        guard = _Guard(association, self.server.settings)
        association.dul.socket.recv = guard.receive
        association.lungsev_guard = guard
        self.server.entered(association, self.client_address)
        return association


class _Guard:
    """Stands between the socket and pynetdicom."""

    def __init__(self, association: Any, settings: ListenSettings) -> None:
        self._receive = association.dul.socket.recv
        self._longest_pdu = settings.max_pdu_bytes + _PDU_OVERHEAD_BYTES
        self._longest_object = int(settings.max_object_mb * 1e6)
        self._bytes = 0

    def receive(self, count: int) -> bytearray:
        """Raises OSError, which ends the association, for a PDU or an object longer than allowed."""
        if count > self._longest_pdu or self._bytes + count > self._longest_object:
            log.warning("a peer sent more than is allowed and was hung up on", extra={"code": "size"})
            raise OSError("more than is allowed")
        self._bytes += count
        return self._receive(count)

    def next_object(self) -> None:
        """An object is complete: what comes now is counted anew."""
        self._bytes = 0


def next_object(association: Association) -> None:
    """Start counting anew after an object that was taken."""
    guard = getattr(association, "lungsev_guard", None)
    if guard is not None:
        guard.next_object()


def close(association: Any) -> None:
    """Hang up without ceremony: the peer may not be listening to one."""
    with contextlib.suppress(Exception):
        raw = association.dul.socket.socket
        raw.shutdown(socket.SHUT_RDWR)


def build_tls_context(settings: ListenSettings) -> ssl.SSLContext | None:
    """TLS 1.2 or newer (PS3.15 B.12, BCP 195), peers' certificates asked for when authorities are given.

    Raises:
        OSError, ssl.SSLError: A file is missing or is no certificate.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    if settings.tls_authorities is not None:
        context.load_verify_locations(settings.tls_authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
