"""Serve the dashboard on a port, with or without TLS."""

from __future__ import annotations

import importlib.util
import ipaddress
import sys
from pathlib import Path

from lungsev.errors import LungsevError, MissingExtraError


def serve_dashboard(
    out: Path,
    host: str,
    port: int,
    token_file: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Serve the dashboard until told to stop.

    Raises:
        LungsevError: The folder, the token or the address cannot be used.
    """
    require_dashboard()
    import uvicorn

    from lungsev.runtime.dashboard.app import create_app
    from lungsev.runtime.dashboard.security import keep_token, read_token

    if not out.is_dir():
        raise LungsevError(f"found no folder {out}; expected the one that watch writes to")
    if (certificate is None) != (key is None):
        raise LungsevError("a certificate and a key belong together: give both or neither")
    token = read_token(token_file) if token_file is not None else keep_token(out)
    config = uvicorn.Config(
        create_app(out, token, secure_cookie=certificate is not None),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    try:
        listener = config.bind_socket()
    except SystemExit:
        raise LungsevError(
            f"cannot listen on {host} port {port}: another program has it, or this user may not use it; "
            "choose another --port"
        ) from None
    _greet(host, listener.getsockname()[1], token if token_file is None else None, certificate is not None)
    server.run(sockets=[listener])


def require_dashboard() -> None:
    """Raise MissingExtraError unless the packages of the extra "bedside" are installed."""
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "jinja2")):
        raise MissingExtraError("the dashboard", "bedside")


def _greet(host: str, port: int, token: str | None, encrypted: bool) -> None:
    shown = f"[{host}]" if ":" in host else host
    address = f"{'https' if encrypted else 'http'}://{shown}:{port}/"
    print(f"dashboard: {address}{f'?token={token}' if token else ''}", flush=True)
    if not encrypted and not _is_loopback(host):
        print(
            "warning: other machines can reach this dashboard and nothing is encrypted; "
            "give --tls-certificate and --tls-key, or put it behind a proxy that encrypts",
            file=sys.stderr,
            flush=True,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
