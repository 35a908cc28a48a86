"""The pages: board, exam, corrections; what their scripts ask for; the stream of events."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse

from lungsev.runtime.dashboard.pages.exam_page import OUTCOMES, state_of
from lungsev.runtime.dashboard.security import PRIVACY_COOKIE
from lungsev.runtime.dashboard.web.assets import LAYERS, layer_file
from lungsev.runtime.dashboard.web.forms import own_path, read_form
from lungsev.runtime.dashboard.web.signing import signer_of
from lungsev.runtime.dashboard.web.state import Dashboard, is_private

_BOARDS_KEPT = 8


def add_pages(app: FastAPI, dashboard: Dashboard) -> None:
    """Add what browsers show."""

    @app.get("/")
    def board(request: Request, page: int = 1, find: str = "") -> Response:
        return dashboard.render(request, "board.html", page=dashboard.board_page(request, page, find))

    @app.get("/earlier")
    def earlier(request: Request, page: int = 1, find: str = "") -> Response:
        return dashboard.render(request, "earlier.html", page=dashboard.earlier_page(request, page, find))

    @app.get("/files")
    def files(request: Request, page: int = 1) -> Response:
        return dashboard.render(request, "files.html", page=dashboard.files_page(request, page))

    @app.get("/exams/{exam_id}")
    def exam(request: Request, exam_id: str, saved: str = "") -> Response:
        page = dashboard.exam_page(request, exam_id, outcome=OUTCOMES.get(saved, ""))
        return dashboard.render(request, "exam.html", page=page, signer=signer_of(request))

    @app.get("/audit")
    def audit(request: Request, page: int = 1) -> Response:
        page_shown = dashboard.audit_page(request, page)
        return dashboard.render(request, "audit.html", page=page_shown, signer=signer_of(request))

    @app.post("/privacy")
    async def privacy(request: Request) -> Response:
        form = await read_form(request)
        if not dashboard.access.is_genuine(request, form.get("form", "")):
            raise HTTPException(403)
        response = RedirectResponse(own_path(form.get("back")), 303)
        response.set_cookie(
            PRIVACY_COOKIE, form.get("private", "0")[:1], max_age=30 * 86400, httponly=True, samesite="strict"
        )
        return response


def add_parts(app: FastAPI, dashboard: Dashboard) -> None:
    """Add what open pages ask for: the board again, the state of a patient, pictures, events."""
    boards: OrderedDict[tuple[object, ...], tuple[bytes, str]] = OrderedDict()  # every tab asks for the same

    @app.get("/parts/board")
    def board_part(request: Request, page: int = 1, find: str = "") -> Response:
        key = (dashboard.board_version(), is_private(request), page, find)
        known = boards.get(key)
        if known is None:
            body = dashboard.render(request, "_board.html", page=dashboard.board_page(request, page, find)).body
            known = bytes(body), f'"{hashlib.sha256(body).hexdigest()[:24]}"'
            boards[key] = known
            while len(boards) > _BOARDS_KEPT:
                boards.popitem(last=False)
        headers = {"ETag": known[1]}
        if known[1] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return HTMLResponse(known[0], headers=headers)

    @app.get("/exams/{exam_id}/state")
    def state(request: Request, exam_id: str) -> Response:
        exam = dashboard.exam(exam_id)
        return JSONResponse({"state": state_of(dashboard.record.course_of(exam))})

    @app.get("/exams/{exam_id}/{layer}.png")
    def picture(exam_id: str, layer: str) -> Response:
        exam = dashboard.exam(exam_id)
        path = layer_file(dashboard.out, layer, exam.id) if layer in LAYERS else None
        if path is None or not path.is_file():
            raise HTTPException(404)
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    @app.get("/events")
    async def events() -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(dashboard.live.events(), media_type="text/event-stream", headers=headers)
