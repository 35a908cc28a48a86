"""`lungsev-run outbox`: what was sent to which destination, what waits and what was refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.runtime.commands.options import JsonOption, OutFolder


def outbox(
    out: OutFolder = Path("lungsev-out"),
    retry: Annotated[
        str | None, typer.Option("--retry", help="Destination to send its refused files to again.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Show what was sent to which destination, what waits since when, and what was refused and why.

    The watcher tries again for as long as a file waits. `sent` counts only what the destination acknowledged.

    Example: lungsev-run outbox --out lungsev-out
    """
    import json
    from dataclasses import asdict

    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from lungsev.errors import LungsevError
    from lungsev.runtime.console import open_console
    from lungsev.runtime.delivery.deliveries import format_minute, read_states

    states = read_states(out)
    if not states:
        raise LungsevError(f"nothing was ever queued in {out}: name `destinations` in the watcher's --config")
    if retry is not None:
        _retry_refused(out, retry, [state.destination for state in states])
        states = read_states(out)
    if json_output:
        print(json.dumps([asdict(state) for state in states]))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("destination", "sent", "waiting", "since", "refused", "reason"):
        table.add_column(head, justify="right" if head in ("sent", "waiting", "refused") else "left")
    for state in states:
        since = "" if state.waiting_since is None else format_minute(state.waiting_since)
        counts = (str(state.sent), str(state.queued), since, str(state.refused))
        table.add_row(state.destination, *counts, state.message or "")
    console = open_console()
    console.print(table)
    if any(state.refused for state in states):
        console.print("Refused files are not sent again by themselves: lungsev-run outbox --retry DESTINATION")


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
