"""`lungsev-run demo`: phantom images arrive in a watched folder and are scored as they come."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsev.runtime.commands.options import BackendOption, BundleOption, ThreadsOption

if TYPE_CHECKING:
    from rich.console import Console

    from lungsev.runtime.watcher.layout import Layout
    from lungsev.runtime.watcher.scoring import FinishedImage

_IMAGE_SIZE_PX = 1024
_PAUSE_SECONDS = 0.3  # between arrivals
_COURSE = ((0, 0, 0, 0, 0, 0), (0, 1, 1, 0, 1, 1), (1, 1, 2, 0, 1, 2), (1, 2, 3, 1, 2, 3), (2, 3, 3, 2, 3, 3))

WriteImage = Callable[[Path], object]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demonstration.")] = Path("demo-out"),
    count: Annotated[int, typer.Option("--count", min=1, max=200, help="Number of chest radiographs.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same images.")] = 11,
    bundle: BundleOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Make phantom images, put them into a watched folder one by one and score them as they arrive.

    One of the images is no chest radiograph, to show how an image is refused.

    Example: lungsev-run demo --out demo-out
    """
    from lungsev.errors import LungsevError
    from lungsev.runtime.console import display_name, open_console, report_line
    from lungsev.runtime.logs import logging_to
    from lungsev.runtime.settings import BedsideSettings, ModelSettings, WatchSettings
    from lungsev.runtime.watcher.layout import Layout
    from lungsev.runtime.watcher.watcher import Watcher, prepare_folders

    run = out / time.strftime("%Y%m%d-%H%M%S")  # a folder for every run, so that no image is a duplicate
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
    images = demo_images(count, seed)
    finished: dict[str, FinishedImage] = {}
    stop = threading.Event()

    def on_finished(image: FinishedImage) -> None:
        name = display_name(os.path.basename(image.image.source or b""))
        finished[name] = image
        line = report_line(name, image.report) if image.report is not None else f"{name}  quarantined  {image.code}"
        console.print(f"{line}  {image.seconds:.1f} s")
        if len(finished) == len(images):
            stop.set()

    watcher = Watcher(incoming, layout, settings)
    watcher.on_finished = on_finished
    prepare_folders(incoming, layout, settings)
    console.print(f"watching {incoming}")
    writer = threading.Thread(target=_deliver, args=(images, incoming, stop), name="demo-unit", daemon=True)
    writer.start()
    with logging_to(layout.log, "info", console=False):
        watcher.run(stop)
    writer.join()
    _print_summary(console, layout, finished)


def _print_summary(console: Console, layout: Layout, finished: dict[str, FinishedImage]) -> None:
    from lungsev.report import DISCLAIMER
    from lungsev.runtime.console import count_line, count_noun, reports_table

    ordered = sorted(finished.items())
    reports = [(name, image.report) for name, image in ordered if image.report is not None]
    if console.is_terminal:
        console.print(reports_table(reports, title="Phantom images, not patients"))
    console.print(f"{count_noun(len(ordered), 'image')}: {count_line([report for _, report in reports])}")
    console.print("overlays:")
    for name, image in ordered:
        overlay = layout.root / "overlays" / f"{image.image.id}.png"
        if overlay.exists():
            console.print(f"  {name}: {overlay}")
    console.print(DISCLAIMER)


def demo_images(count: int, seed: int) -> list[tuple[str, WriteImage]]:
    """Return names and writers of the images: a course that gets worse, in the styles of several makers, and a hand."""
    import numpy as np

    from lungsev.phantom.unit import write_hand

    images: list[tuple[str, WriteImage]] = []
    rng = np.random.default_rng(seed)
    for number in range(count):
        grades = _COURSE[number] if number < len(_COURSE) else tuple(int(grade) for grade in rng.integers(0, 4, 6))
        images.append((f"chest-{number + 1:02d}.dcm", _chest_writer(seed + number, grades)))
    images.insert(count // 2, ("hand.png", lambda path: write_hand(path, seed, _IMAGE_SIZE_PX)))
    return images


def _chest_writer(seed: int, grades: tuple[int, ...]) -> WriteImage:
    from lungsev.phantom import draw_style, make_phantom, write_phantom_dicom

    def write(path: Path) -> object:
        image = make_phantom(seed, grades=grades, size_px=_IMAGE_SIZE_PX)
        return write_phantom_dicom(image, path, draw_style(seed))

    return write


def _deliver(images: list[tuple[str, WriteImage]], incoming: Path, stop: threading.Event) -> None:
    """Write beside, then rename, as a well-behaved unit does."""
    for name, write in images:
        if stop.wait(_PAUSE_SECONDS):
            return
        unfinished = incoming / f".{name}"
        write(unfinished)
        os.replace(unfinished, incoming / name)
