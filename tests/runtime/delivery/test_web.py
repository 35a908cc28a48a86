from __future__ import annotations

import gzip
import http.client
import socket
import ssl
import threading
import urllib.error
import zlib
from pathlib import Path

import pytest
from web_server import Web

from lungsev.runtime.delivery import web as web_module
from lungsev.runtime.delivery.destinations import WebhookDestination
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError
from lungsev.runtime.delivery.web import ask, check_web_status, describe_error, read_secret

BODY = b'{"00081199": {"vr": "SQ"}}'


def hook(url: str, **fields: object) -> WebhookDestination:
    return WebhookDestination.model_validate(
        {"name": "there", "kind": "webhook", "url": url, "sends": ["json"], **fields}
    )


def bare_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("X-GZIP", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", bare_deflate(BODY)),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY), mtime=0)),
        ("identity", BODY),
        ("", BODY),
        ("", gzip.compress(BODY, mtime=0)),  # without saying so
    ],
)
def test_a_compressed_answer_is_inflated(web: Web, encoding: str, sent: bytes) -> None:
    web.answer, web.headers = sent, {"Content-Encoding": encoding} if encoding else {}
    assert ask(hook(web.url), "POST", b"x").body == BODY


@pytest.mark.parametrize(
    ("headers", "sent", "words"),
    [
        ({"Content-Encoding": "br"}, b"\x8b\x01", "not asked for"),
        ({"Content-Encoding": "gzip"}, gzip.compress(BODY, mtime=0)[:-9], "damaged"),
        ({"Content-Encoding": "gzip"}, b"no gzip", "damaged"),
        ({"Content-Encoding": "gzip"}, gzip.compress(bytes(1000), mtime=0), "too long"),
        ({}, bytes(1000), "longer than"),
        ({"Content-Length": "900", "Connection": "close"}, b"", "closed the connection"),
    ],
)
def test_an_answer_that_cannot_be_read_is_not_an_acknowledgement(
    web: Web, headers: dict[str, str], sent: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_module, "_LONGEST_ANSWER", 900)
    web.answer, web.headers = sent, headers
    with pytest.raises(SendLaterError, match=words):
        ask(hook(web.url), "POST", b"x")


def test_an_answer_that_trickles_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not stop.wait(0.02):
                    connection.sendall(b" ")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            with pytest.raises(SendLaterError, match="timed out"):
                ask(hook(f"http://127.0.0.1:{server.getsockname()[1]}/"), "GET", timeout_seconds=0.2)
        finally:
            stop.set()
            thread.join()


def test_no_redirect_is_followed(web: Web) -> None:
    web.status, web.headers = 307, {"Location": web.url}
    assert ask(hook(web.url), "POST", b"x").status == 307
    assert len(web.requests) == 1


def test_the_token_is_read_before_every_request(web: Web, tmp_path: Path) -> None:
    token = tmp_path / "token"
    for value in ("first", "second"):
        token.write_text(f"{value}\n")
        ask(hook(web.url, token_file=token), "OPTIONS", headers={"X-Mine": "1"})
    assert [headers["Authorization"] for _, headers, _ in web.requests] == ["Bearer first", "Bearer second"]
    assert web.methods == ["OPTIONS", "OPTIONS"]
    assert web.requests[0][1]["X-Mine"] == "1"
    with pytest.raises(SendLaterError, match="cannot read absent"):
        read_secret(tmp_path / "absent")


@pytest.mark.parametrize(
    ("status", "outcome", "words"),
    [
        (500, SendLaterError, "500"),
        (429, SendLaterError, "429"),
        (302, SendRefusedError, "a redirect, which is not followed"),
        (401, SendRefusedError, "check the token"),
        (403, SendRefusedError, "check the token"),
        (404, SendRefusedError, "check the URL"),
        (413, SendRefusedError, "too large"),
        (415, SendRefusedError, "does not take such files"),
    ],
)
def test_a_status_says_whether_to_try_again_and_what_to_do(status: int, outcome: type[Exception], words: str) -> None:
    with pytest.raises(outcome, match=words):
        check_web_status(status)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_status_of_success_is_one(status: int) -> None:
    check_web_status(status)


UNTRUSTED = ssl.SSLCertVerificationError(1, "certificate verify failed")
UNTRUSTED.verify_message = "self-signed certificate"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name of the host is unknown"),
        (urllib.error.URLError(socket.gaierror(-2, "x")), "the name of the host is unknown"),
        (urllib.error.URLError("no host given"), "str"),
        (TimeoutError(), "timed out"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (UNTRUSTED, "its certificate is not trusted (self-signed certificate)"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "TLS failed"),
        (http.client.BadStatusLine("x"), "what it sent is not HTTP"),
        (http.client.RemoteDisconnected("x"), "it closed the connection"),
        (ValueError("x"), "ValueError"),
    ],
)
def test_an_error_is_described_in_a_few_words(error: Exception, words: str) -> None:
    assert describe_error(error).startswith(words)
