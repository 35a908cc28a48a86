"""What the routes share: the folder's reports and corrections, access, templates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from lungsev import __version__
from lungsev.report import DISCLAIMER
from lungsev.runtime.dashboard.board_page import BoardPage, board_page
from lungsev.runtime.dashboard.corrections import Corrections
from lungsev.runtime.dashboard.exam_page import ExamPage, exam_page
from lungsev.runtime.dashboard.live import Live
from lungsev.runtime.dashboard.security import COOKIE, PRIVACY_COOKIE, Access
from lungsev.runtime.dashboard.web.assets import LAYERS, assets_path, layer_file
from lungsev.runtime.delivery.deliveries import describe_unsent, read_deliveries, read_states
from lungsev.runtime.patients.history import Exam, History


@dataclass(frozen=True)
class Dashboard:
    """What the routes share."""

    out: Path
    history: History
    corrections: Corrections
    access: Access
    live: Live
    templates: Environment

    def exam(self, exam_id: str) -> Exam:
        """Return an exam.

        Ids are looked up among the reports of the folder, so that no other path can be reached by one.

        Raises:
            HTTPException: 404, there is no such exam.
        """
        exam = self.history.follow().get(exam_id)
        if exam is None:
            raise HTTPException(404)
        return exam

    def board_page(self, request: Request) -> BoardPage:
        """Make the board as it is now."""
        self.history.follow()
        return board_page(
            self.history.courses.all().values(),
            self.corrections.corrected_grades(),
            datetime.now().astimezone(),
            alias=self.access.alias,
            private=is_private(request),
            problem=self.live.problem,
            unsent=describe_unsent(read_states(self.out), time.time()),
        )

    def exam_page(self, request: Request, exam_id: str, **outcome: Any) -> ExamPage:
        """Make the page of an image as it is now, with the outcome of a form that was sent from it."""
        exam = self.exam(exam_id)
        page = exam_page(
            exam,
            self.history.courses.of(exam.course),
            self.corrections.corrected_grades(),
            datetime.now().astimezone(),
            alias=self.access.alias(exam.course),
            layers_of=lambda image: [layer for layer in LAYERS if layer_file(self.out, layer, image).is_file()],
            corrections=self.corrections.of_image(exam.id),
            deliveries=read_deliveries(self.out, exam.id),
            private=is_private(request),
        )
        return replace(page, **outcome)

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a template with what every page needs."""
        html = self.templates.get_template(template).render(**self._common(request), **values)
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

    def _common(self, request: Request) -> Mapping[str, Any]:
        signed_in = self.access.allows(request)
        return {
            "private": is_private(request),
            "disclaimer": DISCLAIMER,
            "version": __version__,
            "assets": assets_path(),
            "signed_in": signed_in,
            "form": self.access.form if signed_in else "",
            # From before the page was made: a change meanwhile is told to it again.
            "data_version": getattr(request.state, "data_version", self.live.version),
        }


def is_private(request: Request) -> bool:
    """Whether this browser hides patient ids."""
    return request.cookies.get(PRIVACY_COOKIE) == "1"
