"""Errors as pages in the dress of the dashboard, and as JSON for programs that ask for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from lungsev.errors import LungsevError
from lungsev.runtime.dashboard.web.forms import own_path
from lungsev.runtime.dashboard.web.state import Dashboard

log = logging.getLogger("lungsev.runtime.dashboard")


@dataclass(frozen=True)
class ErrorWords:
    """What happened, and what to do about it."""

    title: str
    advice: str


WORDS = {
    400: ErrorWords("The form could not be read", "Go back and send it again."),
    401: ErrorWords("This page needs the token of the dashboard", "Open the dashboard and enter the token."),
    403: ErrorWords(
        "The form did not come from this dashboard",
        "Nothing was saved. Reload the page and enter it again. If that does not help, the dashboard may stand behind "
        "a proxy: its administrator sets dashboard.public_url to the address that browsers use.",
    ),
    404: ErrorWords(
        "There is nothing at this address",
        "The address may be mistyped, or the X-ray was removed when its storage time was over.",
    ),
    405: ErrorWords("This address cannot be opened like this", "It takes a form from one of the pages. Go back to it."),
    413: ErrorWords("The form is too long", "Nothing was saved. Go back and shorten the text."),
    422: ErrorWords("A value is not valid", "Nothing was saved. Go back and check what was entered."),
    500: ErrorWords(
        "Something went wrong in lungsev",
        "Try again. If it happens again, tell those who look after lungsev; its log names the error.",
    ),
    503: ErrorWords(
        "The results cannot be read at present", "Try again in a minute. The board says when they can be read again."
    ),
}


def add_error_pages(app: FastAPI, dashboard: Dashboard) -> None:
    """Answer errors of all routes."""

    def known(request: Request, error: HTTPException) -> Response:
        return error_answer(dashboard, request, error.status_code, error.headers)

    for number in WORDS.keys() - {500}:  # what no route expected is caught by the gate
        app.exception_handler(number)(known)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, _error: RequestValidationError) -> Response:
        return error_answer(dashboard, request, 422)

    @app.exception_handler(LungsevError)
    def unreadable(request: Request, error: LungsevError) -> Response:
        log.warning("a page could not be made: %s", type(error).__name__)
        return error_answer(dashboard, request, 503)


def error_answer(
    dashboard: Dashboard, request: Request, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer to a request that went wrong, a page or JSON."""
    words = WORDS.get(status) or WORDS[500 if status >= 500 else 400]
    if asks_for_json(request):
        detail = {"status": status, "detail": words.title, "advice": words.advice}
        return JSONResponse(detail, status, headers=dict(headers or {}))
    back = own_path(request.headers.get("referer"))
    response = dashboard.render(request, "error.html", status, number=status, words=words, back=back)
    response.headers.update(headers or {})
    return response


def asks_for_json(request: Request) -> bool:
    """Whether the client is a program: it asks below /api, or for JSON and not for a page."""
    accepted = request.headers.get("accept", "")
    return request.url.path.startswith("/api/") or ("application/json" in accepted and "text/html" not in accepted)
