from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bedside_life import wait_for

from lungsev.runtime.checks import ports as module
from lungsev.runtime.checks.check import Check
from lungsev.runtime.checks.ports import check_ports
from lungsev.runtime.settings import BedsideSettings, HealthSettings
from lungsev.runtime.watcher.health import Health, HealthServer
from lungsev.runtime.watcher.layout import Layout


def check(layout: Layout | None = None, **sections: dict[str, Any]) -> list[Check]:
    switched_on = {name: {"enabled": True, **fields} for name, fields in sections.items()}
    found = list(check_ports(BedsideSettings.model_validate(switched_on), layout))
    assert all(check.ok or check.advice for check in found)
    return found


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def as_watcher(monkeypatch: pytest.MonkeyPatch, process: int | None) -> Layout:
    monkeypatch.setattr(module, "_running_watcher", lambda layout: process)
    return Layout(Path("out"))


def test_by_default_no_port_is_looked_at() -> None:
    assert list(check_ports(BedsideSettings(), None)) == []


def test_a_free_port_is_free() -> None:
    (health,) = check(health={"port": free_port()})
    assert (health.name, health.ok, health.found.endswith(": free")) == ("health", True, True)
    (any_port,) = check(health={"port": 0})
    assert any_port.ok


def test_a_port_that_another_program_holds_is_named_with_the_program(taken: int) -> None:
    (health,) = check(health={"port": taken})
    assert not health.ok
    assert f"(process {os.getpid()})" in health.found
    assert "set health.port" in health.advice


def test_a_port_that_a_program_of_another_user_holds_is_taken(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_find_holder", lambda port: None)
    (health,) = check(health={"port": taken})
    assert (health.ok, "a program of another user" in health.found) == (False, True)


def test_a_port_of_the_running_watcher_or_of_its_child_is_in_order(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for watcher in (os.getpid(), os.getppid()):
        (dashboard,) = check(as_watcher(monkeypatch, watcher), dashboard={"port": taken})
        assert (dashboard.ok, f"held by the watcher that runs (process {watcher})" in dashboard.found) == (True, True)


def test_a_watcher_that_listens_on_no_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (dashboard,) = check(as_watcher(monkeypatch, 1), dashboard={"port": free_port()})
    assert (dashboard.ok, "nothing listens" in dashboard.found) == (False, True)


def test_what_a_running_watcher_complains_of_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health()
    with HealthServer(HealthSettings(port=0), health, lambda: b"") as server:
        layout = as_watcher(monkeypatch, os.getpid())
        assert check(layout, health={"port": server.port})[0].ok
        health.set_problem("disk", "the disk is full")
        (found,) = check(layout, health={"port": server.port})
    assert (found.ok, "which is not ready: the disk is full" in found.found) == (False, True)


def test_two_services_with_one_port_are_named() -> None:
    port = free_port()
    health, dashboard = check(health={"port": port}, dashboard={"port": port})
    assert [health.ok, dashboard.ok] != [True, True]
    assert "has the same port" in health.found + dashboard.found


@pytest.mark.parametrize(
    ("host", "words", "advice"),
    [
        ("192.0.2.1", "no such address", "correct health.host"),
        ("absent.invalid", "the name of the host is unknown", "correct health.host"),
    ],
)
def test_an_address_that_is_not_of_this_machine_is_named(
    host: str, words: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host.endswith(".invalid"):

        def unknown(*_arguments: object, **_options: object) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (found,) = check(health={"host": host, "port": 18555})
    assert (found.ok, words in found.found, advice in found.advice) == (False, True, True)


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ({"host": "0.0.0.0"}, "only this machine may send"),
        ({"tls_certificate": "/dev/null", "tls_key": "/dev/null"}, "TLS files"),
        ({"tls_certificate": "/absent.pem", "tls_key": "/absent.pem"}, "TLS files"),
    ],
)
def test_a_listener_nobody_can_use_is_named(listen: dict[str, Any], words: str) -> None:
    pytest.importorskip("pynetdicom")
    (found,) = check(listen={"port": 0, **listen})
    assert (found.name, found.ok, words in found.found) == ("listener", False, True)


def test_a_dashboard_with_wrong_files_is_named(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    (found,) = check(dashboard={"port": 0, "tls_certificate": "/dev/null", "tls_key": "/dev/null"})
    assert (found.ok, "expected PEM files" in found.found) == (False, True)
    (found,) = check(dashboard={"port": 0, "token_file": tmp_path / "absent"})
    assert (found.ok, "cannot read the token file" in found.found) == (False, True)


def test_a_watcher_runs_when_the_process_of_its_lock_is_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert module._running_watcher(layout) is None
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "watch"]) as watcher:
        try:
            (tmp_path / "lock").write_text(f"{watcher.pid}\n")
            wait_for(lambda: module._running_watcher(layout) == watcher.pid)
            (tmp_path / "lock").write_text(f"{os.getppid()}\n")  # a number that another program has now
            assert module._running_watcher(layout) is None
        finally:
            watcher.kill()
