"""Peers that stall: the dashboard closes them, takes no more than it can hold, and goes on answering browsers."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

pytest.importorskip("uvicorn", reason='the dashboard needs the "bedside" extra')

from dashboard_browser import TOKEN

from lungsev.runtime.dashboard import connections

GET = b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALVES = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "no end of the headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: y\r\n",
    "half a body": b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nform=",
    "half a chunk": b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nform=",
    "half of a second request": GET + b"GET / HT",
}


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def read_to_the_end(connection: socket.socket) -> bytes:
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("half", HALVES)
def test_a_request_that_does_not_arrive_in_time_loses_its_connection(
    port: int, half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.1)
    with connect(port) as connection:
        connection.sendall(HALVES[half])
        answer = read_to_the_end(connection)  # ends when the server closes
    assert answer.count(b"HTTP/1.1") <= 1


def test_events_go_on_longer_than_a_request_may_take(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.05)
    with connect(port) as connection:
        connection.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while part := connection.recv(65536):
                assert part
            pytest.fail("the events ended")


def test_more_connections_than_allowed_are_refused_and_those_that_are_open_go_on(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    with connect(port) as first, connect(port) as second:
        time.sleep(0.05)
        with connect(port) as third:
            assert read_to_the_end(third) == b""
        for connection in (first, second):
            connection.sendall(GET)
            assert connection.recv(65536).startswith(b"HTTP/1.1 401")
