"""`lungsev-run outbox`: what was sent to which destination, what waits and what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsev.runtime.commands.options import JsonOption, OutFolder

if TYPE_CHECKING:
    from rich.table import Table

    from lungsev.runtime.delivery.deliveries import DestinationState, MissingOutput

_SHOWN = 20
_ID_WIDTH = len("20261122T081500-3f9a2c7e")


def outbox(
    out: OutFolder = Path("lungsev-out"),
    retry: Annotated[
        str | None, typer.Option("--retry", help="Destination to send its refused files to again.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Show what was sent to which destination, what waits since when, what was refused, and what is missing, and why.

    The watcher tries again for as long as a file waits. `sent` counts only what the destination acknowledged. Missing
    is an output that could not be made of a scored image.

    Example: lungsev-run outbox --out lungsev-out
    """
    import json
    from dataclasses import asdict

    from lungsev.errors import LungsevError
    from lungsev.runtime.console import open_console
    from lungsev.runtime.delivery.deliveries import read_missing, read_states

    states, missing = read_states(out), read_missing(out)
    if not states and not missing:
        raise LungsevError(f"nothing was ever queued in {out}: name `destinations` in the watcher's --config")
    if retry is not None:
        _retry_refused(out, retry, [state.destination for state in states])
        states = read_states(out)
    if json_output:
        rows = [asdict(state) for state in states]
        print(json.dumps([*rows, *({"destination": None, "state": "missing", **asdict(item)} for item in missing)]))
        return
    console = open_console()
    if states:
        console.print(_destinations(states))
    if any(state.refused for state in states):
        console.print("Refused files are not sent again by themselves: lungsev-run outbox --retry DESTINATION")
    if missing:
        console.print(_missing(missing))
    if len(missing) > _SHOWN:
        console.print(f"{len(missing) - _SHOWN} more are missing; --json shows all")


def _destinations(states: Sequence[DestinationState]) -> Table:
    from lungsev.runtime.delivery.deliveries import format_minute

    table = _table("destination", "sent", "waiting", "since", "refused", "reason")
    for state in states:
        since = "" if state.waiting_since is None else format_minute(state.waiting_since)
        counts = (str(state.sent), str(state.queued), since, str(state.refused))
        table.add_row(state.destination, *counts, state.message or "")
    return table


def _missing(missing: Sequence[MissingOutput]) -> Table:
    from lungsev.runtime.delivery.deliveries import format_minute

    table = _table("missing output", "image", "since", "reason")
    for item in missing[:_SHOWN]:
        table.add_row(item.output, item.image, format_minute(item.at), item.reason)
    return table


def _table(*heads: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        right = head in ("sent", "waiting", "refused")
        width = _ID_WIDTH if head == "image" else None
        table.add_column(head, justify="right" if right else "left", min_width=width, overflow="fold")
    return table


def _retry_refused(out: Path, destination: str, known: list[str]) -> None:
    from lungsev.errors import LungsevError
    from lungsev.runtime.delivery.outbox import Outbox

    if destination not in known:
        raise LungsevError(f"found no destination {destination}, expected one of {', '.join(known)}")
    box = Outbox(out / "outbox", ())
    try:
        box.retry_refused(destination)
    finally:
        box.close()
