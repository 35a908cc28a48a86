"""Checks of the folders: where images arrive, where results are written, room on the disk, the ledger."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from lungsev.runtime.checks.check import Check
from lungsev.runtime.scan import is_share
from lungsev.runtime.watcher.layout import Layout

_LEDGER_ADVICE = "start watch: it keeps the damaged file and builds a new one"


def check_incoming(folder: Path, leave_in_place: bool) -> Check:
    """Check the folder that images arrive in."""
    if not folder.is_dir():
        return Check("incoming", False, f"no folder at {folder}", "make it, or mount the share")
    kind = "on a network share" if is_share(folder) else "on a local disk"
    if not os.access(folder, os.R_OK | os.X_OK | (0 if leave_in_place else os.W_OK)):
        advice = f"let this user (id {os.geteuid()}) take files from it, or set watch.leave_in_place"
        return Check("incoming", False, f"{folder}, {kind}, closed to this user", advice)
    return Check("incoming", True, f"{folder}, {kind}")


def check_output(layout: Layout, min_free_mb: float) -> Iterator[Check]:
    """Check the folder of the results, the room on its disk, and the ledger."""
    root = layout.root if layout.root.exists() else layout.root.parent
    if not root.is_dir() or not os.access(root, os.W_OK | os.X_OK):
        advice = f"make it and let this user (id {os.geteuid()}) write to it, or choose another --out"
        yield Check("output", False, f"{layout.root} cannot be written", advice)
        return
    free = shutil.disk_usage(root).free / 1e6
    advice = "make room, or set watch.retention: images wait below the watermark"
    yield Check("disk", free > min_free_mb, f"{free:.0f} MB free, watermark {min_free_mb:.0f} MB", advice)
    if layout.ledger.exists():
        yield _ledger(layout)


def _ledger(layout: Layout) -> Check:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{layout.ledger}?mode=ro", uri=True, timeout=5)) as connection:
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            counts = dict(connection.execute("SELECT state, COUNT(*) FROM images GROUP BY state").fetchall())
    except sqlite3.Error as error:
        return Check("ledger", False, f"cannot be read: {error}", _LEDGER_ADVICE)
    shown = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "empty"
    return Check("ledger", sound, shown, _LEDGER_ADVICE)
