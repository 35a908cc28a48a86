"""`lungsev-run dashboard`: serve the unit board and the exam pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def dashboard(
    out: Annotated[Path, typer.Argument(help="The folder that watch writes to.")] = Path("lungsev-out"),
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; the default is this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free port.")] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the token, mode 600. Default: a token kept in OUT and printed."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="PEM file of the certificate; switches HTTPS on.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--tls-key", help="PEM file of the key of the certificate.")] = None,
) -> None:
    """Serve the unit board and the exam pages to browsers.

    Open the address it prints. Without the token nothing is served; the pages load nothing from other servers.

    Example: lungsev-run dashboard lungsev-out
    """
    from lungsev.runtime.dashboard.serve import serve_dashboard

    serve_dashboard(out, host, port, token_file, certificate, key)
