"""What the routes share."""

from __future__ import annotations

from dashboard_browser import Browser


def test_a_page_knows_the_last_change_before_it_was_made(browser: Browser) -> None:
    before = int(browser.get("/").partition('data-version="')[2].partition('"')[0])
    browser.correct("a2", **{"grade-A": "2"})
    after = int(browser.get("/").partition('data-version="')[2].partition('"')[0])
    assert after == before + 1


def test_a_browser_that_came_by_http_gets_a_cookie_that_http_sends_back(browser: Browser) -> None:
    cookie = browser.ask("GET", "/")[1]["Set-Cookie"]
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie
