"""Listener for merges of patients by HL7 v2 over TCP (MLLP, HL7 v2 appendix C).

A sender is told AA once the decision is on the disk, never before.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType

from lungsev.errors import LungsevError
from lungsev.runtime.addresses import is_allowed, parse_networks
from lungsev.runtime.delivery.web import describe_error
from lungsev.runtime.hl7.acknowledgement import acknowledge
from lungsev.runtime.hl7.merge import MergeMessage, merge_of
from lungsev.runtime.hl7.message import Hl7Error, parse_header, parse_message
from lungsev.runtime.settings import Hl7ListenSettings
from lungsev.runtime.tls import HANDSHAKE_SECONDS, server_context

log = logging.getLogger("lungsev.runtime.hl7.listener")

START, END = b"\x0b", b"\x1c"
_PIECE_BYTES = 1 << 16
_INTERNAL_ERROR = 207  # HL7 table 0357


class MergeListener:
    """Listener on one port, on threads of its own until the block is left.

    Args:
        settings: Of the listener.
        on_merge: Records a merge on the disk. It raises `Hl7Error` for one that cannot be told; it is called by one
            thread at a time.

    Raises:
        LungsevError: The port cannot be taken.
    """

    def __init__(self, settings: Hl7ListenSettings, on_merge: Callable[[MergeMessage], object]) -> None:
        try:
            tls = server_context(settings.tls_certificate, settings.tls_key, settings.tls_authorities)
        except OSError as error:  # ssl.SSLError is one
            raise LungsevError(
                "hl7_listen.tls_*: expected PEM files of a certificate, its key without a password and its authorities "
                f"({describe_error(error)}); check the three files"
            ) from None
        try:
            self._server = _Server(settings, on_merge, tls)
        except OSError as error:
            raise LungsevError(
                f"cannot listen for HL7 on {settings.host}:{settings.port}: {error.strerror or error}; choose another "
                "hl7_listen.port, or stop the program that uses it"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="hl7", daemon=True)

    @property
    def port(self) -> int:
        """Port that was bound; with 0 in the settings the system chose it."""
        return int(self._server.server_address[1])

    def __enter__(self) -> MergeListener:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.close_connections()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, settings: Hl7ListenSettings, on_merge: Callable[[MergeMessage], object], tls: ssl.SSLContext | None
    ) -> None:
        self.settings = settings
        self._tls = tls
        self._on_merge = on_merge
        self._networks = parse_networks(settings.allowed_addresses)
        self._recording = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.address_family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        super().__init__((settings.host, settings.port), _Handler)

    def verify_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> bool:
        """Return whether a new connection is within the limits."""
        assert isinstance(client_address, tuple)
        assert isinstance(request, socket.socket)
        if not is_allowed(str(client_address[0]), self._networks):
            log.warning("refused a connection: its address is not in hl7_listen.allowed_addresses")
            return False
        with self._lock:
            if len(self._connections) >= self.settings.max_connections:
                log.warning("refused a connection: there are too many (hl7_listen.max_connections)")
                return False
            self._connections.add(request)
        return True

    def encrypt(self, connection: socket.socket) -> socket.socket:
        """Return a connection after its TLS handshake, or as it is where TLS is off; raises OSError."""
        if self._tls is None:
            return connection
        connection.settimeout(HANDSHAKE_SECONDS)
        encrypted = self._tls.wrap_socket(connection, server_side=True)
        with self._lock:
            self._connections.discard(connection)
            self._connections.add(encrypted)
        return encrypted

    def forget(self, connection: socket.socket) -> None:
        """Count a connection no longer."""
        with self._lock:
            self._connections.discard(connection)

    def close_connections(self) -> None:
        """End every connection; a merge that is being recorded is finished first."""
        with self._recording, self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log that a connection failed."""
        log.exception("a connection failed")

    def answer(self, data: bytes) -> bytes | None:
        """Take a message and return its acknowledgement, or None when the sender wants none."""
        header, error = parse_header(data), None
        try:
            message = parse_message(data)
            header = message.header
            merge = merge_of(message)
            with self._recording:
                self._on_merge(merge)
            log.info("recorded a merge of patients from an HL7 message")
        except Hl7Error as found:
            error = found
            log.warning("refused an HL7 message: %s", found)
        except Exception as found:
            error = Hl7Error("the merge could not be recorded: send it again later", code=_INTERNAL_ERROR)
            log.error("a merge from an HL7 message could not be recorded", exc_info=found)
        return acknowledge(header, error, secrets.token_hex(8), datetime.now().astimezone())


class _Handler(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        """Answer the messages of a connection, one after the other."""
        try:
            self.request = self.server.encrypt(self.request)
        except OSError:  # ssl.SSLError is one
            log.warning("the TLS handshake of a sender failed")
            return
        self.request.settimeout(self.server.settings.idle_seconds)
        notice_dead_peers(self.request)
        with contextlib.suppress(OSError), self.request:  # it went away, or is silent for too long
            for message in _frames(self.request, int(self.server.settings.max_message_kb * 1000)):
                answer = self.server.answer(message)
                if answer is not None:
                    self.request.sendall(START + answer + END + b"\r")

    def finish(self) -> None:
        """Count the connection no longer."""
        self.server.forget(self.request)


def notice_dead_peers(connection: socket.socket) -> None:
    """Have the system ask a silent peer whether it is there: one that lost its power holds its connection for hours."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _frames(connection: socket.socket, longest: int) -> Iterator[bytes]:
    """Yield what stands between start and end of each frame; a frame that is too long ends the connection."""
    buffer = bytearray()
    while True:
        start = buffer.find(START)
        end = buffer.find(END, start) if start >= 0 else -1
        if end >= 0:
            yield bytes(buffer[buffer.rfind(START, start, end) + 1 : end])  # behind a frame that was never ended
            del buffer[: end + 1]
            continue
        if start < 0:
            buffer.clear()  # the CR behind a frame, or what is not MLLP
        elif len(buffer) - start > longest:
            log.warning("closed a connection: its message is longer than hl7_listen.max_message_kb")
            return
        chunk = connection.recv(_PIECE_BYTES)
        if not chunk:
            return
        buffer += chunk
