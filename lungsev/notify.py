"""Notifications to systemd (sd_notify(3)): ready, alive, stopping. They do nothing without systemd."""

from __future__ import annotations

import contextlib
import os
import socket

_MORE_SECONDS = 60.0


def notify(state: str) -> None:
    """Send `READY=1`, `WATCHDOG=1`, `STOPPING=1`, `STATUS=...` or `EXTEND_TIMEOUT_USEC=...`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
        peer.connect(address)
        peer.sendall(state.encode("utf-8"))


def notify_progress(status: str) -> None:
    """Say what takes time, and ask for another minute of it: a start or a stop is not timed out while it goes on."""
    notify(f"STATUS={status}\nEXTEND_TIMEOUT_USEC={int(_MORE_SECONDS * 1e6)}")


def watchdog_seconds() -> float | None:
    """Return the interval of `WATCHDOG=1`, half the limit that systemd set; None when it set none."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    if not limit.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(limit) / 2e6
