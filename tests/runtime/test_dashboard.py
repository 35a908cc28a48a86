"""The dashboard, over a real server: who may see it, what it shows, and what hostile names do to it."""

from __future__ import annotations

import csv
import http.client
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

from lungsev.errors import LungsevError
from lungsev.report import ImageInfo, ModelInfo, Quality, QualityFlag, RegionScore, SchemeScore, SeverityReport
from lungsev.schemes import load_scheme

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

from lungsev.runtime.dashboard.app import create_app  # noqa: E402
from lungsev.runtime.dashboard.corrections import Corrections, current_grades  # noqa: E402
from lungsev.runtime.dashboard.corrections_export import export_corrections  # noqa: E402
from lungsev.runtime.dashboard.security import keep_token, read_token  # noqa: E402
from lungsev.runtime.dashboard.style import palette_css  # noqa: E402
from lungsev.runtime.delivery.destinations import Destination  # noqa: E402
from lungsev.runtime.delivery.outbox import Outbox  # noqa: E402
from lungsev.runtime.delivery.senders import SendRefusedError  # noqa: E402
from lungsev.runtime.patients.history import History  # noqa: E402

TOKEN = "a-token-of-the-tests-0123456789"
MODEL = ModelInfo("lungsev-brixia", "1.2.0", "0f" * 32, "onnxruntime", "cpu", "fp32")
EVIL = "<script>alert(1)</script>\u202e\x1b[31m\"'onload=x"


def a_report(
    patient: str | None, taken: str | None, grades: str = "012321", flags: tuple[QualityFlag, ...] = ()
) -> SeverityReport:
    scheme = load_scheme("brixia")
    regions = []
    for region, digit in zip(scheme.regions, grades, strict=True):
        y0, x0, y1, x1 = (200 * edge for edge in region.box)
        polygon = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        grade = int(digit)
        likely = (max(0, grade - 1), grade)
        regions.append(
            RegionScore(region.code, region.name, grade, float(grade), (0.1, 0.2, 0.3, 0.4), likely, polygon)
        )
    total = sum(map(int, grades))
    score = SchemeScore(tuple(regions), total, float(total), (max(0, total - 2), min(18, total + 2)), 0.8, 18)
    image = ImageInfo(patient_id=patient, acquired_at=taken, view="AP", rows=200, columns=200)
    return SeverityReport(
        "scored", image, MODEL, scores={"brixia": score}, quality=Quality("warn" if flags else "ok", flags),
        alignment=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    )  # fmt: skip


def put(out: Path, radiograph: str, report: SeverityReport, picture: bool = True) -> None:
    (out / "reports" / f"{radiograph}.json").write_text(report.to_json(), encoding="utf-8")
    if picture:
        cv2.imwrite(str(out / "images" / f"{radiograph}.png"), np.full((200, 200), 90, np.uint8))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    root = tmp_path / "out"
    for folder in ("reports", "images", "maps", "overlays"):
        (root / folder).mkdir(parents=True)
    put(root, "a1", a_report("WARD-1", "2026-11-20T08:00:00", "000111"))
    put(root, "a2", a_report("WARD-1", "2026-11-21T08:00:00", "012321"))
    put(root, "b1", a_report(EVIL, "2026-11-21T09:00:00", flags=(QualityFlag("odd", "warn", EVIL),)))
    refused = SeverityReport(
        "skipped", ImageInfo(patient_id="WARD-2", acquired_at="2026-11-21T10:00:00"), MODEL,
        reason="not_frontal_chest", message="This is not a frontal chest radiograph.",
    )  # fmt: skip
    put(root, "c1", refused)
    put(root, "d1", SeverityReport("failed", ImageInfo(), error="truncated", message="The file was cut off."), False)
    return root


@dataclass
class Browser:
    """Just enough of one."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **(headers or {})}
            if form is not None:
                sent["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request(method, path, urlencode(form) if form is not None else None, sent)
            response = connection.getresponse()
            body = response.read().decode("utf-8", "replace")
        finally:
            connection.close()
        for line in response.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response.status, response.headers, body

    def get(self, path: str) -> str:
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return body

    def form_token(self) -> str:
        found = re.search(r'name="form" value="([0-9a-f]+)"', self.get("/"))
        assert found
        return found[1]

    def correct(self, radiograph: str, **fields: str) -> tuple[int, str]:
        form = {"form": self.form_token(), "scheme": "brixia", "reason": "effusion", "reader": "AB", **fields}
        status, headers, body = self.ask("POST", f"/exams/{radiograph}/corrections", form)
        return status, headers.get("Location", "") or body


@pytest.fixture
def port(out: Path) -> Iterator[int]:
    config = uvicorn.Config(create_app(out, TOKEN), host="127.0.0.1", port=0, log_level="error", lifespan="on")
    listener = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = server.force_exit = True
    thread.join(timeout=20)
    listener.close()
    assert not thread.is_alive()


@pytest.fixture
def stranger(port: int) -> Browser:
    return Browser(port)


@pytest.fixture
def browser(port: int) -> Browser:
    signed_in = Browser(port)
    status, headers, _ = signed_in.ask("GET", f"/?token={TOKEN}")
    assert (status, headers["Location"]) == (303, "/")
    return signed_in


@pytest.mark.parametrize(
    "path",
    ["/", "/exams/a1", "/exams/a1/image.png", "/events", "/audit", "/parts/board", "/static/app.js", "/none", "/docs",
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
    assert "Worse by 6" in card
    assert "+6 since the previous X-ray, 24 h before" in card
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
    assert page.count("<polygon") == 12, "six of this image, six of the one before"
    assert ">R</text>" in page
    assert "Previous scored X-ray, 2026-11-20 08:00, total 3 of 18" in page
    assert "Worse by 6 since 20 Nov 08:00: more than the 2 points by which two readers usually differ." in page
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
    assert (status, location) == (303, "/exams/a2?saved=1#corrections")
    page = browser.get("/exams/a2")
    assert "corrected, model 0" in page
    assert "The model said 9." in page
    assert "<script>alert" not in page
    audit = browser.get("/audit")
    assert "WARD-1" in audit
    assert "&lt;script&gt;" in audit
    board = browser.get("/")
    assert "corrected, model 9" in board
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
    assert "No corrections yet." in browser.get("/audit")


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
    put(out, "e1", a_report("WARD-9", "2026-11-22T08:00:00"))
    names = set()
    while b"event: images\n" not in names:
        line = stream.readline()
        assert line
        names.add(line)
    connection.close()
    assert "WARD-9" in browser.get("/parts/board")


def test_pages_are_small(browser: Browser) -> None:
    assets = ("/static/app.css", "/static/app.js", "/static/palette.css", "/static/htmx-2.0.11.min.js",
              "/static/inter-400.woff", "/static/inter-600.woff", "/static/icon.svg")  # fmt: skip
    weight = 0
    for path in ("/exams/a2", *assets):
        _, headers, body = browser.ask("GET", path)
        weight += int(headers.get("Content-Length") or len(body))
    assert weight < 200_000


def test_the_board_of_a_large_unit_is_small_too_and_keeps_a_screen_signed_in(browser: Browser, out: Path) -> None:
    for number in range(80):
        put(out, f"n{number}", a_report(f"BED-{number}", "2026-11-22T08:00:00"))
    headers = {"Accept-Encoding": "gzip"}
    _, answer, _ = browser.ask("GET", "/", headers=headers)
    assert answer["Content-Encoding"] == "gzip"
    assert int(answer["Content-Length"]) < 12_000
    assert "Max-Age=43200" in answer["Set-Cookie"]


def test_every_severity_has_a_colour() -> None:
    classes = [line.partition("{")[0] for line in palette_css().splitlines()]
    assert classes == [*(f".sev-{step}" for step in range(13)), ".ramp"]


def test_corrections_can_neither_be_changed_nor_removed(out: Path) -> None:
    store = Corrections(out)
    exam = History(out).refresh()["a2"]
    assert store.add(exam, "brixia", {"A": 2, "B": 1}, "effusion", "AB") == 1
    assert current_grades(exam, "brixia", store.corrected_grades())["A"] == 2
    assert store.add(exam, "brixia", {"A": 0}, "my mistake", "AB") == 1
    assert [(item.before, item.grade, item.model_grade) for item in store.of_image("a2")] == [(0, 2, 0), (2, 0, 0)]
    store.close()
    with sqlite3.connect(out / "corrections.sqlite") as connection:
        for statement in ("DELETE FROM corrections", "UPDATE corrections SET grade = 3"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(statement)
    connection.close()


@pytest.fixture
def corrected(out: Path) -> Path:
    store = Corrections(out)
    exams = History(out).refresh()
    store.add(exams["a1"], "brixia", {"A": 3}, "effusion", "AB")
    store.add(exams["a2"], "brixia", {"F": 3}, "effusion", "AB")
    store.close()
    return out


def test_the_export_holds_grades_and_images_and_nobodys_name(corrected: Path, tmp_path: Path) -> None:
    summary = export_corrections(corrected, tmp_path / "set")
    assert (summary.written, summary.without_image) == (2, 0)
    with (tmp_path / "set" / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted("".join(row[code] for code in "ABCDEF") for row in rows) == ["012323", "300111"]
    assert len({row["patient"] for row in rows}) == 1, "the same patient has the same pseudonym"
    for row in rows:
        assert cv2.imread(str(tmp_path / "set" / "images" / row["filename"]), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    everything = b"".join(path.read_bytes() for path in (tmp_path / "set").rglob("*") if path.is_file())
    names = " ".join(path.name for path in (tmp_path / "set").rglob("*"))
    for secret in ("WARD", "2026-11", "effusion"):
        assert secret not in names
        assert secret.encode() not in everything
    # No room for a study's own name, which is as short as a piece of a pseudonym.
    assert all(re.fullmatch(r"i[0-9a-f]{16}\.png", path.name) for path in (tmp_path / "set" / "images").iterdir())
    assert not {"a1", "a2"} & {path.stem for path in (tmp_path / "set").rglob("*")}


def test_training_reads_the_export(corrected: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("lungsev.train.data.datasets.custom")
    export_corrections(corrected, tmp_path / "set")
    dataset = datasets.load(tmp_path / "set")
    assert len(dataset.images) == 2
    assert dataset.scheme.name == "brixia"


def test_pseudonyms_stay_the_same_and_need_the_folders_secret(corrected: Path, tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        export_corrections(corrected, tmp_path / name)
        tables.append((tmp_path / name / "scores.csv").read_bytes())
    assert tables[0] == tables[1]
    assert os.stat(corrected / "pseudonym.key").st_mode & 0o077 == 0
    (corrected / "pseudonym.key").unlink()
    export_corrections(corrected, tmp_path / "three")
    assert (tmp_path / "three" / "scores.csv").read_bytes() != tables[0]


def test_images_that_are_gone_are_counted(corrected: Path, tmp_path: Path) -> None:
    (corrected / "images" / "a1.png").unlink()
    summary = export_corrections(corrected, tmp_path / "set")
    assert (summary.written, summary.without_image) == (1, 1)


def test_nothing_to_export_and_a_used_folder_are_one_line(out: Path, corrected: Path, tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="no grade has been corrected"):
        export_corrections(tmp_path / "none", tmp_path / "set")
    with pytest.raises(LungsevError, match="no corrections of scheme inha"):
        export_corrections(corrected, tmp_path / "set", "inha")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").write_text("x", encoding="utf-8")
    with pytest.raises(LungsevError, match="not empty"):
        export_corrections(corrected, tmp_path / "used")


def test_a_token_file_must_be_private_and_long(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n", encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(LungsevError, match="chmod 600"):
        read_token(path)
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.write_text("short", encoding="utf-8")
    with pytest.raises(LungsevError, match="at least 16"):
        read_token(path)
    with pytest.raises(LungsevError, match="cannot read"):
        read_token(tmp_path / "none")


def test_a_folder_keeps_its_token_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    token = keep_token(tmp_path)
    assert len(token) >= 32
    assert keep_token(tmp_path) == token
    assert keep_token(tmp_path / "other") != token
    assert (tmp_path / "dashboard.token").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LungsevError, match="cannot write"):
        keep_token(tmp_path / "none")


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
    put(out, "f1", a_report("WARD-7", "2999-01-01T00:00:00"))
    put(out, "f2", a_report(None, None))
    put(out, "f3", replace(a_report("WARD-8", "2026-11-21T08:00:00"), model=replace(MODEL, version="9")))
    (out / "reports" / "junk.json").write_text(json.dumps({"schema_version": 99}), encoding="utf-8")
    page = browser.get("/")
    assert "dated in the future" in page
    assert "WARD-8" in page


def test_the_screen_says_what_was_not_sent(browser: Browser, out: Path) -> None:
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
