"""State of deliveries and missing outputs, read by other processes: `lungsev-run outbox`, the dashboard, /metrics."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError
from lungsev.runtime.delivery.outbox import Delivery

_OUTBOX, _LEDGER = Path("outbox", "outbox.sqlite"), Path("ledger.sqlite")
_SHORT_WAIT_SECONDS = 120.0  # not worth a message


@dataclass(frozen=True)
class DestinationState:
    """One destination: number of files by state, queueing time of the oldest one (Unix seconds), and the last error."""

    destination: str
    queued: int
    sent: int
    refused: int
    waiting_since: float | None
    message: str | None


def read_states(out: Path) -> list[DestinationState]:
    """Read the state of every destination that a file was ever queued for.

    Raises:
        LungsevError: The outbox cannot be read.
    """
    rows = _read(
        out / _OUTBOX,
        "SELECT destination, SUM(state = 'queued'), SUM(state = 'sent'), SUM(state = 'refused'), "
        "MIN(CASE WHEN state = 'queued' THEN queued_at END), "
        "(SELECT message FROM deliveries AS last WHERE last.destination = deliveries.destination "
        "AND state != 'sent' AND message IS NOT NULL ORDER BY changed_at DESC LIMIT 1) "
        "FROM deliveries GROUP BY destination ORDER BY destination",
    )
    return [DestinationState(*row) for row in rows]


def read_deliveries(out: Path, image: str) -> list[Delivery]:
    """Read the deliveries of an image, oldest first."""
    columns = ", ".join(Delivery.__dataclass_fields__)
    rows = _read(out / _OUTBOX, f"SELECT {columns} FROM deliveries WHERE image = ? ORDER BY seq", image)
    return [Delivery(*row) for row in rows]


@dataclass(frozen=True)
class MissingOutput:
    """An output of a scored image that could not be written, with the reason; `at` is Unix seconds."""

    image: str
    output: str
    reason: str
    at: float


def read_missing(out: Path) -> list[MissingOutput]:
    """Read which outputs could not be written, newest first; none from a ledger of an earlier release.

    Raises:
        LungsevError: The ledger cannot be read.
    """
    if not _read(out / _LEDGER, "SELECT 1 FROM sqlite_master WHERE name = 'missing_outputs'"):
        return []
    rows = _read(out / _LEDGER, "SELECT image, output, reason, at FROM missing_outputs ORDER BY at DESC, image, output")
    return [MissingOutput(*row) for row in rows]


def describe_unsent(states: Sequence[DestinationState], now: float) -> list[str]:
    """Return one sentence for each destination with refused results, or results that wait for over two minutes."""
    sentences = []
    for state in states:
        late = state.waiting_since is not None and now - state.waiting_since > _SHORT_WAIT_SECONDS
        parts = (
            [f"{state.queued} wait since {format_minute(state.waiting_since)}"] if late and state.waiting_since else []
        )
        parts += [f"{state.refused} were refused"] if state.refused else []
        if parts:
            reason = f" ({state.message})" if state.message else ""
            sentences.append(f"Results have not arrived at {state.destination}: {', '.join(parts)}{reason}.")
    return sentences


def format_minute(moment: float) -> str:
    """Return a Unix time as local date, hour and minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _read(path: Path, query: str, *parameters: str) -> list[tuple[Any, ...]]:
    if not path.is_file():
        return []
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise LungsevError(f"cannot read {path}: {error}") from None
