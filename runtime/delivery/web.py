"""HTTP requests to destinations: bounded answers, no redirects, and words for what went wrong."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungsev.runtime.delivery.destinations import StowDestination, WebhookDestination
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError

_TRANSIENT_STATUS = frozenset({408, 409, 423, 425, 429})
_LONGEST_ANSWER = 8 << 20
_CHUNK_BYTES = 1 << 16
_HINTS = {
    401: "check the token",
    403: "check the token",
    406: "it answers in neither DICOM JSON nor XML",
    413: "the file is too large for it",
    415: "it does not take such files at this address: check the URL",
}


@dataclass(frozen=True)
class WebAnswer:
    """The answer of a web server, its body without compression."""

    status: int
    content_type: str
    body: bytes


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """Returns every answer as it is.

    No redirect is followed: patient data must not leave for an address that a server names.
    """

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return response

    https_response = http_response


def ask(
    destination: StowDestination | WebhookDestination,
    method: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
) -> WebAnswer:
    """Send one request to a destination, with its token.

    Args:
        destination: Where to.
        method: Of HTTP.
        body: What to send.
        headers: Headers beside Authorization.
        timeout_seconds: For the connection and each part of the answer; None is the destination's.

    Raises:
        SendLaterError: There was no answer, or not a whole one.
    """
    sent = dict(headers or {})
    if destination.token_file is not None:
        sent["Authorization"] = f"Bearer {read_secret(destination.token_file)}"
    return request(destination.url, method, body, sent, timeout_seconds or destination.timeout_seconds)


def request(
    url: str,
    method: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
    most_bytes: int | None = None,
) -> WebAnswer:
    """Send one request.

    Args:
        url: Where to.
        method: Of HTTP.
        body: What to send.
        headers: All headers beside those of the connection.
        timeout_seconds: For the connection, and for the whole body of the answer.
        most_bytes: Of the answer's body, compressed or not; None is what an answer about storage may have.

    Raises:
        SendLaterError: There was no answer, or not a whole one.
    """
    most = most_bytes or _LONGEST_ANSWER
    wanted = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.build_opener(_AnyStatus).open(wanted, timeout=timeout_seconds) as response:
            encoding = response.headers.get("Content-Encoding", "")
            return WebAnswer(
                response.status,
                response.headers.get("Content-Type", ""),
                decode_body(_read(response, timeout_seconds, most), encoding, most),
            )
    except (OSError, http.client.HTTPException) as error:
        raise SendLaterError(f"the server did not answer: {describe_error(error)}") from None


def check_web_status(status: int) -> None:
    """Raise unless the status of an answer is a success.

    Raises:
        SendLaterError, SendRefusedError: The file was not taken.
    """
    if 200 <= status < 300:
        return
    if status >= 500 or status in _TRANSIENT_STATUS:
        raise SendLaterError(f"the server answered {status}")
    if status < 400:
        raise SendRefusedError(
            f"the server answered {status}, a redirect, which is not followed: set url to the address where it ends"
        )
    raise SendRefusedError(f"the server answered {status}: {_HINTS.get(status, 'check the URL')}")


def read_secret(path: Path) -> str:
    """Read a token or a secret.

    Raises:
        SendLaterError: The file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SendLaterError(f"cannot read {path.name}: {describe_error(error)}") from None


def describe_error(error: object) -> str:
    """Return why a connection failed, in a few words."""
    if isinstance(error, urllib.error.URLError):  # wraps the error of the connection
        error = error.reason
    if isinstance(error, socket.gaierror):
        return "the name of the host is unknown"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or "no reason given"
        return f"TLS failed ({reason.replace('_', ' ').lower()})"
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "it closed the connection"
    if isinstance(error, http.client.HTTPException):
        return "what it sent is not HTTP"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _read(response: Any, seconds: float, most_bytes: int) -> bytes:
    """Read a body within a time, so that a server that sends a byte now and then does not hold the outbox."""
    end, body = time.monotonic() + seconds, bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > most_bytes:
            raise SendLaterError(f"the answer of the server is longer than {most_bytes >> 20} MB: check the URL")
        if time.monotonic() > end:
            raise TimeoutError
    if response.length:  # what is missing of Content-Length
        raise http.client.IncompleteRead(bytes(body), response.length)
    return bytes(body)


def decode_body(body: bytes, encodings: str, most_bytes: int | None = None) -> bytes:
    """Undo the compression of a body (RFC 9110 8.4), which servers apply unasked and at times without saying so.

    Args:
        body: As it was sent.
        encodings: Its Content-Encoding.
        most_bytes: As in `request`.

    Raises:
        SendLaterError: It is damaged, too long, or compressed in a way that was not asked for.
    """
    most = most_bytes or _LONGEST_ANSWER
    for encoding in reversed([name.strip().lower() for name in encodings.split(",") if name.strip()]):
        if encoding in ("gzip", "x-gzip", "deflate") and body:
            body = _inflate(body, most)
        elif encoding != "identity" and body:
            raise SendLaterError("the answer of the server is compressed in a way that was not asked for")
    return _inflate(body, most) if body.startswith(b"\x1f\x8b") else body


def _inflate(body: bytes, most_bytes: int) -> bytes:
    """Inflate gzip, zlib, or a bare deflate stream, which some servers send for "deflate"."""
    for window_bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        stream = zlib.decompressobj(window_bits)
        try:
            inflated = stream.decompress(body, most_bytes)
        except zlib.error:
            continue
        if stream.eof:
            return inflated
    raise SendLaterError("the answer of the server is compressed and damaged, or too long")
