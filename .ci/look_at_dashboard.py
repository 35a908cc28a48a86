"""Drive the dashboard in headless Chromium as a nurse would: board, exam, correction, agreement, decisions, refusal,
earlier patients, privacy, phone, errors, many tabs, a board that changes under the reader's hands, lost connection, 50
clients.

Makes a unit of phantom patients with a two-week course, scores it and serves the dashboard with one command, checks
every page for accessibility (axe) and scripts that complain, drops an image in, waits for it, leaves screenshots.

Usage: look_at_dashboard.py FOLDER [--axe axe.min.js] [--chromium /usr/bin/chromium] [--pictures docs/pictures]
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

HOSTILE = "<script>alert(1)</script>"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
CLIENTS = 50
TABS = 9  # of one browser, which opens six connections to a host
SETTLE_SECONDS = 1.0  # the default of watch.settle_seconds: a file must be unchanged for so long
PAGE_KB = 200
IN_DOCS = ("board", "board-light", "exam-map-and-prior", "refused", "course", "phone", "connection-lost")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--axe", type=Path, help="axe.min.js of the npm package axe-core.")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--pictures", type=Path, help="Where the pictures of the documentation go.")
    arguments = parser.parse_args()
    if arguments.chromium is None:
        sys.exit("no chromium found: apt-get install chromium, or give --chromium")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    incoming, out = make_unit(arguments.folder / "unit")
    with serving(incoming, out) as (port, watcher):
        token = (out / "dashboard.token").read_text(encoding="utf-8")
        axe = arguments.axe.read_text(encoding="utf-8") if arguments.axe else None
        problems = look(port, token, watcher, incoming, arguments.folder, arguments.chromium, axe)
    for name in IN_DOCS if arguments.pictures else ():
        picture = Image.open(arguments.folder / f"{name}.png").convert("RGB")
        picture.thumbnail((1100, 1100))
        plain = picture if "map" in name else picture.quantize(256)
        plain.save(arguments.pictures / f"{name}.png", optimize=True)
    print("\n".join(problems) if problems else "no problems found")
    sys.exit(1 if problems else 0)


def make_unit(folder: Path) -> tuple[Path, Path]:
    """Make phantom patients and let the watcher score them; an earlier run's unit is used again."""
    incoming, out = folder / "incoming", folder / "out"
    if not out.is_dir():
        subprocess.run([lungsev_run(), "phantoms", str(incoming)], check=True)
        subprocess.run([lungsev_run(), "watch", str(incoming), "--out", str(out), "--once"], check=True)
    return incoming, out


def drop_radiograph(incoming: Path, seed: int, patient: str) -> float:
    """Write under another name, then rename, as a hospital's unit does; return when."""
    from lungsev.phantom import make_phantom, write_phantom_dicom

    path = incoming / f"{seed}.dcm"
    phantom = make_phantom(seed, size_px=(2500, 2048))
    write_phantom_dicom(phantom, path.with_suffix(".part"), patient_id=patient, acquired_at=datetime.now())
    os.utime(path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
    return time.perf_counter()


def lungsev_run() -> str:
    return str(Path(sys.executable).with_name("lungsev-run"))


@contextmanager
def serving(incoming: Path, out: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [lungsev_run(), "watch", str(incoming), "--out", str(out), "--dashboard", "--port", "0"]
    watcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert watcher.stderr is not None
    try:
        address = next(line for line in watcher.stderr if line.startswith("dashboard:"))
        threading.Thread(target=watcher.stderr.read, daemon=True).start()
        yield int(address.partition("/?")[0].rpartition(":")[2]), watcher
    finally:
        watcher.terminate()
        watcher.wait()


def look(
    port: int, token: str, watcher: subprocess.Popen[str], incoming: Path, shots: Path, chromium: str, axe: str | None
) -> list[str]:
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
            page.on("dialog", lambda dialog: problems.append(f"a name ran as a script: {dialog.message}"))
            page.on(
                "request",
                lambda request: None if request.url.startswith(address) else problems.append(f"left: {request.url}"),
            )
            page.goto(f"{address}/?token={token}")
            page.wait_for_selector(".live")
            return page

        def check(page: Any, name: str) -> None:
            page.screenshot(path=shots / f"{name}.png")
            if axe is not None:
                page.evaluate(axe + ";0")
                found = page.evaluate("tags => axe.run({runOnly: tags})", WCAG)["violations"]
                problems.extend(f"{name}: {item['id']}: {item['nodes'][0]['html'][:160]}" for item in found)

        def follow(page: Any, link: str) -> None:
            page.click(link)
            page.wait_for_selector(".live")

        page = open_page("dark", 1280, 900)
        problems += weight(page)
        check(page, "board")
        follow(page, ".card:not(.refused):has(.spark) > a")
        problems += weight(page)
        patient = page.inner_text("h1")
        check(page, "exam")
        page.keyboard.press("m")
        page.keyboard.press("o")
        check(page, "exam-map-and-prior")
        correct(page)
        check(page, "exam-corrected")
        problems += own_save_is_no_news(page)
        agree(page)
        check(page, "exam-agreed")
        page.goto(address)
        follow(page, ".card.better a")
        page.evaluate("document.querySelector('#course').scrollIntoView()")
        page.screenshot(path=shots / "course.png")
        page.goto(f"{address}/audit")
        check(page, "decisions")
        for path in ("earlier", "files"):
            page.goto(f"{address}/{path}")
            check(page, path)
        check_error(page, f"{address}/nowhere")
        page.goto(address)
        follow(page, ".card.refused a")
        check(page, "refused")
        page.goto(address)
        page.wait_for_selector(".live")
        page.keyboard.press("p")
        page.wait_for_selector("text=Show patient ids")
        if patient in page.content():
            problems.append("privacy: a patient id is still on the page")
        check(page, "board-private")
        page.keyboard.press("p")
        page.wait_for_selector("text=Hide patient ids")
        light = open_page("light", 820, 1180)
        check(light, "board-light")
        follow(light, ".card.better a")
        check(light, "exam-light")
        phone = open_page("dark", 390, 844)
        follow(phone, ".card:not(.refused):has(.spark) > a")
        check(phone, "phone")
        page.goto(address)
        page.wait_for_selector(".live")
        problems += new_radiograph_shows(page, incoming)
        problems += many_tabs(page.context, address)
        problems += many_clients(port, token)
        page.wait_for_selector(".live")
        complaints = len(problems)
        watcher.kill()
        page.wait_for_selector("#lost:not([hidden])", timeout=30_000)
        page.screenshot(path=shots / "connection-lost.png")
        del problems[complaints:]  # the browser complains that the server was killed
        browser.close()
    return problems


def weight(page: Any) -> list[str]:
    """A page must be light: a ward's network may be slow. Images and maps are not counted."""
    sizes = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".filter((entry) => !entry.name.endsWith('.png')).map((entry) => entry.encodedBodySize)"
    )
    print(f"{page.title()}: {sum(sizes) / 1000:.0f} kB in {len(sizes)} files, without images")
    return [f"weight: {sum(sizes) / 1000:.0f} kB, expected under {PAGE_KB}"] if sum(sizes) > PAGE_KB * 1000 else []


def check_error(page: Any, address: str) -> None:
    """Open a page that is not there. The browser complains of the 404 that it got, which is right."""
    unheard = page.context.new_page()  # without the listeners that take a complaint for a problem
    unheard.goto(address)
    unheard.wait_for_selector("text=There is nothing at this address")
    unheard.close()


def own_save_is_no_news(page: Any) -> list[str]:
    """After one's own correction, and the outputs that follow from it, the page does not call itself out of date."""
    page.wait_for_timeout(6000)
    return ["own save: the page says that something has changed"] if page.inner_text("#newer") else []


def agree(page: Any) -> None:
    page.click("#agree")
    page.wait_for_selector(".banner.good")
    page.wait_for_selector(".live")


def many_tabs(context: Any, address: str) -> list[str]:
    """Every tab loads, reloads and is live, also when the first one is closed."""
    tabs = [context.new_page() for _ in range(TABS)]
    for tab in tabs:
        tab.goto(address, timeout=15_000)
    for tab in tabs:
        tab.reload(timeout=15_000)
    tabs[0].close()
    dead = 0
    for tab in tabs[1:]:
        tab.wait_for_timeout(200)
        dead += tab.inner_text("#contact-words") != "live"
        tab.close()
    return [f"tabs: {dead} of {TABS} are not live"] if dead else []


def correct(page: Any) -> None:
    page.keyboard.press("c")
    other = page.evaluate("document.querySelector('input[name=grade-C]:checked').value") == "3"
    page.check(f"input[name=grade-C][value='{2 if other else 3}']", force=True)
    page.fill("#correct input[name=reason]", "pleural effusion, not consolidation")
    page.fill("#correct input[name=reader]", "AB")
    page.click("text=Save correction")
    page.wait_for_selector(".banner.good")
    page.wait_for_selector(".live")


def new_radiograph_shows(page: Any, incoming: Path) -> list[str]:
    """From an image that has settled in the folder to the open board, in seconds. Focus and place must stay."""
    seed = int(time.time())
    page.evaluate("document.querySelectorAll('.card > a')[4].focus()")
    before = page.evaluate("[document.activeElement.id, scrollY]")
    dropped = drop_radiograph(incoming, seed, f"{HOSTILE} {seed}")
    page.wait_for_selector(f"text={HOSTILE} {seed}", timeout=30_000)
    elapsed = time.perf_counter() - dropped - SETTLE_SECONDS
    print(f"a new image was on the open board {elapsed:.2f} s after it had settled")
    problems = [f"live: {elapsed:.1f} s, expected under 2"] if elapsed > 2 else []
    if page.evaluate("[document.activeElement.id, scrollY]") != before:
        problems.append("live: focus or place on the page was lost")
    if f"{HOSTILE} {seed}" not in page.inner_text("#announce"):
        problems.append("live: the new image was not told in words")
    return problems


def many_clients(port: int, token: str) -> list[str]:
    """Fifty pages listen; the board must still answer."""
    headers = {"Authorization": f"Bearer {token}"}
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
