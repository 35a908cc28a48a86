"""A simulated year of a unit with 24 beds, as reports only: 11,124 images. Slow; prints what it took.

The board must not grow with the year: its page stays below 60 kB, and a report that arrives is the only one to be read.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from dashboard_browser import TOKEN, Browser, served
from exam_makers import put_report, scored_report

from lungsev.runtime.dashboard.app import create_app
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.record import Record

IMAGES, BEDS = 11_124, 24
NOW = datetime.now().replace(microsecond=0)


def simulated_year() -> Iterator[tuple[str, datetime, str]]:
    """Patient, time and grades of each image: every bed has one patient after the other, with an image every 19 h."""
    draw = random.Random(1)
    gap = timedelta(hours=365 * 24 * BEDS / IMAGES)
    for number in range(IMAGES):
        bed, turn = number % BEDS, number // BEDS
        taken = NOW - timedelta(minutes=5) - gap * turn - timedelta(minutes=draw.randrange(60))
        yield f"BED-{bed}-{turn // 18}", taken, "".join(draw.choice("0123") for _ in range(6))


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("year")
    (out / "reports").mkdir()
    templates = {grade: scored_report("PATIENT", "2020-01-01T00:00:00", grade * 6) for grade in "0123"}
    texts = {grade: report.to_json(indent=None) for grade, report in templates.items()}
    for number, (patient, taken, grades) in enumerate(simulated_year()):
        text = texts[grades[0]].replace("PATIENT", patient).replace("2020-01-01T00:00:00", taken.isoformat())
        (out / "reports" / f"image-{number:05d}.json").write_text(text, encoding="utf-8")
    return out


@pytest.mark.slow
def test_the_board_of_a_year_is_small_and_shows_who_is_present(year: Path) -> None:
    started = time.process_time()
    app = create_app(year, TOKEN)
    print(f"\nstart with {IMAGES} reports: {time.process_time() - started:.1f} s of CPU")
    with served(app) as port:
        browser = Browser(port)
        browser.ask("GET", f"/?token={TOKEN}")
        browser.get("/")
        for path in ("/", "/parts/board", "/earlier", "/earlier?page=9", "/earlier?find=BED-3"):
            started = time.process_time()
            page = browser.get(path)
            milliseconds = 1000 * (time.process_time() - started)
            print(f"{path}: {milliseconds:.0f} ms of CPU, {len(page.encode()) / 1000:.0f} kB")
            assert len(page.encode()) < 60_000
        board = json.loads(browser.get("/api/board.json"))
    assert board["counts"]["patients"] < 2 * BEDS, "those who are here, and the few who left in the last two days"
    assert board["counts"]["patients"] + board["earlier"] == len({patient for patient, _, _ in simulated_year()})


@pytest.mark.slow
def test_a_report_that_arrives_touches_its_own_patient_only(year: Path) -> None:
    with closing(Decisions(year)) as decisions:
        record = Record(year, decisions).update()
        version, before = record.version, {course.key: course for course in record.courses()}
        put_report(year, "arrived", scored_report("BED-5-0", NOW.isoformat()), with_image=False)
        started = time.process_time()
        record.update()
        print(f"\na report arrives: {1000 * (time.process_time() - started):.0f} ms of CPU")
        (changed,) = record.changed_since(version)
        assert json.loads(changed)[0] == "BED-5-0"
        assert all(course is before[course.key] for course in record.courses() if course.key != changed)
        (year / "reports" / "arrived.json").unlink()
