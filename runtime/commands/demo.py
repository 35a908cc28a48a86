"""A demonstration without a patient: phantom images arrive in a watched folder and are scored as they come."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from lungsev.errors import LungsevError
from lungsev.phantom import draw_style, make_non_chest, make_phantom, write_phantom_dicom
from lungsev.runtime.console import count_line, display_name, open_console, report_line, reports_table
from lungsev.runtime.logs import logging_to
from lungsev.runtime.settings import BedsideSettings, ModelSettings, WatchSettings
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.scoring import FinishedImage
from lungsev.runtime.watcher.watcher import Watcher, prepare_folders

_IMAGE_SIZE_PX = 1024
_PAUSE_SECONDS = 0.3  # between arrivals
_COURSE = ((0, 0, 0, 0, 0, 0), (0, 1, 1, 0, 1, 1), (1, 1, 2, 0, 1, 2), (1, 2, 3, 1, 2, 3), (2, 3, 3, 2, 3, 3))


def demo_command(out: Path, count: int, seed: int, bundle: Path | None, backend: str, threads: int | None) -> None:
    """`lungsev-run demo`. Every run has a folder of its own below `out`, so that no image is a duplicate."""
    run = out / time.strftime("%Y%m%d-%H%M%S")
    incoming = run / "incoming"
    try:
        incoming.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LungsevError(f"cannot make {incoming}: {error.strerror}; choose another --out") from None
    console = open_console()
    layout = Layout(run)
    settings = BedsideSettings(
        model=ModelSettings(bundle=bundle, backend=backend, threads=threads),
        watch=WatchSettings(scan_seconds=0.2, settle_seconds=0.2, unrecognised_settle_seconds=0.2, min_free_mb=64),
    )
    watcher = Watcher(incoming, layout, settings)
    images = demo_images(count, seed)
    ended: list[tuple[str, FinishedImage]] = []
    stop = threading.Event()

    def on_finished(end: FinishedImage) -> None:
        name = display_name(os.path.basename(end.image.source or b""))
        ended.append((name, end))
        line = report_line(name, end.report) if end.report is not None else f"{name}  quarantined  {end.code}"
        console.print(f"{line}  {end.seconds:.1f} s")
        if len(ended) == len(images):
            stop.set()

    watcher.on_finished = on_finished
    prepare_folders(incoming, layout, settings)
    console.print(f"watching {incoming}")
    writer = threading.Thread(target=_deliver, args=(images, incoming, stop), name="demo-unit", daemon=True)
    writer.start()
    with logging_to(layout.log, "info", console=False):
        watcher.run(stop)
    writer.join()
    reports = [(name, end.report) for name, end in sorted(ended, key=lambda pair: pair[0]) if end.report is not None]
    if console.is_terminal:
        console.print(reports_table(reports, title="Phantom images, not patients"))
    console.print(f"{len(ended)} images: {count_line([report for _, report in reports])}")
    console.print("overlays:")
    for name, end in sorted(ended, key=lambda pair: pair[0]):
        with suppress(FileNotFoundError):
            console.print(f"  {name}: {_existing(layout.root / 'overlays' / f'{end.image.id}.png')}")
    console.print("Research use only. Not for clinical use.")


def demo_images(count: int, seed: int) -> list[tuple[str, Callable[[Path], object]]]:
    """Names and writers of the images: a course that gets worse, as several makers write it, and a hand."""
    images: list[tuple[str, Callable[[Path], object]]] = []
    rng = np.random.default_rng(seed)
    for number in range(count):
        grades = _COURSE[number] if number < len(_COURSE) else tuple(int(grade) for grade in rng.integers(0, 4, 6))
        images.append((f"chest-{number + 1:02d}.dcm", _chest_writer(seed + number, grades)))
    images.insert(count // 2, ("hand.png", _hand_writer(seed)))
    return images


def _chest_writer(seed: int, grades: tuple[int, ...]) -> Callable[[Path], object]:
    def write(path: Path) -> object:
        image = make_phantom(seed, grades=grades, size_px=_IMAGE_SIZE_PX)
        return write_phantom_dicom(image, path, draw_style(seed))

    return write


def _hand_writer(seed: int) -> Callable[[Path], object]:
    def write(path: Path) -> object:
        import cv2

        data = cv2.imencode(".png", np.round(make_non_chest("hand", seed, _IMAGE_SIZE_PX) * 255).astype(np.uint8))[1]
        return path.write_bytes(data.tobytes())

    return write


def _deliver(images: list[tuple[str, Callable[[Path], object]]], incoming: Path, stop: threading.Event) -> None:
    """As a well-behaved unit does: write beside, then rename."""
    for name, write in images:
        if stop.wait(_PAUSE_SECONDS):
            return
        unfinished = incoming / f"{name}.part"
        write(unfinished)
        os.replace(unfinished, incoming / name)


def _existing(path: Path) -> Path:
    path.stat()
    return path
