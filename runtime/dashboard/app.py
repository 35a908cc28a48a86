"""The web application: unit board, exam page, corrections, audit. Rendered on the server, without foreign assets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, StreamingResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from lungsev import __version__
from lungsev.report import DISCLAIMER
from lungsev.runtime.console import count_noun
from lungsev.runtime.dashboard.audit_page import audit_page
from lungsev.runtime.dashboard.board_page import BoardPage, board_page
from lungsev.runtime.dashboard.corrections import Corrections
from lungsev.runtime.dashboard.exam_page import ExamPage, exam_page
from lungsev.runtime.dashboard.formatting import printable
from lungsev.runtime.dashboard.live import Live
from lungsev.runtime.dashboard.security import COOKIE, HEADERS, PRIVACY_COOKIE, Access
from lungsev.runtime.dashboard.style import palette_css
from lungsev.runtime.delivery.deliveries import describe_unsent, read_deliveries, read_states
from lungsev.runtime.patients.history import Exam, History

_LONGEST_FORM = 16 * 1024
_LAYERS = {"image": "images", "map": "maps", "overlay": "overlays"}
_STATIC = {
    "app.css": "text/css",
    "app.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "htmx-2.0.11.min.js": "text/javascript",
    "inter-400.woff": "font/woff",
    "inter-600.woff": "font/woff",
}


@dataclass(frozen=True)
class Dashboard:
    """What the routes share: the folder's reports and corrections, access, templates."""

    out: Path
    history: History
    corrections: Corrections
    access: Access
    live: Live
    templates: Environment

    def exam(self, exam_id: str) -> tuple[Exam, Mapping[str, Exam]]:
        """Return an exam and all exams.

        Ids are looked up among the reports of the folder, so that no other path can be reached by one.

        Raises:
            HTTPException: 404, there is no such exam.
        """
        exams = self.history.refresh()
        if exam_id not in exams:
            raise HTTPException(404)
        return exams[exam_id], exams

    def board_page(self, request: Request) -> BoardPage:
        """Make the board as it is now."""
        return board_page(
            self.history.refresh(),
            self.corrections.corrected_grades(),
            datetime.now().astimezone(),
            private=is_private(request),
            problem=self.live.problem,
            unsent=describe_unsent(read_states(self.out), time.time()),
        )

    def exam_page(self, request: Request, exam_id: str, saved: int = 0, wrong: str = "") -> ExamPage:
        """Make the page of an image as it is now."""
        exam, exams = self.exam(exam_id)
        page = exam_page(
            exam,
            exams,
            self.corrections.corrected_grades(),
            datetime.now().astimezone(),
            layers_of=lambda image: [layer for layer in _LAYERS if _layer_file(self.out, layer, image).is_file()],
            corrections=self.corrections.of_image(exam.id),
            deliveries=read_deliveries(self.out, exam.id),
            private=is_private(request),
        )
        return replace(page, saved=saved, wrong=wrong)

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a template with what every page needs."""
        html = self.templates.get_template(template).render(
            private=is_private(request), disclaimer=DISCLAIMER, version=__version__, form=self.access.form, **values
        )
        return HTMLResponse(html, status)

    def sign_in(self, request: Request, response: Response) -> None:
        """Set the session cookie, for twelve hours; a browser that came by HTTPS sends it by HTTPS only."""
        response.set_cookie(
            COOKIE,
            self.access.session,
            max_age=12 * 3600,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",  # also where a proxy on this machine says so
        )


def create_app(out: Path, token: str, public_url: str | None = None) -> FastAPI:
    """Create the application for one output folder.

    Args:
        out: A watcher's output folder, or the folder given to `score --out`.
        token: Requests without it are refused.
        public_url: Address of the dashboard in browsers, where it stands behind a proxy.
    """
    history = History(out)
    history.refresh()
    templates = Environment(
        loader=PackageLoader("lungsev.runtime.dashboard"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {"shown": printable, "count_noun": count_noun}
    dashboard = Dashboard(out, history, Corrections(out), Access(token, public_url), Live(history), templates)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        watcher = asyncio.create_task(dashboard.live.watch())
        yield
        watcher.cancel()
        dashboard.corrections.close()

    app = FastAPI(title="lungsev", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(_Compressed, minimum_size=1000)
    _add_gate(app, dashboard)
    _add_pages(app, dashboard)
    _add_corrections(app, dashboard)
    _add_files(app, dashboard)
    return app


class _Compressed(GZipMiddleware):
    """Compression of pages. Events are passed on at once: a compressor would hold them back."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await (self.app if scope.get("path") == "/events" else super().__call__)(scope, receive, send)


def is_private(request: Request) -> bool:
    """Whether this browser hides patient ids."""
    return request.cookies.get(PRIVACY_COOKIE) == "1"


async def read_form(request: Request) -> dict[str, str]:
    """Read a small URL-encoded form; of a repeated field the last value counts.

    Raises:
        HTTPException: 413 or 400, the form is too large or is not UTF-8.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413)
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise HTTPException(400) from None
    return {name: values[-1] for name, values in fields.items()}


def _add_gate(app: FastAPI, dashboard: Dashboard) -> None:
    @app.middleware("http")
    async def gate(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.query_params.get("token")
        if given is not None and request.method == "GET" and dashboard.access.is_token(given):
            response: Response = RedirectResponse(request.url.path, 303)
            dashboard.sign_in(request, response)
        elif request.url.path == "/login" or dashboard.access.allows(request):
            response = await proceed(request)
            if request.cookies.get(COOKIE) == dashboard.access.session:
                dashboard.sign_in(request, response)  # a display on the wall is not logged out
        else:
            response = dashboard.render(request, "login.html", 401, wrong=given is not None)
        for name, value in HEADERS.items():
            response.headers[name] = value
        if "cache-control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.post("/login")
    async def login(request: Request) -> Response:
        if not dashboard.access.is_token((await read_form(request)).get("token", "").strip()):
            await asyncio.sleep(0.5)  # slows down guessing
            return dashboard.render(request, "login.html", 401, wrong=True)
        response = RedirectResponse("/", 303)
        dashboard.sign_in(request, response)
        return response


def _add_pages(app: FastAPI, dashboard: Dashboard) -> None:
    @app.get("/")
    def board(request: Request) -> Response:
        return dashboard.render(request, "board.html", page=dashboard.board_page(request))

    @app.get("/parts/board")
    def board_part(request: Request) -> Response:
        return dashboard.render(request, "_board.html", page=dashboard.board_page(request))

    @app.get("/exams/{exam_id}")
    def exam(request: Request, exam_id: str, saved: int = 0, wrong: str = "") -> Response:
        return dashboard.render(request, "exam.html", page=dashboard.exam_page(request, exam_id, saved, wrong[:200]))

    @app.get("/audit")
    def audit(request: Request) -> Response:
        page = audit_page(dashboard.corrections.all(), dashboard.history.refresh(), private=is_private(request))
        return dashboard.render(request, "audit.html", page=page)

    @app.post("/privacy")
    async def privacy(request: Request) -> Response:
        form = await read_form(request)
        if not dashboard.access.is_genuine(request, form.get("form", "")):
            raise HTTPException(403)
        back = form.get("back", "/")
        response = RedirectResponse(back if back.startswith("/") and not back.startswith("//") else "/", 303)
        response.set_cookie(
            PRIVACY_COOKIE, form.get("private", "0")[:1], max_age=30 * 86400, httponly=True, samesite="strict"
        )
        return response

    @app.get("/events")
    async def events() -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(dashboard.live.events(), media_type="text/event-stream", headers=headers)


def _add_corrections(app: FastAPI, dashboard: Dashboard) -> None:
    @app.post("/exams/{exam_id}/corrections")
    async def correct(request: Request, exam_id: str) -> Response:
        form = await read_form(request)
        if not dashboard.access.is_genuine(request, form.get("form", "")):
            raise HTTPException(403)
        exam, _ = dashboard.exam(exam_id)
        try:
            changed = dashboard.corrections.add(
                exam, form.get("scheme", ""), _grades(form), form.get("reason", ""), form.get("reader", "")
            )
        except ValueError as error:
            page = dashboard.exam_page(request, exam_id, wrong=f"Not saved: {error}.")
            return dashboard.render(request, "exam.html", 422, page=page)
        await dashboard.live.announce()
        return RedirectResponse(f"/exams/{exam_id}?saved={changed}#corrections", 303)


def _grades(form: Mapping[str, str]) -> dict[str, int]:
    """Return the grade of each region in a form; ValueError when one is not a number."""
    fields = {name.removeprefix("grade-"): value for name, value in form.items() if name.startswith("grade-")}
    for region, value in fields.items():
        if not (value.isascii() and value.isdigit()):
            raise ValueError(f"the grade of region {region} is not a number")
    return {region: int(value) for region, value in fields.items()}


def _add_files(app: FastAPI, dashboard: Dashboard) -> None:
    @app.get("/exams/{exam_id}/{layer}.png")
    def layer_file(exam_id: str, layer: str) -> Response:
        exam, _ = dashboard.exam(exam_id)
        path = _layer_file(dashboard.out, layer, exam.id) if layer in _LAYERS else None
        if path is None or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    @app.get("/static/palette.css")
    def palette() -> Response:
        return Response(palette_css(), media_type="text/css", headers={"Cache-Control": "private, max-age=3600"})

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in _STATIC:
            raise HTTPException(404)
        package = "lungsev.drawing" if name.endswith(".woff") else "lungsev.runtime.dashboard"
        folder = "fonts" if name.endswith(".woff") else "static"
        data = (resources.files(package) / folder / name).read_bytes()
        return Response(data, media_type=_STATIC[name], headers={"Cache-Control": "private, max-age=3600"})


def _layer_file(out: Path, layer: str, exam_id: str) -> Path:
    """Return a layer's path: `watch` keeps layers in folders, `score --out` writes the overlay beside the report."""
    path = out / _LAYERS[layer] / f"{exam_id}.png"
    return path if path.is_file() or layer != "overlay" else out / f"{exam_id}.png"
