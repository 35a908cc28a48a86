"""JSON of the board and of an image, for other programs: the same standing results as on the pages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from lungsev.report import DISCLAIMER
from lungsev.runtime.dashboard.pages.card import Card
from lungsev.runtime.dashboard.web.state import Dashboard
from lungsev.runtime.patients.trend_sentences import sentence


def add_api(app: FastAPI, dashboard: Dashboard) -> None:
    """Add what programs ask for, with the token as a bearer."""

    @app.get("/api/board.json")
    def board(request: Request, page: int = 1, find: str = "") -> Response:
        shown = dashboard.board_page(request, page, find)
        return JSONResponse(
            {
                "at": dashboard.now().isoformat(timespec="seconds"),
                "board_hours": shown.board_hours,
                "counts": shown.counts,
                "earlier": shown.earlier,
                "page": shown.pager.number,
                "pages": shown.pager.count,
                "patients": [_card(card) for card in shown.cards],
                "files": [asdict(line) for line in shown.files],
                "notices": list(shown.notices),
                "backend": shown.backend,
                "problem": shown.problem,
                "disclaimer": DISCLAIMER,
            }
        )

    @app.get("/api/exams/{exam_id}.json")
    def exam(exam_id: str) -> Response:
        found = dashboard.exam(exam_id)
        report = found.report
        course = dashboard.record.course_of(found)
        results = {}
        for scheme in report.scores:
            trend = course.trend_of(scheme)
            point = trend.point(found.id) if trend else None
            change = asdict(point.change) if point and point.change else None
            words = sentence(point) if point else None
            results[scheme] = {**asdict(report.standing_score(scheme)), "change": change, "sentence": words}
        answer = {"id": found.id, "course": dashboard.access.alias(found.course), "result": results}
        return JSONResponse({**answer, "stop": course.stop, "report": report.to_dict(), "disclaimer": DISCLAIMER})


def _card(card: Card) -> dict[str, Any]:
    return {
        "exam_id": card.exam_id,
        "course": card.alias,
        "patient": card.patient,
        "details": list(card.details),
        "state": card.state,
        "headline": card.headline,
        "detail": card.detail,
        "score": asdict(card.score) if card.score else None,
        "refusal": card.refusal,
        "flags": list(card.flags),
        "taken": card.taken,
        "age": card.age,
        "image_count": card.image_count,
    }
