"""The web application: unit board, exam page, corrections, audit. Rendered on the server, without foreign assets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from jinja2 import Environment, PackageLoader, StrictUndefined

from lungsev.runtime.console import count_noun
from lungsev.runtime.dashboard.live import Live
from lungsev.runtime.dashboard.pages.formatting import printable
from lungsev.runtime.dashboard.security import Access
from lungsev.runtime.dashboard.web.api import add_api
from lungsev.runtime.dashboard.web.assets import add_assets
from lungsev.runtime.dashboard.web.errors import add_error_pages
from lungsev.runtime.dashboard.web.gate import add_gate
from lungsev.runtime.dashboard.web.routes import add_pages, add_parts
from lungsev.runtime.dashboard.web.signing import add_signing
from lungsev.runtime.dashboard.web.state import Dashboard
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.record import Record
from lungsev.runtime.settings import BedsideSettings


def create_app(out: Path, token: str, settings: BedsideSettings | None = None) -> FastAPI:
    """Create the application for one output folder.

    Args:
        out: A watcher's output folder, or the folder given to `score --out`.
        token: Requests without it are refused.
        settings: Those of the bedside computer; None: the defaults.
    """
    settings = settings or BedsideSettings()
    decisions = Decisions(out)
    record = Record(out, decisions).update(every_file=True)
    access = Access(token, settings.dashboard.public_url)
    live = Live(record, access.alias)
    dashboard = Dashboard(out, record, decisions, access, live, settings, _templates())

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        watcher = asyncio.create_task(live.watch())
        yield
        watcher.cancel()
        decisions.close()

    app = FastAPI(title="lungsev", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    dashboard.prepare()
    add_gate(app, dashboard)
    add_error_pages(app, dashboard)
    add_pages(app, dashboard)
    add_parts(app, dashboard)
    add_signing(app, dashboard)
    add_api(app, dashboard)
    add_assets(app)
    return app


def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("lungsev.runtime.dashboard"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {"shown": printable, "count_noun": count_noun}
    return templates
