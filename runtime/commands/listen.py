"""`lungsev-run listen`: receive images by DICOM into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.runtime.commands.options import ConfigOption


def listen(
    inbox: Annotated[
        Path | None, typer.Argument(help="Folder for received images, usually the watched folder.")
    ] = None,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.  [default: 11112]")] = None,
    ae_title: Annotated[str | None, typer.Option("--ae-title", help="Own AE title.  [default: LUNGSEV]")] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="Address or network that may send; can be repeated.")
    ] = None,
    allow_ae: Annotated[
        list[str] | None, typer.Option("--allow-ae", help="AE title that may send; can be repeated.")
    ] = None,
    settings_json: Annotated[str | None, typer.Option("--settings", hidden=True)] = None,
) -> None:
    """Receive images by DICOM (C-STORE) into a folder, for `watch` to score.

    A sender is told "success" only after its image has been flushed to the disk. Only this machine may send until
    --allow names others. TLS, limits and storage commitment are settings of the file. Needs the extra "bedside".

    Example: lungsev-run listen /incoming --ae-title LUNGSEV --host 10.1.2.3 --allow 10.1.2.0/24
    """
    import threading

    from lungsev.config import load_model
    from lungsev.errors import LungsevError
    from lungsev.runtime.dicom.listener import listening
    from lungsev.runtime.logs import logging_to
    from lungsev.runtime.settings import BedsideSettings
    from lungsev.runtime.watcher.watcher import stop_on_signals

    if settings_json is not None:  # from the watcher, which has read the file already
        settings = BedsideSettings.model_validate_json(settings_json)
    else:
        overrides = {
            "listen.host": host,
            "listen.port": port,
            "listen.ae_title": ae_title,
            "listen.allowed_addresses": allow or None,
            "listen.allowed_ae_titles": allow_ae or None,
        }
        settings = load_model(BedsideSettings, config, overrides)
    own = settings.listen
    folder = inbox or own.inbox or settings.watch.incoming
    if folder is None:
        raise LungsevError("no inbox: give INBOX, or listen.inbox or watch.incoming in the file of --config")
    stop = threading.Event()
    stop_on_signals(stop)
    with logging_to(None, "info"), listening(folder, own, settings.watch.min_free_mb) as listener:
        print(f"listening as {own.ae_title} on {own.host}:{listener.port}, images go to {folder}", flush=True)
        stop.wait()
