"""Serve the dashboard on a port, with or without TLS."""

from __future__ import annotations

import gc
import importlib.util
import ipaddress
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lungsev.errors import LungsevError, MissingExtraError
from lungsev.runtime.settings import BedsideSettings, DashboardSettings

if TYPE_CHECKING:
    from fastapi import FastAPI


def serve_dashboard(out: Path, bedside: BedsideSettings) -> None:
    """Serve the dashboard of an output folder until told to stop.

    Raises:
        LungsevError: The folder, the token or the address cannot be used.
    """
    require_dashboard()
    import uvicorn

    from lungsev.runtime.dashboard.connections import limited_config
    from lungsev.runtime.dashboard.security import keep_token, read_token

    settings = bedside.dashboard
    if not out.is_dir():
        raise LungsevError(f"found no folder {out}; expected the one that watch writes to")
    check_tls_files(settings)
    token = read_token(settings.token_file) if settings.token_file is not None else keep_token(out)
    config = limited_config(
        _load(out, token, bedside),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    server = uvicorn.Server(config)
    try:
        listener = config.bind_socket()
    except SystemExit:
        raise LungsevError(
            f"cannot listen on {settings.host} port {settings.port}: another program has it, or this user may not use "
            "it; choose another --port"
        ) from None
    _greet(settings, listener.getsockname()[1], token if settings.token_file is None else None)
    server.run(sockets=[listener])


def _load(out: Path, token: str, bedside: BedsideSettings) -> FastAPI:
    """Create the application. The garbage collector leaves alone what it has read: reports stay."""
    from lungsev.runtime.dashboard.app import create_app

    gc.disable()
    try:
        return create_app(out, token, bedside)
    finally:
        gc.freeze()
        gc.enable()


def require_dashboard() -> None:
    """Raise MissingExtraError unless the packages of the extra "bedside" are installed."""
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "jinja2")):
        raise MissingExtraError("the dashboard", "bedside")


def check_tls_files(settings: DashboardSettings) -> None:
    """Load the TLS files, where there are some.

    Raises:
        LungsevError: They cannot be used.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is one
        reason = "" if isinstance(error, ssl.SSLError) else f": {error.strerror or type(error).__name__}"
        raise LungsevError(
            f"cannot use {certificate} and {key}{reason}; expected PEM files of a certificate and of its key, "
            "without a password, that this user may read"
        ) from None


def _greet(settings: DashboardSettings, port: int, token: str | None) -> None:
    host, encrypted = settings.host, settings.tls_certificate is not None
    shown = f"[{host}]" if ":" in host else host
    address = settings.public_url or f"{'https' if encrypted else 'http'}://{shown}:{port}"
    print(f"dashboard: {address}/{f'?token={token}' if token else ''}", flush=True)
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
