"""Drive the dashboard in headless Chromium: board, exam, correction, refusal, privacy, lost connection, 50 clients.

Makes a unit of phantom patients with a two-week course, watches it with the real chain, opens the screen, checks every
page for accessibility (axe) and scripts that complain, and leaves screenshots.

Usage: look_at_dashboard.py FOLDER [--out EXISTING] [--axe axe.min.js] [--chromium /usr/bin/chromium]
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

TOKEN = "look-at-the-dashboard-0123456789"
PATIENTS = {
    "4711-A": (100, 14),
    "8823-K": (101, 13),
    "1095-Q": (104, 4),
    "5560-C": (103, 5),
    "<script>alert(1)</script>": (113, 6),
}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
CLIENTS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="A watcher's folder to show instead of a new unit.")
    parser.add_argument("--axe", type=Path, help="axe.min.js of the npm package axe-core.")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    arguments = parser.parse_args()
    if arguments.chromium is None:
        sys.exit("no chromium found: apt-get install chromium, or give --chromium")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    out = arguments.out or make_unit(arguments.folder / "unit")
    token_file = arguments.folder / "token"
    token_file.write_text(TOKEN, encoding="utf-8")
    token_file.chmod(0o600)
    with serving(out, token_file) as (port, server):
        axe = arguments.axe.read_text(encoding="utf-8") if arguments.axe else None
        problems = look(port, server, out, arguments.folder, arguments.chromium, axe)
    print("\n".join(problems) if problems else "no problems found")
    sys.exit(1 if problems else 0)


def make_unit(folder: Path) -> Path:
    """Phantom patients, scored by the packaged model through the real watcher."""
    from lungsev.phantom import write_phantom_dicom
    from lungsev.phantom.course import make_course
    from lungsev.phantom.non_chest import make_non_chest

    incoming, out = folder / "incoming", folder / "out"
    incoming.mkdir(parents=True)
    now = datetime.now()
    for patient, (seed, days) in PATIENTS.items():
        for film in make_course(seed, days, start=now - timedelta(days=days), size_px=1024):
            path = incoming / f"{seed}-{film.acquired_at:%d%H%M}.dcm"
            write_phantom_dicom(film.film, path, patient_id=patient, acquired_at=film.acquired_at)
    pixels = make_non_chest("hand", 1)
    import cv2

    cv2.imwrite(str(incoming / "hand.png"), (pixels * 255).astype("uint8"))
    (incoming / "broken.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    subprocess.run([lungsev_run(), "watch", str(incoming), "--out", str(out), "--once"], check=True)
    return out


def lungsev_run() -> str:
    return str(Path(sys.executable).with_name("lungsev-run"))


@contextmanager
def serving(out: Path, token_file: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [lungsev_run(), "dashboard", str(out), "--port", "0", "--token-file", str(token_file)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline().rstrip("/\n").rpartition(":")[2])
        yield port, server
    finally:
        server.kill()
        server.wait()


def look(port: int, server: subprocess.Popen[str], out: Path, shots: Path, chromium: str, axe: str | None) -> list[str]:
    from playwright.sync_api import sync_playwright

    problems: list[str] = []
    address = f"http://127.0.0.1:{port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def open_page(scheme: str, width: int, height: int) -> Any:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.on(
                "console",
                lambda message: problems.append(f"console: {message.text}") if message.type == "error" else None,
            )
            page.on("pageerror", lambda error: problems.append(f"script: {error}"))
            page.on(
                "request",
                lambda request: None if request.url.startswith(address) else problems.append(f"left: {request.url}"),
            )
            page.goto(f"{address}/?token={TOKEN}")
            page.wait_for_selector(".live")
            return page

        def check(page: Any, name: str) -> None:
            page.screenshot(path=shots / f"{name}.png")
            if axe is not None:
                page.evaluate(axe + ";0")
                found = page.evaluate("tags => axe.run({runOnly: tags})", WCAG)["violations"]
                problems.extend(f"{name}: {item['id']}: {item['nodes'][0]['html'][:160]}" for item in found)

        page = open_page("dark", 1280, 860)
        check(page, "board")
        page.click("text=4711-A")
        page.wait_for_selector(".live")
        check(page, "exam")
        page.keyboard.press("m")
        page.keyboard.press("o")
        check(page, "exam-map-and-prior")
        correct(page)
        check(page, "exam-corrected")
        page.locator("#course").scroll_into_view_if_needed()
        page.screenshot(path=shots / "course.png")
        page.goto(f"{address}/audit")
        check(page, "audit")
        page.goto(address)
        page.wait_for_selector(".live")
        page.keyboard.press("p")
        page.wait_for_selector("text=Show patient ids")
        if "4711-A" in page.content():
            problems.append("privacy: a patient id is still on the page")
        check(page, "board-private")
        page.keyboard.press("p")
        page.wait_for_selector("text=Hide patient ids")
        light = open_page("light", 820, 1180)
        check(light, "board-light")
        light.click("text=8823-K")
        light.wait_for_selector(".live")
        check(light, "exam-light")
        page.goto(address)
        page.wait_for_selector(".live")
        problems += new_film_shows(page, out)
        problems += many_clients(port)
        page.wait_for_selector(".live")
        complaints = len(problems)
        server.kill()
        page.wait_for_selector("#lost:not([hidden])", timeout=30_000)
        page.screenshot(path=shots / "connection-lost.png")
        del problems[complaints:]  # the browser rightly complains of the server we killed
        browser.close()
    return problems


def correct(page: Any) -> None:
    page.keyboard.press("c")
    other = page.evaluate("document.querySelector('input[name=grade-C]:checked').value") == "3"
    page.check(f"input[name=grade-C][value='{2 if other else 3}']", force=True)
    page.fill("input[name=reason]", "pleural effusion, not consolidation")
    page.fill("input[name=reader]", "AB")
    page.click("text=Save correction")
    page.wait_for_selector(".banner.good")
    page.wait_for_selector(".live")


def new_film_shows(page: Any, out: Path) -> list[str]:
    """From a report on the disk to the open board, in seconds."""
    newest = sorted((out / "reports").glob("*.json"))[-1]
    report = json.loads(newest.read_text(encoding="utf-8"))
    report["image"]["patient_id"] = "JUST-IN"
    target = out / "reports" / "29990101T000000-00000000.json"
    started = time.perf_counter()
    temporary = target.with_suffix(".part")
    temporary.write_text(json.dumps(report), encoding="utf-8")
    temporary.rename(target)
    page.wait_for_selector("text=JUST-IN", timeout=10_000)
    elapsed = time.perf_counter() - started
    target.unlink()
    print(f"a new report was on the open board after {elapsed:.2f} s")
    return [f"live: {elapsed:.1f} s, expected under 2"] if elapsed > 2 else []


def many_clients(port: int) -> list[str]:
    """Fifty pages listen; the board must still answer."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    connections = []
    for _ in range(CLIENTS):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/events", headers=headers)
        connections.append((connection, connection.getresponse()))
    failed: list[str] = []
    times: list[float] = []

    def ask() -> None:
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/parts/board", headers=headers)
        if connection.getresponse().status != 200:
            failed.append("board: not 200 with 50 clients")
        connection.close()
        times.append(time.perf_counter() - started)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection, stream in connections:
        if stream.readline() != b"event: beat\n":
            failed.append("events: a listener heard nothing")
        connection.close()
    times.sort()
    median, slowest = times[len(times) // 2], times[-1]
    print(f"{CLIENTS} listeners, {CLIENTS} boards at once: median {median:.2f} s, slowest {slowest:.2f} s")
    return failed


if __name__ == "__main__":
    main()
