"""The gate before every route: token or session, security headers, and what no route expected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import RedirectResponse

from lungsev.runtime.dashboard.security import COOKIE, HEADERS
from lungsev.runtime.dashboard.web.errors import asks_for_json, error_answer
from lungsev.runtime.dashboard.web.forms import own_path, read_form
from lungsev.runtime.dashboard.web.state import Dashboard
from lungsev.runtime.logs import describe_error

log = logging.getLogger("lungsev.runtime.dashboard")


def add_gate(app: FastAPI, dashboard: Dashboard) -> None:
    """Let only those with the token pass; sign in those who bring it."""
    app.add_middleware(_Compressed, minimum_size=1000)

    @app.middleware("http")
    async def gate(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.data_version = dashboard.live.version
        response = await _answer(dashboard, request, proceed)
        for name, value in HEADERS.items():
            response.headers[name] = value
        if "cache-control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/login")
    def login_page() -> Response:
        return RedirectResponse("/", 303)

    @app.post("/login")
    async def login(request: Request) -> Response:
        form = await read_form(request)
        then = own_path(form.get("then"))
        if not dashboard.access.is_token(form.get("token", "").strip()):
            await asyncio.sleep(0.5)  # slows down guessing
            return dashboard.render(request, "login.html", 401, wrong=True, then=then)
        response = RedirectResponse(then, 303)
        dashboard.sign_in(request, response)
        return response


async def _answer(
    dashboard: Dashboard, request: Request, proceed: Callable[[Request], Awaitable[Response]]
) -> Response:
    given = request.query_params.get("token")
    path = request.url.path
    if given is not None and request.method == "GET" and dashboard.access.is_token(given):
        response: Response = RedirectResponse(path, 303)
        dashboard.sign_in(request, response)
        return response
    is_open = path.startswith("/static/") or (path == "/login" and request.method == "POST")
    if not (is_open or dashboard.access.allows(request)):
        if asks_for_json(request):
            return error_answer(dashboard, request, 401)
        then = path if request.method == "GET" else own_path(request.headers.get("referer"))
        return dashboard.render(request, "login.html", 401, wrong=given is not None, then=then)
    try:
        response = await proceed(request)
    except Exception as error:  # a bug must not end as an empty page
        log.error("a page could not be made: %s", describe_error(error))
        response = error_answer(dashboard, request, 500)
    if request.cookies.get(COOKIE) == dashboard.access.session:
        dashboard.sign_in(request, response)  # a display on the wall is not logged out
    return response


class _Compressed(GZipMiddleware):
    """Compression of pages. Events are passed on at once: a compressor would hold them back."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await (self.app if scope.get("path") == "/events" else super().__call__)(scope, receive, send)
