"""The dashboard over a real server: who may see it, what it shows, and what hostile names do to it."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from dashboard_browser import EVIL, TOKEN, Browser
from exam_makers import MODEL, put_report, scored_report
from pydantic import TypeAdapter

from lungsev.runtime.delivery.destinations import Destination
from lungsev.runtime.delivery.outbox import Outbox
from lungsev.runtime.delivery.statuses import SendRefusedError


@pytest.mark.parametrize(
    "path",
    ["/", "/exams/a1", "/exams/a1/image.png", "/events", "/audit", "/parts/board", "/exams/a1/state", "/none", "/docs",
     "/openapi.json", "/?token=wrong"],
)  # fmt: skip
def test_without_the_token_nothing_is_served(stranger: Browser, path: str) -> None:
    status, headers, body = stranger.ask("GET", path)
    assert status == 401
    assert "WARD" not in body
    assert "Set-Cookie" not in headers


def test_the_token_opens_by_address_form_and_bearer(stranger: Browser) -> None:
    assert stranger.ask("POST", "/login", {"token": "wrong"})[0] == 401
    status, headers, _ = stranger.ask("POST", "/login", {"token": TOKEN})
    assert status == 303
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "samesite=strict" in headers["Set-Cookie"].lower()
    assert TOKEN not in headers["Set-Cookie"]
    assert "WARD-1" in stranger.get("/")
    bearer = Browser(stranger.port)
    assert bearer.ask("GET", "/", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert bearer.ask("GET", "/", headers={"Authorization": "Bearer no"})[0] == 401


def test_a_browser_that_came_by_https_through_a_proxy_keeps_its_session_from_plain_http(stranger: Browser) -> None:
    def cookie(**headers: str) -> str:
        return str(stranger.ask("GET", f"/?token={TOKEN}", headers=headers)[1]["Set-Cookie"]).lower()

    assert "; secure" in cookie(**{"X-Forwarded-Proto": "https"})
    assert "; secure" not in cookie()


def test_every_answer_forbids_foreign_and_inline_code(browser: Browser, stranger: Browser) -> None:
    for asker, path in ((browser, "/"), (browser, "/exams/a1"), (browser, "/static/app.js"), (stranger, "/")):
        _, headers, body = asker.ask("GET", path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        if path in ("/", "/exams/a1"):
            assert not re.search(r"<script(?![^>]*src=\"/static/)", body)
            assert not re.search(r"\sstyle=|\son\w+=\"", body)
            assert "http://" not in body.replace("http://www.w3.org", "")
            assert "https://" not in body


def test_the_board_shows_who_got_worse_first(browser: Browser) -> None:
    page = browser.get("/")
    assert page.index("WARD-1") < page.index("WARD-2")
    card = page[page.index("WARD-1") : page.index("</li>", page.index("WARD-1"))]
    assert "<b>9</b>" in card
    assert "Probably worse, 84 %" in card
    assert "+6 points in 24 h since the previous X-ray" in card
    assert "This is not a frontal chest radiograph." in page
    assert "The file was cut off." in page
    assert "Not for clinical use" in page


def test_a_refused_patients_card_has_no_number(browser: Browser) -> None:
    page = browser.get("/")
    start = page.index("WARD-2")
    card = page[start : page.index("</li>", start)]
    assert "no score" in card
    assert not re.search(r"of 18", card)


def test_hostile_names_are_text_and_nothing_else(browser: Browser) -> None:
    for path in ("/", "/exams/b1", "/parts/board"):
        page = browser.get(path)
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "\x1b" not in page
        assert "\u202e" not in page


def test_the_exam_page_shows_zones_sides_doubts_and_the_prior(browser: Browser) -> None:
    page = browser.get("/exams/a2")
    assert "could be 1–2" in page
    assert page.count("<polygon") == 13, "six of this image, six of the one before, and the band of the course"
    assert ">R</text>" in page
    assert "Previous scored X-ray, 20 Nov 2026, 08:00, total 3 of 18" in page
    assert "Probably worse, 84 %: +6 points in 24 h since the previous X-ray." in page
    assert EVIL.partition("\u202e")[0].replace("<", "&lt;").replace(">", "&gt;") in browser.get("/exams/b1")


def test_a_refused_image_says_why_and_offers_no_correction(browser: Browser) -> None:
    page = browser.get("/exams/c1")
    assert "No score" in page
    assert "This is not a frontal chest radiograph." in page
    assert "Correct a grade" not in page
    assert "<polygon" not in page


def test_pictures_come_by_id_and_no_other_file_does(browser: Browser, out: Path) -> None:
    (out / "secret.png").write_bytes(b"x")
    assert browser.ask("GET", "/exams/a1/image.png")[0] == 200
    for path in ("/exams/a1/map.png", "/exams/a1/secret.png", "/exams/nobody/image.png", "/exams/..%2fsecret/image.png",
                 "/exams/%2e%2e/image.png", "/static/../app.py", "/static/app.py"):  # fmt: skip
        assert browser.ask("GET", path)[0] == 404, path


def test_privacy_mode_keeps_the_ids_on_the_server(browser: Browser) -> None:
    form = {"form": browser.form_token(), "private": "1", "back": "//evil.example"}
    status, headers, _ = browser.ask("POST", "/privacy", form)
    assert (status, headers["Location"]) == (303, "/")
    for path in ("/", "/exams/a2", "/audit"):
        assert "WARD-1" not in browser.get(path)
    assert "Patient " in browser.get("/exams/a2")


def test_a_correction_is_kept_shown_and_audited(browser: Browser) -> None:
    status, location = browser.correct("a2", **{"grade-A": "2", "grade-B": "1", "reason": EVIL})
    assert (status, location) == (303, "/exams/a2?saved=corrected")
    page = browser.get("/exams/a2")
    assert "corrected, model 0" in page
    assert "Corrected by AB, model said 9" in page
    assert "likely 7" not in page, "an interval is the model's"
    assert "<script>alert" not in page
    audit = browser.get("/audit")
    assert "WARD-1" in audit
    assert "&lt;script&gt;" in audit
    board = browser.get("/")
    assert "corrected by AB, model said 9" in board
    assert "<b>11</b>" in board


@pytest.mark.parametrize(
    "fields",
    [{"grade-A": "7"}, {"grade-Z": "1"}, {"grade-A": "x"}, {"grade-A": "2", "reason": " "},
     {"grade-A": "2", "reader": ""}, {"grade-A": "2", "reason": "x" * 501}, {"grade-A": "2", "scheme": "inha"}],
)  # fmt: skip
def test_a_correction_that_cannot_be_meant_is_not_saved(browser: Browser, fields: dict[str, str]) -> None:
    status, body = browser.correct("a2", **fields)
    assert status == 422
    assert "Not saved" in body
    assert "No decisions yet." in browser.get("/audit")


def test_a_form_from_elsewhere_is_refused(browser: Browser) -> None:
    form = {"scheme": "brixia", "grade-A": "2", "reason": "x", "reader": "y"}
    assert browser.ask("POST", "/exams/a2/corrections", {**form, "form": "0" * 64})[0] == 403
    genuine = {**form, "form": browser.form_token()}
    for origin in ("https://evil.example", "null"):
        assert browser.ask("POST", "/exams/a2/corrections", genuine, {"Origin": origin})[0] == 403
    ours = {"Origin": f"http://127.0.0.1:{browser.port}", "Host": f"127.0.0.1:{browser.port}"}
    assert browser.ask("POST", "/exams/a2/corrections", genuine, ours)[0] == 303


def test_a_form_beyond_measure_is_refused(browser: Browser) -> None:
    assert browser.ask("POST", "/exams/a2/corrections", {"reason": "x" * 20_000})[0] == 413


def test_a_new_image_is_announced_and_on_the_board(browser: Browser, out: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", browser.port, timeout=30)
    connection.request("GET", "/events", headers={"Cookie": f"lungsev_session={browser.cookies['lungsev_session']}"})
    stream = connection.getresponse()
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    assert stream.readline() == b"event: beat\n"
    put_report(out, "e1", scored_report("WARD-9", "2026-11-22T08:00:00"))
    names = set()
    while b"event: changed\n" not in names:
        line = stream.readline()
        assert line
        names.add(line)
    connection.close()
    assert "WARD-9" in browser.get("/parts/board")


def test_pages_are_small(browser: Browser) -> None:
    assets = ("/static/app.css", "/static/app.js",
              "/static/palette.css", "/static/board.js", "/static/form.js", "/static/live.js", "/static/stream.js",
              "/static/inter-400.woff", "/static/inter-600.woff", "/static/icon.svg")  # fmt: skip
    weight = 0
    for path in ("/exams/a2", *assets):
        _, headers, body = browser.ask("GET", path)
        weight += int(headers.get("Content-Length") or len(body))
    assert weight < 140_000


def test_the_board_of_a_large_unit_is_small_too_and_keeps_a_display_signed_in(browser: Browser, out: Path) -> None:
    for number in range(80):
        put_report(out, f"n{number}", scored_report(f"BED-{number}", "2026-11-22T08:00:00"))
    headers = {"Accept-Encoding": "gzip"}
    _, answer, _ = browser.ask("GET", "/", headers=headers)
    assert answer["Content-Encoding"] == "gzip"
    assert int(answer["Content-Length"]) < 12_000
    assert "Max-Age=43200" in answer["Set-Cookie"]


def test_an_image_in_quarantine_is_on_the_board_and_says_why(browser: Browser, out: Path) -> None:
    (out / "quarantine").mkdir()
    reason = {"id": "q1", "status": "failed", "error": "damaged", "message": f"The file broke off. {EVIL}"}
    (out / "quarantine" / "q1.reason.json").write_text(json.dumps(reason), encoding="utf-8")
    (out / "quarantine" / "q2.reason.json").write_text("[]", encoding="utf-8")
    assert "The file broke off." in browser.get("/")
    page = browser.get("/exams/q1")
    assert "The file broke off." in page
    assert EVIL not in page


def test_a_report_of_the_future_or_without_a_date_does_not_break_the_board(browser: Browser, out: Path) -> None:
    put_report(out, "f1", scored_report("WARD-7", "2999-01-01T00:00:00"))
    put_report(out, "f2", scored_report(None, None))
    put_report(out, "f3", replace(scored_report("WARD-8", "2026-11-21T08:00:00"), model=replace(MODEL, version="9")))
    (out / "reports" / "junk.json").write_text(json.dumps({"schema_version": 99}), encoding="utf-8")
    page = browser.get("/")
    assert "dated in the future" not in page
    assert "WARD-8" in page


def test_the_dashboard_says_what_was_not_sent(browser: Browser, out: Path) -> None:
    folder = {"name": "pacs", "kind": "folder", "path": "/mnt", "sends": ["json"]}
    destination = TypeAdapter(Destination).validate_python(folder)

    def refuse(_destination: Destination, _path: Path, _name: str) -> None:
        raise SendRefusedError(f"not such an object {EVIL}")

    outbox = Outbox(out / "outbox", [destination], refuse)
    outbox.queue("a2", [("json", out / "reports" / "a2.json")])
    assert "0 of 1 file arrived, waiting" in browser.get("/exams/a2")
    outbox.deliver_due()
    outbox.close()
    assert "Results have not arrived at pacs: 1 were refused" in browser.get("/")
    for path in ("/", "/exams/a2"):
        assert "not such an object" in browser.get(path)
        assert EVIL not in browser.get(path)
