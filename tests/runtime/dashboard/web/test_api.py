"""JSON for other programs: the same standing results as on the pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dashboard_browser import TOKEN, Browser
from exam_makers import put_report, skipped_report

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def asked(stranger: Browser, path: str) -> dict[str, Any]:
    status, headers, body = stranger.ask("GET", path, headers=BEARER)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    answer: dict[str, Any] = json.loads(body)
    return answer


def test_without_the_token_there_is_nothing(stranger: Browser) -> None:
    for path in ("/api/board.json", "/api/exams/a2.json"):
        status, headers, body = stranger.ask("GET", path)
        assert (status, headers["Content-Type"]) == (401, "application/json")
        assert "WARD" not in body
    assert stranger.ask("GET", "/api/exams/none.json", headers=BEARER)[0] == 404


def test_the_board_says_who_got_worse_and_by_which_probability(stranger: Browser) -> None:
    board = asked(stranger, "/api/board.json")
    first = board["patients"][0]
    assert (first["patient"], first["state"], first["exam_id"]) == ("WARD-1", "worse", "a2")
    assert first["headline"].endswith(" %")
    assert (first["score"]["total"], first["score"]["interval"]) == (9, [7, 11])
    assert board["counts"]["patients"] == 3
    assert [line["message"] for line in board["files"]] == ["The file was cut off."]
    assert board["disclaimer"] == "Research use only. Not for clinical use."


def test_a_corrected_image_says_the_same_on_board_page_and_json(browser: Browser, stranger: Browser) -> None:
    browser.correct("a2", **{"grade-A": "2", "reader": "Dr A"})
    answer = asked(stranger, "/api/exams/a2.json")
    result, report = answer["result"]["brixia"], answer["report"]
    assert (result["total"], result["interval"], result["model_total"]) == (11, None, 9)
    assert (report["standing"]["state"], report["standing"]["by"]) == ("corrected", "Dr A")
    assert report["scores"]["brixia"]["total"] == 9, "the model's score is kept"
    score = asked(stranger, "/api/board.json")["patients"][0]["score"]
    assert (score["total"], score["interval"], score["signature"]) == (11, None, "corrected by Dr A, model said 9")
    assert result["sentence"] in browser.get("/exams/a2")


def test_an_image_without_a_score_has_no_result(stranger: Browser, out: Path) -> None:
    put_report(out, "s1", skipped_report("WARD-5"))
    answer = asked(stranger, "/api/exams/s1.json")
    assert (answer["result"], answer["report"]["status"]) == ({}, "skipped")
