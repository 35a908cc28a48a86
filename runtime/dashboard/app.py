"""The web application: a board, exams, corrections, their audit. Server-rendered; nothing comes from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
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
from lungsev.drawing.overlay import main_scheme
from lungsev.drawing.palette import ink_on, severity_colour
from lungsev.report import DISCLAIMER
from lungsev.runtime.dashboard import views
from lungsev.runtime.dashboard.corrections import Corrections, allowed_grades
from lungsev.runtime.dashboard.live import Live
from lungsev.runtime.dashboard.security import COOKIE, HEADERS, PRIVACY_COOKIE, Access
from lungsev.runtime.delivery.deliveries import describe_unsent, read_deliveries, read_states
from lungsev.runtime.patients.history import Exam, History, exams_of
from lungsev.runtime.patients.trend import patient_trend, sentence

_LONGEST_FORM = 16 * 1024
_CHART = (760.0, 250.0)
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
    """What every route needs."""

    out: Path
    history: History
    corrections: Corrections
    access: Access
    live: Live
    templates: Environment

    def exam(self, exam_id: str) -> tuple[Exam, Mapping[str, Exam]]:
        """Raises HTTPException 404: ids come from the folder, so no other path can be reached by one."""
        exams = self.history.refresh()
        if exam_id not in exams:
            raise HTTPException(404)
        return exams[exam_id], exams

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        html = self.templates.get_template(name).render(
            private=is_private(request), disclaimer=DISCLAIMER, version=__version__, form=self.access.form,
            now=datetime.now(), **values,
        )  # fmt: skip
        return HTMLResponse(html, status)


def create_app(out: Path, token: str, secure_cookie: bool = False) -> FastAPI:
    """The application for one output folder.

    Args:
        token: Without it nothing is served.
        secure_cookie: Set when it is served by HTTPS.
    """
    history = History(out)
    history.refresh()
    templates = Environment(
        loader=PackageLoader("lungsev.runtime.dashboard"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters["shown"] = views.printable
    dashboard = Dashboard(out, history, Corrections(out), Access(token), Live(history), templates)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        watcher = asyncio.create_task(dashboard.live.watch())
        yield
        watcher.cancel()
        dashboard.corrections.close()

    app = FastAPI(title="lungsev", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(_Compressed, minimum_size=1000)
    _add_gate(app, dashboard, secure_cookie)
    _add_pages(app, dashboard)
    _add_corrections(app, dashboard)
    _add_files(app, dashboard)
    return app


class _Compressed(GZipMiddleware):
    """Pages of a large unit stay small. Events are passed on as they come: a compressor would keep them back."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await (self.app if scope.get("path") == "/events" else super().__call__)(scope, receive, send)


def is_private(request: Request) -> bool:
    return request.cookies.get(PRIVACY_COOKIE) == "1"


async def read_form(request: Request) -> dict[str, str]:
    """A small URL-encoded form; one value per field."""
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


def _add_gate(app: FastAPI, dashboard: Dashboard, secure_cookie: bool) -> None:
    @app.middleware("http")
    async def gate(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.query_params.get("token")
        if given is not None and request.method == "GET" and dashboard.access.is_token(given):
            response: Response = RedirectResponse(request.url.path, 303)
            _remember(response, dashboard, secure_cookie)
        elif request.url.path == "/login" or dashboard.access.allows(request):
            response = await proceed(request)
            if request.cookies.get(COOKIE) == dashboard.access.session:
                _remember(response, dashboard, secure_cookie)  # a display on the wall is not logged out
        else:
            response = dashboard.page(request, "login.html", 401, wrong=given is not None)
        for name, value in HEADERS.items():
            response.headers[name] = value
        if "cache-control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        return response

    @app.post("/login")
    async def login(request: Request) -> Response:
        if not dashboard.access.is_token((await read_form(request)).get("token", "").strip()):
            await asyncio.sleep(0.5)  # guessing stays slow
            return dashboard.page(request, "login.html", 401, wrong=True)
        response = RedirectResponse("/", 303)
        _remember(response, dashboard, secure_cookie)
        return response


def _remember(response: Response, dashboard: Dashboard, secure: bool) -> None:
    response.set_cookie(
        COOKIE, dashboard.access.session, max_age=12 * 3600, httponly=True, samesite="strict", secure=secure
    )


def _add_pages(app: FastAPI, dashboard: Dashboard) -> None:
    out = dashboard.out

    def board_values(request: Request) -> dict[str, Any]:
        exams = dashboard.history.refresh()
        board = views.board(exams, dashboard.corrections.standings(), datetime.now(), is_private(request))
        return {
            "board": board,
            "problem": dashboard.live.problem,
            "unsent": describe_unsent(read_states(out), time.time()),
        }

    @app.get("/")
    def board_page(request: Request) -> Response:
        return dashboard.page(request, "board.html", **board_values(request))

    @app.get("/parts/board")
    def board_part(request: Request) -> Response:
        return dashboard.page(request, "_board.html", **board_values(request))

    @app.get("/exams/{exam_id}")
    def exam_page(request: Request, exam_id: str, saved: int = 0, wrong: str = "") -> Response:
        exam, exams = dashboard.exam(exam_id)
        return dashboard.page(
            request, "exam.html", **_exam_values(request, dashboard, exam, exams), saved=saved, wrong=wrong[:200]
        )

    @app.get("/audit")
    def audit_page(request: Request) -> Response:
        rows = views.audit_rows(dashboard.corrections.all(), dashboard.history.refresh(), is_private(request))
        return dashboard.page(request, "audit.html", rows=rows)

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


def _exam_values(request: Request, dashboard: Dashboard, exam: Exam, exams: Mapping[str, Exam]) -> dict[str, Any]:
    images = exams_of(exams, exam.patient)
    place = images.index(exam)
    scored = exam.report.status == "scored"
    scheme = main_scheme(list(exam.report.scores)) if scored else None
    standing = dashboard.corrections.standing(exam, scheme) if scheme else {}
    trend = patient_trend(images, scheme)
    point = next((point for point in trend.points if point.id == exam.id), None) if trend else None
    prior = next((image for image in reversed(images[:place]) if image.report.status == "scored"), None)
    prior_scheme = scheme if prior and scheme in prior.report.scores else None
    prior_standing = dashboard.corrections.standing(prior, prior_scheme) if prior and prior_scheme else {}
    return {
        "exam": exam,
        "report": exam.report,
        "patient": views.patient_label(exam, is_private(request)),
        "scheme": scheme,
        "score": exam.report.scores[scheme] if scheme else None,
        "zones": views.zones(exam, scheme, standing, prior_standing) if scheme else (),
        "standing_total": sum(standing.values()),
        "allowed": allowed_grades(exam, scheme) if scheme else (),
        "grade_names": views.grade_names(scheme) if scheme else (),
        "scheme_title": views.scheme_title(scheme) if scheme else "",
        "corrections": dashboard.corrections.of_radiograph(exam.id),
        "layers": {layer for layer in _LAYERS if _layer_file(dashboard.out, layer, exam.id).is_file()},
        "age": views.age_words(exam.moment, datetime.now()),
        "previous_id": images[place - 1].id if place else None,
        "next_id": images[place + 1].id if place + 1 < len(images) else None,
        "image_number": place + 1,
        "images": list(reversed(images)),
        "prior": prior if prior_scheme and prior and _layer_file(dashboard.out, "image", prior.id).is_file() else None,
        "prior_zones": views.zones(prior, prior_scheme, prior_standing) if prior and prior_scheme else (),
        "prior_total": sum(prior_standing.values()),
        "trend": trend,
        "chart": views.chart(trend, exam.id, *_CHART) if trend else (),
        "chart_size": _CHART,
        "sentence": sentence(point, trend.threshold) if trend and point else None,
        "deliveries": views.delivery_lines(read_deliveries(dashboard.out, exam.id)),
        "region_changes": point.region_changes if point else (),
        "unscored": trend.unscored if trend else 0,
        "side_doubt": any(flag.code == "side_not_verified" for flag in exam.report.quality.flags),
        "standing_total_of": lambda image: sum(
            dashboard.corrections.standing(image, main_scheme(list(image.report.scores))).values()
        ),
        "main_scheme_of": lambda image: image.report.scores[main_scheme(list(image.report.scores))],
    }


def _add_corrections(app: FastAPI, dashboard: Dashboard) -> None:
    @app.post("/exams/{exam_id}/corrections")
    async def correct(request: Request, exam_id: str) -> Response:
        form = await read_form(request)
        if not dashboard.access.is_genuine(request, form.get("form", "")):
            raise HTTPException(403)
        exam, exams = dashboard.exam(exam_id)
        try:
            grades = {name[6:]: int(value) for name, value in form.items() if name.startswith("grade-")}
            changed = dashboard.corrections.add(
                exam, form.get("scheme", ""), grades, form.get("reason", ""), form.get("reader", "")
            )
        except ValueError as error:
            values = _exam_values(request, dashboard, exam, exams)
            return dashboard.page(request, "exam.html", 422, **values, saved=0, wrong=f"Not saved: {error}.")
        await dashboard.live.announce()
        return RedirectResponse(f"/exams/{exam_id}?saved={changed}#corrections", 303)


def _add_files(app: FastAPI, dashboard: Dashboard) -> None:
    @app.get("/exams/{exam_id}/{layer}.png")
    def layer_file(exam_id: str, layer: str) -> Response:
        exam, _ = dashboard.exam(exam_id)
        if layer not in _LAYERS or not _layer_file(dashboard.out, layer, exam.id).is_file():
            raise HTTPException(404)
        path = _layer_file(dashboard.out, layer, exam.id)
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


def palette_css() -> str:
    """The grades' colours as classes, from the same palette as the pictures."""
    lines = []
    for step in range(views.SEVERITY_STEPS + 1):
        colour = severity_colour(step / views.SEVERITY_STEPS)
        lines.append(f".sev-{step}{{--sev:rgb{colour};--sev-ink:rgb{ink_on(colour)}}}")
    stops = ",".join(f"rgb{severity_colour(step / views.SEVERITY_STEPS)}" for step in range(views.SEVERITY_STEPS + 1))
    lines.append(f".ramp{{background:linear-gradient(to right,{stops})}}")
    return "\n".join(lines) + "\n"


def _layer_file(out: Path, layer: str, exam_id: str) -> Path:
    """`watch` keeps layers in folders; `score --out` writes the overlay beside the report."""
    path = out / _LAYERS[layer] / f"{exam_id}.png"
    return path if path.is_file() or layer != "overlay" else out / f"{exam_id}.png"
