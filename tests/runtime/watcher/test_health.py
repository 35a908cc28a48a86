from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from lungsev.errors import LungsevError
from lungsev.inference.status import BackendStatus
from lungsev.runtime.settings import HealthSettings
from lungsev.runtime.watcher.health import Health, HealthServer

ANYWHERE = HealthSettings(enabled=True, port=0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    with HealthServer(ANYWHERE, health, lambda: b"lungsev_ready 1.0\n") as running:
        yield running


def get(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_is_alive_while_every_thread_reports_within_two_minutes(
    server: HealthServer, health: Health, clock: Clock
) -> None:
    health.beat("scoring")
    assert get(server, "/livez")[0] == 200
    clock.now += 1000
    assert get(server, "/livez") == (503, "a thread hangs\n")


def test_it_is_ready_unless_a_problem_keeps_images_from_being_scored(server: HealthServer, health: Health) -> None:
    assert get(server, "/readyz") == (200, "ready\n")
    health.set_problem("disk", "the disk is nearly full")
    assert get(server, "/readyz") == (503, "the disk is nearly full\n")
    health.clear_problem("disk")
    assert get(server, "/readyz")[0] == 200
    health.set_backend(BackendStatus("tensorrt", "Orin", "fp16", "ready", "its engine passed"))
    assert get(server, "/readyz") == (200, "ready\nbackend: tensorrt fp16 on Orin: its engine passed\n")
    health.set_problem("disk", "the disk is nearly full")
    assert get(server, "/readyz")[1].startswith("the disk is nearly full\nbackend: tensorrt")


def test_the_metrics_page_is_served_and_no_file(server: HealthServer) -> None:
    status, page = get(server, "/metrics")
    assert status == 200
    assert page == "lungsev_ready 1.0\n"
    assert get(server, "/../etc/passwd")[0] == 404
    assert get(server, "/")[0] == 404


def test_a_port_in_use_is_an_error_that_names_its_setting(server: HealthServer, health: Health) -> None:
    with pytest.raises(LungsevError, match=r"health\.port"):
        HealthServer(HealthSettings(enabled=True, port=server.port), health, bytes)


def test_a_peer_that_stalls_is_cut_off(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.runtime.watcher.health.CONNECTION_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET /livez HT")
        assert connection.recv(100) == b""


def test_more_connections_than_allowed_are_refused(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.runtime.watcher.health.MAX_CONNECTIONS", 1)
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as first,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as second,
    ):
        assert second.recv(100) == b""
        first.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert first.recv(100).startswith(b"HTTP/1.0 200")
