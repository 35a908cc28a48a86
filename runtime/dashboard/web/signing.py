"""What people sign on the pages: corrected grades, agreements, decisions about identities, and what is taken back.

A form that could not be saved is shown again with what was entered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from lungsev.runtime.dashboard.pages.identity_panel import patients_of
from lungsev.runtime.dashboard.web.errors import WORDS
from lungsev.runtime.dashboard.web.forms import grades_of, read_form
from lungsev.runtime.dashboard.web.state import Dashboard
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.patient_course import PatientCourse

SIGNER_COOKIE = "lungsev_signer"
Form = Mapping[str, str]
Action = Callable[[Dashboard, Request, Exam, Form], str]


def add_signing(app: FastAPI, dashboard: Dashboard) -> None:
    """Add the routes of the forms."""
    for name, action in _ACTIONS.items():
        _add_action(app, dashboard, name, action)

    @app.post("/audit/undo")
    async def undo(request: Request) -> Response:
        form = await read_form(request)
        wrong = "" if dashboard.access.is_genuine(request, form.get("form", "")) else _foreign()
        status = 403
        if not wrong:
            try:
                seq = form.get("seq", "")
                number = int(seq) if seq.isascii() and seq.isdigit() else 0
                dashboard.decisions.undo(number, form.get("reason", ""), form.get("reader", ""))
                return _signed(RedirectResponse("/audit", 303), form)
            except ValueError as error:
                wrong, status = f"Not taken back: {error}.", 422
        page = dashboard.audit_page(request, wrong=wrong)
        return dashboard.render(request, "audit.html", status, page=page, signer=signer_of(request))


def signer_of(request: Request) -> str:
    """Return the name that was last signed with in this browser."""
    return " ".join(unquote(request.cookies.get(SIGNER_COOKIE, "")).split())[:60]


def _add_action(app: FastAPI, dashboard: Dashboard, name: str, action: Action) -> None:
    @app.post(f"/exams/{{exam_id}}/{name}", name=name)
    async def sign(request: Request, exam_id: str) -> Response:
        form = await read_form(request)
        exam = dashboard.exam(exam_id)
        if not dashboard.access.is_genuine(request, form.get("form", "")):
            page = dashboard.exam_page(request, exam_id, wrong=_foreign(), entered=form)
            return dashboard.render(request, "exam.html", 403, page=page, signer=signer_of(request))
        try:
            outcome = action(dashboard, request, exam, form)
        except ValueError as error:
            page = dashboard.exam_page(request, exam_id, wrong=f"Not saved: {error}.", entered=form)
            return dashboard.render(request, "exam.html", 422, page=page, signer=signer_of(request))
        return _signed(RedirectResponse(f"/exams/{exam_id}?saved={outcome}", 303), form)


def _correct(dashboard: Dashboard, _request: Request, exam: Exam, form: Form) -> str:
    changed = dashboard.decisions.correct(
        exam.id, exam.report, form.get("scheme", ""), grades_of(form), form.get("reason", ""), form.get("reader", "")
    )
    return "corrected" if changed else "unchanged"


def _agree(dashboard: Dashboard, _request: Request, exam: Exam, form: Form) -> str:
    dashboard.decisions.agree(exam.id, exam.report, form.get("reader", ""), form.get("reason", ""))
    return "agreed"


def _same_person(dashboard: Dashboard, _request: Request, exam: Exam, form: Form) -> str:
    course = dashboard.record.course_of(exam)
    described = patients_of(course)
    dashboard.decisions.same_person(course.key, described, form.get("reason", ""), form.get("reader", ""))
    return "same-person"


def _split(dashboard: Dashboard, _request: Request, exam: Exam, form: Form) -> str:
    course = dashboard.record.course_of(exam)
    dashboard.decisions.split(course.key, patients_of(course), form.get("reason", ""), form.get("reader", ""))
    return "split"


def _merge(dashboard: Dashboard, request: Request, exam: Exam, form: Form) -> str:
    course = dashboard.record.course_of(exam)
    other = _course_named(dashboard, request, form.get("other", ""))
    described = [*patients_of(course), *patients_of(other)]
    dashboard.decisions.merge(course.key, other.key, described, form.get("reason", ""), form.get("reader", ""))
    return "merged"


def _course_named(dashboard: Dashboard, request: Request, text: str) -> PatientCourse:
    """Return the one course of a patient id, written as on the pages."""
    labels = dashboard.labels(request)
    wanted = " ".join(text.split()).casefold()
    if not wanted:
        raise ValueError("give the id of the patient that these X-rays belong to")
    found = {
        course.key: course
        for course in dashboard.record.courses()
        for exam in course.images
        if wanted in (labels.id_of(exam).casefold(), (exam.report.patient.id or "").casefold())
    }
    if not found:
        raise ValueError("there is no patient with this id")
    if len(found) > 1:
        names = sorted({labels.id_of(course.images[-1]) for course in found.values()})
        raise ValueError(f"several patients have this id: write one of {', '.join(names)}")
    return next(iter(found.values()))


def _signed(response: Response, form: Form) -> Response:
    """Remember who signed, so that the next signature takes one click."""
    name = " ".join(form.get("reader", "").split())[:60]
    response.set_cookie(SIGNER_COOKIE, quote(name), max_age=12 * 3600, httponly=True, samesite="strict")
    return response


def _foreign() -> str:
    return f"{WORDS[403].title}. {WORDS[403].advice}"


_ACTIONS: Mapping[str, Action] = {
    "corrections": _correct,
    "agreements": _agree,
    "same-person": _same_person,
    "split": _split,
    "merge": _merge,
}
