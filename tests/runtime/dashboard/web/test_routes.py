"""What open pages ask for again."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dashboard_browser import Browser
from exam_makers import put_report, scored_report

from lungsev.inference.status import BackendStatus
from lungsev.runtime.watcher.backend_status import BackendReporter


def state_of(browser: Browser, exam: str) -> str:
    state: str = json.loads(browser.get(f"/exams/{exam}/state"))["state"]
    return state


def test_the_board_is_sent_again_only_when_it_says_something_else(browser: Browser, out: Path) -> None:
    status, headers, _ = browser.ask("GET", "/parts/board")
    tag = {"If-None-Match": headers["ETag"]}
    assert status == 200
    assert browser.ask("GET", "/parts/board", headers=tag)[0] == 304
    put_report(out, "e1", scored_report("WARD-9", "2026-11-22T08:00:00"))
    assert browser.ask("GET", "/parts/board", headers=tag)[0] == 200


def test_the_state_of_a_page_changes_with_its_patient_and_no_other(browser: Browser, out: Path) -> None:
    before = state_of(browser, "a1")
    assert f'data-state="{before}"' in browser.get("/exams/a1")
    browser.correct("b1", **{"grade-A": "3"})
    put_report(out, "e1", scored_report("WARD-9", "2026-11-22T08:00:00"))
    assert state_of(browser, "a1") == before
    put_report(out, "a3", scored_report("WARD-1", "2026-11-22T08:00:00"))
    assert state_of(browser, "a1") != before


def test_ones_own_correction_is_in_the_state_of_the_page_that_follows(browser: Browser, out: Path) -> None:
    _, location = browser.correct("a2", **{"grade-A": "2"})
    page = browser.get(location)
    assert 'data-outcome="saved"' in page
    assert f'data-state="{state_of(browser, "a2")}"' in page
    report = (out / "reports" / "a2.json").read_text(encoding="utf-8")
    (out / "reports" / "later.part").write_text(report, encoding="utf-8")
    (out / "reports" / "later.part").rename(out / "reports" / "a2.json")  # as when its outputs are written again
    assert f'data-state="{state_of(browser, "a2")}"' in page


def test_pages_name_a_patient_to_scripts_by_an_alias_that_tells_nothing(browser: Browser) -> None:
    found = re.search(r'data-patient="([0-9a-f]+)"', browser.get("/exams/a2"))
    assert found
    assert f'id="card-{found[1]}"' in browser.get("/")
    assert found[1] in browser.get("/exams/a1")
    assert found[1] not in browser.get("/exams/b1")


def test_who_left_the_board_is_found_under_earlier(browser: Browser, out: Path) -> None:
    put_report(out, "old", scored_report("LONG-AGO", "2020-01-01T08:00:00"))
    board = browser.get("/")
    assert "LONG-AGO" not in board
    assert 'href="/earlier">1 earlier' in board
    assert "LONG-AGO" in browser.get("/earlier")
    assert "LONG-AGO" in browser.get("/earlier?find=long-ago")
    assert "LONG-AGO" not in browser.get("/earlier?find=ward")
    assert "No patient fits this search" in browser.get("/earlier?find=ward")


def test_what_is_looked_for_is_text_and_nothing_else(browser: Browser) -> None:
    for path in ("/?find=%3Cscript%3E", "/earlier?find=%3Cscript%3E", "/parts/board?find=%3Cscript%3E"):
        page = browser.get(path)
        assert "<script>" not in page.replace('<script type="module"', "")
        assert "&lt;script&gt;" in page


def test_files_without_a_score_have_a_list(browser: Browser) -> None:
    page = browser.get("/files")
    assert "The file was cut off." in page
    assert "WARD-1" not in page


def test_all_pages_stay_below_60_kb_however_many_patients_there_are(browser: Browser, out: Path) -> None:
    for number in range(120):
        report = scored_report(f"BED-{number}", "2026-11-22T08:00:00")
        put_report(out, f"n{number:03d}", report, with_image=False)
        put_report(out, f"o{number:03d}", scored_report(f"OLD-{number}", "2020-11-22T08:00:00"), with_image=False)
    for path in ("/", "/?page=2", "/earlier", "/earlier?page=2"):
        assert 10_000 < len(browser.get(path).encode()) < 60_000
    assert "120" in browser.get("/")


def test_a_board_that_was_made_before_never_hides_a_change_or_an_id(browser: Browser, out: Path) -> None:
    first = browser.get("/parts/board")
    assert browser.get("/parts/board") == first
    browser.sign("/exams/b1/agreements", reader="Dr A")
    assert "agreed by Dr A" in browser.get("/parts/board")
    put_report(out, "e1", scored_report("WARD-9", "2026-11-22T08:00:00"))
    assert "WARD-9" in browser.get("/parts/board")
    assert "WARD-9" not in browser.get("/parts/board?find=ward-1")
    browser.ask("POST", "/privacy", {"form": browser.form_token(), "private": "1"})
    assert "WARD-9" not in browser.get("/parts/board")


def test_the_board_says_at_its_foot_what_scores_and_in_red_where_a_person_should_know(
    browser: Browser, out: Path
) -> None:
    assert 'id="backend"' not in browser.get("/parts/board")
    reporter = BackendReporter(out, lambda status: None)
    reporter.hear(BackendStatus("tensorrt", "Orin", "fp16", "ready", "its engine <passed>"))
    assert '<p id="backend" class="hint">Scored by tensorrt fp16 on Orin: its engine &lt;passed&gt;.</p>' in (
        browser.get("/parts/board")
    )
    reporter.hear(BackendStatus("onnxruntime", "cpu", "fp32", "failed", "TensorRT failed"))
    assert '<p id="backend" class="problem">Scored by onnxruntime fp32 on cpu' in browser.get("/parts/board")
    reporter.close()
