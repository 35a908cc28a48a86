"""Static files, and the path that lets browsers keep them."""

from __future__ import annotations

import re

from dashboard_browser import Browser

from lungsev.runtime.dashboard.web.assets import assets_path


def test_files_of_the_package_need_no_token_and_others_are_not_there(stranger: Browser) -> None:
    assert stranger.ask("GET", "/static/app.css")[0] == 200
    for path in ("/static/app.py", "/static/../app.py", "/static/%2e%2e/app.py", "/static/x/base.html", "/static/"):
        assert stranger.ask("GET", path)[0] in (401, 404), path


def test_files_are_kept_for_as_long_as_their_path_names_their_contents(stranger: Browser) -> None:
    current = stranger.ask("GET", f"{assets_path()}/app.js")[1]["Cache-Control"]
    assert current == "max-age=31536000, immutable"
    assert stranger.ask("GET", "/static/of-an-earlier-version/app.js")[1]["Cache-Control"] == "no-cache"
    assert stranger.ask("GET", "/static/app.js")[1]["Cache-Control"] == "no-cache"


def test_every_file_that_a_page_names_is_there(browser: Browser) -> None:
    page = browser.get("/")
    style = browser.get(f"{assets_path()}/app.css")
    scripts = [browser.get(f"{assets_path()}/{name}") for name in ("app.js", "live.js")]
    named = set(re.findall(rf'"{assets_path()}/([^"]+)"', page)) | set(re.findall(r"url\(([^)]+)\)", style))
    named |= {name for script in scripts for name in re.findall(r'"(?:\./)?(\w+\.js)"', script)}
    assert {"app.js", "app.css", "inter-400.woff", "board.js", "stream.js"} <= named
    for name in named:
        assert browser.ask("GET", f"{assets_path()}/{name}")[0] == 200, name
