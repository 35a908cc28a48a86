"""`lungsev-run dashboard`: serve the unit board and the exam pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.runtime.commands.options import ConfigOption


def dashboard(
    out: Annotated[Path | None, typer.Argument(help="The folder that watch writes to.  [default: lungsev-out]")] = None,
    config: ConfigOption = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on.  [default: 127.0.0.1, this machine only]")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free port.  [default: 8080]")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the token, mode 600. Default: a token kept in OUT and printed."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="PEM file of the certificate; switches HTTPS on.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", help="PEM file of the key of the certificate.")] = None,
    public_url: Annotated[
        str | None, typer.Option("--public-url", help="Address in browsers, where a proxy stands before the dashboard.")
    ] = None,
    settings_json: Annotated[str | None, typer.Option("--settings", hidden=True)] = None,
) -> None:
    """Serve the unit board and the exam pages to browsers.

    Open the address it prints. Without the token nothing is served; the pages load nothing from other servers.

    Example: lungsev-run dashboard lungsev-out
    """
    from lungsev.config import load_model
    from lungsev.runtime.dashboard.serve import serve_dashboard
    from lungsev.runtime.settings import BedsideSettings

    if settings_json is not None:  # from the watcher, which has read the file already
        settings = BedsideSettings.model_validate_json(settings_json)
    else:
        overrides = {
            "dashboard.host": host,
            "dashboard.port": port,
            "dashboard.token_file": token_file,
            "dashboard.tls_certificate": certificate,
            "dashboard.tls_key": key,
            "dashboard.public_url": public_url,
        }
        settings = load_model(BedsideSettings, config, overrides)
    serve_dashboard(out or settings.watch.out or Path("lungsev-out"), settings)
