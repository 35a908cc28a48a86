"""What readers send from the page of an image: corrected grades."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from lungsev.runtime.dashboard.web.errors import WORDS
from lungsev.runtime.dashboard.web.forms import grades_of, read_form
from lungsev.runtime.dashboard.web.state import Dashboard


def add_corrections(app: FastAPI, dashboard: Dashboard) -> None:
    """Add the routes of the forms. What was entered stays on the page when it could not be saved."""

    @app.post("/exams/{exam_id}/corrections")
    async def correct(request: Request, exam_id: str) -> Response:
        form = await read_form(request)
        exam = dashboard.exam(exam_id)
        if not dashboard.access.is_genuine(request, form.get("form", "")):
            wrong = f"{WORDS[403].title}. {WORDS[403].advice}"
            page = dashboard.exam_page(request, exam_id, wrong=wrong, entered=form)
            return dashboard.render(request, "exam.html", 403, page=page)
        try:
            changed = dashboard.corrections.add(
                exam, form.get("scheme", ""), grades_of(form), form.get("reason", ""), form.get("reader", "")
            )
        except ValueError as error:
            page = dashboard.exam_page(request, exam_id, wrong=f"Not saved: {error}.", entered=form)
            return dashboard.render(request, "exam.html", 422, page=page)
        await dashboard.live.announce([exam.course])
        return RedirectResponse(f"/exams/{exam_id}?saved={changed}#corrections", 303)
