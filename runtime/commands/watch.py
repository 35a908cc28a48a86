"""`lungsev-run watch`: watch a folder and score what arrives."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from lungsev.runtime.commands.options import (
    BackendOverride,
    BundleOption,
    ConfigOption,
    IncomingArgument,
    JsonLinesOption,
    ThreadsOption,
    WatchOutOption,
)

if TYPE_CHECKING:
    from rich.console import Console

    from lungsev.runtime.watcher.layout import Layout
    from lungsev.runtime.watcher.scoring import FinishedImage


def watch(
    incoming: IncomingArgument = None,
    out: WatchOutOption = None,
    config: ConfigOption = None,
    once: Annotated[bool, typer.Option("--once", help="Score what is there, then exit.")] = False,
    leave_in_place: Annotated[
        bool | None,
        typer.Option("--leave-in-place/--take", help="Copy images instead of moving them, for read-only shares."),
    ] = None,
    bundle: BundleOption = None,
    backend: BackendOverride = None,
    threads: ThreadsOption = None,
    dashboard: Annotated[
        bool | None, typer.Option("--dashboard", help="Also serve the dashboard and print its address.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port of the dashboard.  [default: 8080]")
    ] = None,
    json_lines: JsonLinesOption = False,
) -> None:
    """Watch a folder and score what arrives, for months.

    A file is taken once it has settled and is structurally complete. The folder of --out holds reports/<id>.json and
    overlays/<id>.png of every image with a result (scored, or skipped with a reason), quarantine/ with the images that
    could not be read and a <id>.reason.json each, archive/ with the originals of all others (nothing is deleted
    unless watch.originals or watch.retention say so), ledger.sqlite and log/.

    Stop it with Ctrl-C or SIGTERM: it finishes the current image first. After a restart it continues where it
    stopped, also after kill -9 or a power loss. Exit code 3: another watcher holds one of the folders.

    Example: lungsev-run watch /incoming --out /var/lib/lungsev
    """
    import threading

    from lungsev.config import load_model
    from lungsev.errors import ConfigError
    from lungsev.runtime.console import count_noun, open_console
    from lungsev.runtime.logs import ignore_log_errors, logging_to
    from lungsev.runtime.settings import BedsideSettings
    from lungsev.runtime.watcher.layout import Layout
    from lungsev.runtime.watcher.watcher import Watcher, default_out, prepare_folders, stop_on_signals

    overrides = {
        "watch.incoming": incoming,
        "watch.out": out,
        "watch.leave_in_place": leave_in_place,
        "model.bundle": bundle,
        "model.backend": backend,
        "model.threads": threads,
        "dashboard.enabled": dashboard,
        "dashboard.port": port,
    }
    settings = load_model(BedsideSettings, config, overrides)
    if settings.watch.incoming is None:
        raise ConfigError("no folder to watch: give INCOMING, or watch.incoming in the file of --config")
    incoming = settings.watch.incoming
    layout = Layout(settings.watch.out or default_out(incoming))
    stop = threading.Event()
    stop_on_signals(stop)
    ignore_log_errors()
    watcher = Watcher(incoming, layout, settings)
    console = open_console()
    watcher.on_finished = _json_printer(layout) if json_lines else _line_printer(console)
    prepare_folders(incoming, layout, settings)
    with logging_to(layout.log, settings.log_level):
        watcher.run(stop, once)
    if once and not json_lines:
        console.print(f"{count_noun(watcher.finished_count, 'image')} processed; results in {layout.root}")


def _line_printer(console: Console) -> Callable[[FinishedImage], None]:
    from lungsev.runtime.console import report_line

    def show(ended: FinishedImage) -> None:
        if ended.report is not None:
            console.print(f"{report_line(ended.image.id, ended.report)}  {ended.seconds:.1f} s")
        else:
            console.print(f"{ended.image.id}  quarantined  {ended.code}")

    return show


def _json_printer(layout: Layout) -> Callable[[FinishedImage], None]:
    def show(ended: FinishedImage) -> None:
        result = layout.reason_file(ended.image) if ended.report is None else layout.reports / f"{ended.image.id}.json"
        line = {
            "id": ended.image.id,
            "state": ended.state,
            "code": ended.code,
            "seconds": round(ended.seconds, 3),
            "result": str(result),
        }
        print(json.dumps(line), flush=True)

    return show
