"""Score a batch: every input gets one report, and no image stops another."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lungsev.errors import LungsevError
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.commands.inputs import ResultNames, find_images
from lungsev.runtime.console import count_line, display_name, open_console, report_line, reports_table
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.watcher.worker import ImageScorer


@dataclass(frozen=True)
class ImageResult:
    """One input's report and the files written for it. `reused`: an earlier run left them."""

    path: Path
    report: SeverityReport
    files: tuple[Path, ...] = ()
    reused: bool = False


Task = Callable[[ImageScorer], ImageResult]


def score_command(
    paths: Sequence[Path],
    out: Path | None,
    bundle: Path | None,
    backend: str,
    threads: int | None,
    jobs: int,
    fresh: bool,
    json_lines: bool,
) -> None:
    """`lungsev-run score`."""
    found = find_images(paths, results=out)
    if not found.images and not found.missing:
        named = ", ".join(display_name(path) for path in paths)
        raise LungsevError(f"found no file in {named}; expected images (DICOM, PNG, JPEG, TIFF)")
    count = 0
    if found.images:
        each = threads or max(1, (os.cpu_count() or 1) // jobs)
        results = score_images(found.images, out, lambda: ImageScorer.open(bundle, backend, each), jobs, fresh)
        count = _print_json(results) if json_lines else _print_for_people(results, len(found.images), out)
    if found.missing:
        named = ", ".join(display_name(path) for path in found.missing)
        done = f"; the other {count} inputs are done" if count else ""
        raise LungsevError(f"no such file or folder: {named}{done}; check the path")


def score_images(
    images: Sequence[Path],
    out: Path | None,
    open_scorer: Callable[[], ImageScorer],
    jobs: int = 1,
    fresh: bool = False,
) -> Iterator[ImageResult]:
    """Score images, `jobs` at a time, and write their results to `out` as each is done.

    Yields:
        One result per image, in order of completion.

    Raises:
        LungsevError: The model cannot be opened or fails, or the folder of results cannot be written.
    """
    outputs: tuple[Output, ...] = ()
    names = None
    if out is not None:
        _make_folder(out)
        outputs, names = open_outputs(), ResultNames(out)

    def run(image: Path, target: Path | None, earlier: SeverityReport | None, scorer: ImageScorer) -> ImageResult:
        if target is not None and earlier is not None and not fresh and scorer.made(earlier):
            return ImageResult(image, earlier, _existing(target, outputs), reused=True)
        scored = scorer.score_file(image)
        return ImageResult(image, scored.report, _write(scored, target, outputs))

    def tasks() -> Iterator[Task]:
        for image in images:
            name, earlier = names.assign(image) if names is not None else (None, None)
            yield partial(run, image, out / name if out is not None and name is not None else None, earlier)

    yield from _completed(tasks(), open_scorer, min(jobs, len(images)))


def _completed(tasks: Iterable[Task], open_scorer: Callable[[], ImageScorer], jobs: int) -> Iterator[ImageResult]:
    """Results as they come. Every thread opens, uses and closes a scorer of its own: a GPU is bound to its thread.

    Few tasks wait at any time, so naming does not run far ahead of scoring.
    """
    todo: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[ImageResult | BaseException] = queue.SimpleQueue()
    threads = [threading.Thread(target=_work, args=(todo, done, open_scorer), name="score") for _ in range(jobs)]
    for thread in threads:
        thread.start()
    waiting = 0
    try:
        for task in tasks:
            todo.put(task)
            waiting += 1
            if waiting > 2 * jobs:
                yield _result(done)
                waiting -= 1
        for _ in range(waiting):
            yield _result(done)
    finally:
        with suppress(queue.Empty):
            while True:  # after an error, or when the caller has had enough, what waits is not begun
                todo.get_nowait()
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join()


def _work(
    todo: queue.SimpleQueue[Task | None],
    done: queue.SimpleQueue[ImageResult | BaseException],
    open_scorer: Callable[[], ImageScorer],
) -> None:
    try:
        with open_scorer() as scorer:
            while (task := todo.get()) is not None:
                done.put(task(scorer))
    except BaseException as error:
        done.put(error)


def _result(done: queue.SimpleQueue[ImageResult | BaseException]) -> ImageResult:
    result = done.get()
    if isinstance(result, BaseException):
        raise result
    return result


def _write(scored: ScoredRadiograph, target: Path | None, outputs: Sequence[Output]) -> tuple[Path, ...]:
    if target is None:
        return ()
    try:
        written = [output.write(scored, with_suffix(target, output)) for output in outputs]
    except OSError as error:
        raise LungsevError(
            f"cannot write results to {target.parent}: {error.strerror or error}; what was finished is kept: "
            "make room or choose another --out, then run the same command again"
        ) from None
    return tuple(path for path in written if path is not None)


def with_suffix(target: Path, output: Output) -> Path:
    """The file of one output; the image's own suffix stays in the name, as in `image.dcm.json`."""
    return target.with_name(target.name + output.suffix)


def _existing(target: Path, outputs: Sequence[Output]) -> tuple[Path, ...]:
    files = (with_suffix(target, output) for output in outputs)
    return tuple(path for path in files if path.exists())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LungsevError(f"cannot make folder {folder}: {error.strerror or error}; choose another --out") from None


def _print_json(results: Iterator[ImageResult]) -> int:
    count = 0
    for result in results:
        line = {
            "input": display_name(result.path),
            "files": [display_name(path) for path in result.files],
            "reused": result.reused,
            "report": result.report.to_dict(),
        }
        print(json.dumps(line, ensure_ascii=True), flush=True)
        count += 1
    return count


def _print_for_people(results: Iterator[ImageResult], total: int, out: Path | None) -> int:
    console = open_console()
    finished = _with_progress(console, results, total) if console.is_terminal else _with_lines(console, results)
    reused = sum(result.reused for result in finished)
    summary = f"{len(finished)} inputs: {count_line([result.report for result in finished])}"
    console.print(summary + (f" ({reused} kept from an earlier run)" if reused else ""))
    if out is not None:
        console.print(f"reports and overlays: {out}")
    if finished:
        console.print(finished[0].report.disclaimer)
    return len(finished)


def _with_progress(console: Console, results: Iterator[ImageResult], total: int) -> list[ImageResult]:
    finished = []
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("scoring", total=total)
        for result in results:
            finished.append(result)
            progress.advance(task)
    console.print(reports_table([(display_name(result.path.name), result.report) for result in finished]))
    return finished


def _with_lines(console: Console, results: Iterator[ImageResult]) -> list[ImageResult]:
    finished = []
    for result in results:
        console.print(report_line(display_name(result.path), result.report))
        finished.append(result)
    return finished
