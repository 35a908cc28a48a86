"""What the routes share: the folder's record, access, settings, templates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from lungsev import __version__
from lungsev.report import DISCLAIMER
from lungsev.runtime.dashboard.live import Live
from lungsev.runtime.dashboard.pages.audit_page import AuditPage, audit_page
from lungsev.runtime.dashboard.pages.board_page import BoardPage, board_page
from lungsev.runtime.dashboard.pages.earlier_page import EarlierPage, earlier_page
from lungsev.runtime.dashboard.pages.exam_page import ExamPage, exam_page
from lungsev.runtime.dashboard.pages.file_list import FilesPage, files_page
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels
from lungsev.runtime.dashboard.security import COOKIE, PRIVACY_COOKIE, Access
from lungsev.runtime.dashboard.web.assets import LAYERS, assets_path, layer_file
from lungsev.runtime.delivery.deliveries import describe_unsent, read_deliveries, read_states
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.record import Record
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.backend_status import read_backend

_LONGEST_SEARCH = 100


@dataclass(frozen=True)
class Dashboard:
    """What the routes share."""

    out: Path
    record: Record
    decisions: Decisions
    access: Access
    live: Live
    settings: BedsideSettings
    templates: Environment

    @property
    def zone(self) -> tzinfo | None:
        """The site's zone; None is this computer's."""
        return self.settings.site.zone

    def now(self) -> datetime:
        """Return the present in the site's zone."""
        return datetime.now().astimezone(self.zone)

    def labels(self, request: Request) -> PatientLabels:
        """Return how patients are called for a browser."""
        return PatientLabels(self.access.alias, is_private(request), self.settings.site.issuer)

    def exam(self, exam_id: str) -> Exam:
        """Return an exam as it stands.

        Ids are looked up among the reports of the folder, so that no other path can be reached by one.

        Raises:
            HTTPException: 404, there is no such exam.
        """
        exam = self.record.update().exam(exam_id)
        if exam is None:
            raise HTTPException(404)
        return exam

    def prepare(self) -> None:
        """Compile the templates and work out the courses of all who are present: the first page does not wait."""
        for name in self.templates.list_templates():
            self.templates.get_template(name)
        now = self.now()
        for course in self.record.courses():
            if course.is_present(now, self.settings.dashboard.board_hours):
                _ = course.state

    def board_page(self, request: Request, page: int = 1, find: str = "") -> BoardPage:
        """Make the board as it is now."""
        return board_page(
            self.record.update().courses(),
            self.labels(request),
            self.now(),
            board_hours=self.settings.dashboard.board_hours,
            zone=self.zone,
            page=page,
            find=find[:_LONGEST_SEARCH],
            problem=self.live.problem,
            notices=self.notices(),
            backend=read_backend(self.out),
        )

    def notices(self) -> list[str]:
        """Return a sentence for each destination that results have not reached."""
        return describe_unsent(read_states(self.out), time.time())

    def board_version(self) -> tuple[object, ...]:
        """Return what changes whenever the board does: reports, decisions, deliveries, and every minute the ages."""
        minute = self.now().replace(second=0, microsecond=0)
        return self.record.update().version, minute, self.live.problem, *self.notices(), read_backend(self.out)

    def earlier_page(self, request: Request, page: int = 1, find: str = "") -> EarlierPage:
        """Make a page of the patients who have left the board."""
        return earlier_page(
            self.record.update().courses(),
            self.labels(request),
            self.now(),
            board_hours=self.settings.dashboard.board_hours,
            zone=self.zone,
            page=page,
            find=find[:_LONGEST_SEARCH],
        )

    def files_page(self, request: Request, page: int = 1) -> FilesPage:
        """Make a page of the files without a score."""
        return files_page(self.record.update().courses(), self.labels(request), self.now(), page)

    def audit_page(self, request: Request, page: int = 1, wrong: str = "") -> AuditPage:
        """Make a page of the decisions."""
        exams = self.record.update().exams()
        return audit_page(self.decisions.log(), exams, self.labels(request), zone=self.zone, page=page, wrong=wrong)

    def exam_page(self, request: Request, exam_id: str, **outcome: Any) -> ExamPage:
        """Make the page of an image as it is now, with the outcome of a form that was sent from it."""
        exam = self.exam(exam_id)
        page = exam_page(
            exam,
            self.record.course_of(exam),
            self.labels(request),
            self.now(),
            layers_of=lambda image: [layer for layer in LAYERS if layer_file(self.out, layer, image).is_file()],
            zone=self.zone,
            deliveries=read_deliveries(self.out, exam.id),
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
