"""`lungsev-run listen-hl7`: receive merges of patients by HL7."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.runtime.commands.options import ConfigOption


def listen_hl7(
    out: Annotated[Path | None, typer.Argument(help="The folder that watch writes to.  [default: lungsev-out]")] = None,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on.  [default: 2575]")] = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="Address or network that may send; can be repeated.")
    ] = None,
    settings_json: Annotated[str | None, typer.Option("--settings", hidden=True)] = None,
) -> None:
    """Receive merges of patients (HL7 v2 ADT^A40, MLLP) from the hospital's patient index.

    A sender is told AA only after the decision is on the disk. Only this machine may send until --allow names others.
    A watcher starts it by itself where hl7_listen.enabled is set.

    Example: lungsev-run listen-hl7 lungsev-out --host 10.1.2.3 --allow 10.1.2.0/24
    """
    import contextlib
    import threading

    from lungsev.config import load_model
    from lungsev.errors import LungsevError
    from lungsev.runtime.hl7.listener import MergeListener
    from lungsev.runtime.hl7.merge_recorder import MergeRecorder
    from lungsev.runtime.logs import logging_to
    from lungsev.runtime.settings import BedsideSettings
    from lungsev.runtime.watcher.watcher import stop_on_signals

    if settings_json is not None:  # from the watcher, which has read the file already
        settings = BedsideSettings.model_validate_json(settings_json)
    else:
        overrides = {"hl7_listen.host": host, "hl7_listen.port": port, "hl7_listen.allowed_addresses": allow or None}
        settings = load_model(BedsideSettings, config, overrides)
    folder = out or settings.watch.out or Path("lungsev-out")
    if not folder.is_dir():
        raise LungsevError(f"found no folder {folder}; expected the one that watch writes to")
    stop = threading.Event()
    stop_on_signals(stop)
    with logging_to(None, "info"), contextlib.closing(MergeRecorder(folder, settings.site.issuer)) as recorder:
        own = settings.hl7_listen
        with MergeListener(own, recorder.record) as listener:
            print(f"listening for HL7 on {own.host}:{listener.port}, decisions go to {folder}", flush=True)
            stop.wait()
