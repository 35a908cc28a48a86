"""Errors as pages, and as JSON for programs."""

from __future__ import annotations

import json

import pytest
from dashboard_browser import Browser

from lungsev.errors import LungsevError
from lungsev.runtime.dashboard.web import state
from lungsev.runtime.dashboard.web.errors import WORDS

JSON = {"Accept": "application/json"}


def checked_page(browser: Browser, number: int, method: str, path: str, form: dict[str, str] | None = None) -> str:
    """The body of an error page: in the dress of the dashboard, with what to do and a way back."""
    status, headers, body = browser.ask(method, path, form, {"Referer": f"http://127.0.0.1:{browser.port}/exams/a1"})
    assert status == number
    assert headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert f"<h1>{WORDS[number].title}</h1>" in body
    assert WORDS[number].advice in body
    assert 'class="bar"' in body
    assert 'href="/exams/a1"' in body
    assert 'href="/"' in body
    return body


def test_every_refusal_is_a_page(browser: Browser) -> None:
    checked_page(browser, 404, "GET", "/none")
    checked_page(browser, 404, "GET", "/exams/nobody")
    checked_page(browser, 405, "GET", "/privacy")
    checked_page(browser, 413, "POST", "/exams/a2/corrections", {"reason": "x" * 20_000})
    checked_page(browser, 403, "POST", "/privacy", {"form": "0" * 64})
    checked_page(browser, 422, "GET", "/earlier?page=many")


def test_a_program_that_asks_for_json_gets_json(browser: Browser, stranger: Browser) -> None:
    for asker, path, number in ((browser, "/none", 404), (browser, "/privacy", 405), (stranger, "/", 401)):
        status, headers, body = asker.ask("GET", path, headers=JSON)
        assert (status, headers["Content-Type"]) == (number, "application/json")
        answer = json.loads(body)
        assert (answer["status"], answer["detail"]) == (number, WORDS[number].title)


def test_a_browser_that_takes_both_gets_a_page(browser: Browser) -> None:
    _, headers, _ = browser.ask("GET", "/none", headers={"Accept": "text/html,application/json;q=0.9"})
    assert headers["Content-Type"].startswith("text/html")


def test_a_405_still_names_what_is_allowed(browser: Browser) -> None:
    assert browser.ask("DELETE", "/privacy")[1]["Allow"] == "POST"


@pytest.mark.parametrize(
    ("error", "number"), [(RuntimeError("WARD-1"), 500), (LungsevError("cannot read WARD-1"), 503)]
)
def test_what_nobody_expected_is_a_page_too_and_names_no_patient(
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    number: int,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(state, "audit_page", fail)
    assert "WARD-1" not in checked_page(browser, number, "GET", "/audit")
    assert any(type(error).__name__ in record.getMessage() for record in caplog.records)
    if number == 500:
        assert "WARD-1" not in caplog.text


def test_a_way_back_never_leads_elsewhere(browser: Browser) -> None:
    for address in ("https://evil.example//evil.example", "javascript:alert(1)", "//evil.example"):
        _, _, body = browser.ask("GET", "/none", headers={"Referer": address})
        assert "evil" not in body
        assert "javascript" not in body
