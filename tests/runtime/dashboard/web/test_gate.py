"""Who may pass, and where they are led."""

from __future__ import annotations

import http.client

from dashboard_browser import TOKEN, Browser


def test_the_page_that_asks_for_the_token_wears_the_dress_and_tells_nothing(stranger: Browser) -> None:
    status, _, body = stranger.ask("GET", "/exams/a1")
    assert status == 401
    assert 'class="bar"' in body
    assert "app.css" in body
    assert 'name="form"' not in body
    assert "Corrections" not in body
    assert "data-version" not in body


def test_after_the_token_the_page_that_was_asked_for_opens(stranger: Browser) -> None:
    assert 'name="then" value="/exams/a1"' in stranger.ask("GET", "/exams/a1")[2]
    assert 'name="then" value="/exams/a1"' in stranger.ask("POST", "/login", {"token": "no", "then": "/exams/a1"})[2]
    status, headers, _ = stranger.ask("POST", "/login", {"token": TOKEN, "then": "/exams/a1"})
    assert (status, headers["Location"]) == (303, "/exams/a1")
    status, headers, _ = Browser(stranger.port).ask("POST", "/login", {"token": TOKEN, "then": "//evil.example"})
    assert (status, headers["Location"]) == (303, "/")


def test_a_form_after_the_session_ended_leads_back_to_its_page(stranger: Browser) -> None:
    status, _, body = stranger.ask("POST", "/exams/a2/corrections", {}, {"Referer": "http://x/exams/a2"})
    assert status == 401
    assert 'name="then" value="/exams/a2"' in body


def test_the_page_of_the_token_is_no_address_of_its_own(browser: Browser, stranger: Browser) -> None:
    assert browser.ask("GET", "/login")[0] == 303
    assert stranger.ask("GET", "/login")[0] == 401


def test_a_form_that_is_not_text_is_refused(stranger: Browser) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stranger.port, timeout=30)
    connection.request("POST", "/login", b"token=\xff", {"Content-Type": "application/x-www-form-urlencoded"})
    assert connection.getresponse().status == 400
    connection.close()
