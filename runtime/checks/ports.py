"""Checks of the ports that lungsev listens on: free, held by the watcher that runs, or taken by another program."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lungsev.errors import LungsevError
from lungsev.runtime.checks.check import Check
from lungsev.runtime.dashboard.serve import check_tls_files
from lungsev.runtime.delivery.web import describe_error
from lungsev.runtime.settings import BedsideSettings, DashboardSettings, Hl7ListenSettings, ListenSettings
from lungsev.runtime.tls import server_context
from lungsev.runtime.watcher.layout import Layout

_THIS_MACHINE = {"127.0.0.1", "::1"}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ANSWER_SECONDS = 4.0
_LISTENING = "0A"  # a state in /proc/net/tcp


@dataclass(frozen=True)
class _Service:
    """What listens on a port: its section of the settings, the words for it, and what is wrong with its settings."""

    section: str
    host: str
    port: int
    words: str
    fault: tuple[str, str] | None = None  # found, advice


def check_ports(settings: BedsideSettings, layout: Layout | None) -> Iterator[Check]:
    """Check every port that the settings switch on.

    Args:
        settings: All settings.
        layout: Folders of the watcher, which says whether it runs; None without a watched folder.
    """
    watcher = _running_watcher(layout) if layout is not None else None
    taken: dict[int, str] = {}
    for service in _services(settings):
        where = f"{service.words} on {service.host}:{service.port}"
        name = {"listen": "listener", "hl7_listen": "HL7 listener"}.get(service.section, service.section)
        if service.fault is not None:
            yield Check(name, False, f"{where}: {service.fault[0]}", service.fault[1])
        elif service.port and service.port in taken:
            advice = f"set {service.section}.port to another one"
            yield Check(name, False, f"{where}: {taken[service.port]} has the same port", advice)
        else:
            ok, found, advice = _look_at(service, watcher)
            yield Check(name, ok, f"{where}: {found}", advice)
        taken[service.port] = f"{service.section}.port"


def _services(settings: BedsideSettings) -> Iterator[_Service]:
    listen, hl7, dashboard, health = settings.listen, settings.hl7_listen, settings.dashboard, settings.health
    if listen.enabled:
        yield _Service(
            "listen", listen.host, listen.port, f"{listen.ae_title}, {_admission(listen)},",
            _listener_fault("listen", listen),
        )  # fmt: skip
    if hl7.enabled:
        yield _Service("hl7_listen", hl7.host, hl7.port, f"HL7, {_admission(hl7)},", _listener_fault("hl7_listen", hl7))
    if dashboard.enabled:
        tls = "HTTPS" if dashboard.tls_certificate else "HTTP"
        yield _Service("dashboard", dashboard.host, dashboard.port, tls, _dashboard_fault(dashboard))
    if health.enabled:
        yield _Service("health", health.host, health.port, "HTTP")


def _admission(listener: ListenSettings | Hl7ListenSettings) -> str:
    allowed = f"{len(listener.allowed_addresses)} addresses allowed" if _is_open(listener.host) else "this machine only"
    return f"{'TLS' if listener.tls_certificate else 'no TLS'}, {allowed}"


def _is_open(host: str) -> bool:
    return host not in _LOOPBACK


def _listener_fault(section: str, listener: ListenSettings | Hl7ListenSettings) -> tuple[str, str] | None:
    if _is_open(listener.host) and set(listener.allowed_addresses) <= _THIS_MACHINE:
        return "only this machine may send", f"list the senders' addresses in {section}.allowed_addresses"
    try:
        server_context(listener.tls_certificate, listener.tls_key, listener.tls_authorities)
    except OSError as error:  # ssl.SSLError is one
        reason = "they are no such files" if isinstance(error, ssl.SSLError) else describe_error(error)
        advice = "expected PEM files, the key without a password, that this user may read"
        return f"the TLS files cannot be used: {reason}", advice
    return None


def _dashboard_fault(dashboard: DashboardSettings) -> tuple[str, str] | None:
    try:
        check_tls_files(dashboard)
    except LungsevError as error:
        return str(error), "correct dashboard.tls_certificate and dashboard.tls_key"
    if dashboard.token_file is None or find_spec("fastapi") is None:
        return None
    from lungsev.runtime.dashboard.security import read_token

    try:
        read_token(dashboard.token_file)
    except LungsevError as error:
        return str(error), "correct dashboard.token_file"
    return None


def _look_at(service: _Service, watcher: int | None) -> tuple[bool, str, str]:
    """Try to take a port; return whether it is as it should be, what was found, and what to do."""
    setting = f"{service.section}.port"
    try:
        _bind(service.host, service.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _look_at_holder(service, watcher)
        if error.errno == errno.EADDRNOTAVAIL:
            return False, "this machine has no such address", f"correct {service.section}.host"
        if error.errno == errno.EACCES:
            return False, "this user may not take such a port", f"set {setting} to one above 1023"
        return False, f"cannot be taken: {describe_error(error)}", f"correct {service.section}.host and {setting}"
    if watcher is None or service.port == 0:
        return True, "free", ""
    advice = "restart the watcher if the settings were changed since it started; otherwise its log says why"
    return False, f"nothing listens, though the watcher runs (process {watcher})", advice


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


def _look_at_holder(service: _Service, watcher: int | None) -> tuple[bool, str, str]:
    advice = f"end it, or set {service.section}.port to another one"
    holder = _find_holder(service.port)
    if holder is None and watcher is None:
        return False, "taken by a program of another user", advice
    if holder is not None and watcher not in (holder, _parent(holder)):
        return False, f"taken by {_program(holder)} (process {holder})", advice
    found = f"held by the watcher that runs (process {watcher})"
    problem = _ask_readiness(service) if service.section == "health" else None
    if problem is not None:
        return False, f"{found}, which is not ready: {problem}", "see the log of the watcher"
    return True, found, ""


def _ask_readiness(service: _Service) -> str | None:
    """Return what /readyz complains of, or None."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(service.host, service.host)
    connection = http.client.HTTPConnection(host, service.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read(2000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return describe_error(error)
    finally:
        connection.close()
    return None if answer.status == 200 else "; ".join(said.split("\n")).strip("; ")


def _running_watcher(layout: Layout) -> int | None:
    """Return the process of the watcher that uses these folders, or None when none does."""
    with contextlib.suppress(OSError, ValueError):
        process = int((layout.root / "lock").read_text(encoding="ascii"))
        command = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if b"watch" in command and process != os.getpid():
            return process
    return None


def _find_holder(port: int) -> int | None:
    """Return the process that listens on a port; None when it belongs to another user."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            rows = [line.split() for line in Path(table).read_text(encoding="ascii").splitlines()[1:]]
            inodes |= {
                f"socket:[{row[9]}]" for row in rows if row[3] == _LISTENING and int(row[1].split(":")[1], 16) == port
            }
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            for descriptor in folder.iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(descriptor) in inodes:
                        return int(folder.parent.name)
    return None


def _parent(process: int) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    return None


def _program(process: int) -> str:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{process}/cmdline").read_bytes()
        if b"lungsev" in command:
            return "another lungsev"
        return Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return "another program"
