"""What the routes share."""

from __future__ import annotations

import time

from dashboard_browser import Browser


def test_a_page_knows_the_last_change_before_it_was_made(browser: Browser) -> None:
    before = version_of(browser)
    browser.correct("a2", **{"grade-A": "2"})
    assert version_of(browser) in (before, before + 1)
    while version_of(browser) == before:  # until the task that polls has seen it
        time.sleep(0.02)
    assert version_of(browser) == before + 1


def version_of(browser: Browser) -> int:
    return int(browser.get("/").partition('data-version="')[2].partition('"')[0])


def test_the_signer_of_a_page_is_the_last_one_of_this_browser(browser: Browser) -> None:
    browser.sign("/exams/a2/agreements", reader="Dr Ä;B")
    assert 'value="Dr Ä;B"' in browser.get("/exams/a1")


def test_a_browser_that_came_by_http_gets_a_cookie_that_http_sends_back(browser: Browser) -> None:
    cookie = browser.ask("GET", "/")[1]["Set-Cookie"]
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie
