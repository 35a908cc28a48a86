"""`lungsev-run score` of archives: URLs and clusters in, Parquet out."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lungsev.runtime.cluster.run import Pool, Summary
    from lungsev.runtime.cluster.sources import Source
    from lungsev.runtime.settings import ModelSettings

_TERMINAL_SECONDS, _LINE_SECONDS = 0.5, 60.0


@dataclass(frozen=True)
class ArchiveOptions:
    """Options of `score` that only archives have.

    Attributes:
        cluster: As `address` of `lungsev.runtime.cluster.ray_cluster.joined`; None is threads of this process.
        jobs: Images at a time; None is one, and on a cluster as many as it has room for.
        gpus: Of one worker.
        reports: Add each report's JSON to its row.
        fresh: Score again what is done.
    """

    cluster: str | None = None
    jobs: int | None = None
    gpus: float = 0.0
    reports: bool = False
    fresh: bool = False


def score_archive(
    words: Sequence[str], out: Path | None, model: ModelSettings, options: ArchiveOptions, as_json: bool
) -> None:
    """Score an archive into a folder of Parquet files and print what was done.

    Raises:
        LungsevError: A source, the cluster, the model or the folder is wrong; or a source could not be listed to its
            end, which is said after the others are done.
    """
    from lungsev.bundle.archive import demand_trust, read_bundle
    from lungsev.errors import LungsevError
    from lungsev.runtime.cluster.ray_cluster import import_ray
    from lungsev.runtime.cluster.run import run_archive
    from lungsev.runtime.cluster.sources import open_source

    if out is None:
        raise LungsevError("an archive needs --out, a folder for its results")
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(out)):  # a path has one slash where a URL has two
        raise LungsevError("found a URL for --out, expected a folder of this machine, which workers send their rows to")
    if options.cluster is not None:
        import_ray()
    sources = [open_source(word, out) for word in words]
    path = model.bundle_path()
    bundle = read_bundle(str(path) if path is not None else None)
    demand_trust(bundle, model.allow_unsigned)
    pool = _pool(sources, model, bundle.sha256, options)
    progress = _Progress()
    with _sigterm_as_exit():
        summary = run_archive(sources, pool, out, bundle.sha256, options.fresh, progress)
    progress.close()
    _print_json(summary) if as_json else _print_for_people(summary, out)
    if not (summary.images or summary.done or summary.errors):
        named = ", ".join(source.name for source in sources)
        raise LungsevError(f"found no image in {named}; check the address")
    if summary.errors:
        raise LungsevError(f"not all was listed: {'; '.join(summary.errors)}")


def _pool(sources: Sequence[Source], model: ModelSettings, bundle_sha256: str, options: ArchiveOptions) -> Pool:
    from lungsev.inference.cpus import usable_cpus
    from lungsev.inference.select import DeviceOptions
    from lungsev.model import load
    from lungsev.runtime.cluster.ray_cluster import Demand
    from lungsev.runtime.cluster.ray_workers import RayPool
    from lungsev.runtime.cluster.run import ThreadPool

    jobs = options.jobs or 1
    threads = model.threads or (1 if options.cluster is not None else max(1, usable_cpus() // jobs))
    path = model.bundle_path()
    open_model: Callable = partial(
        load,
        path if path is None else path.absolute(),
        model.backend,
        threads,
        allow_unsigned=model.allow_unsigned,
        device=DeviceOptions(model.engine),
    )
    if options.cluster is None:
        return ThreadPool(sources, open_model, jobs, options.reports)
    demand = Demand(threads, options.gpus)
    return RayPool(sources, open_model, bundle_sha256, options.cluster, demand, options.jobs, options.reports)


@contextlib.contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM end the process as Ctrl-C does: what is finished is written first."""

    def stop(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Progress:
    """One line on the terminal that is written over; elsewhere a line a minute, on standard error."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._seconds = _TERMINAL_SECONDS if self._is_terminal else _LINE_SECONDS
        self._said = time.monotonic()

    def __call__(self, summary: Summary) -> None:
        if time.monotonic() - self._said < self._seconds:
            return
        self._said = time.monotonic()
        line = f"{_counts(summary)}; {summary.images_per_second:.1f} images/s"
        print(f"\r\x1b[K{line}" if self._is_terminal else line, end="" if self._is_terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def close(self) -> None:
        """Remove the line from the terminal."""
        if self._is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print_json(summary: Summary) -> None:
    import json

    print(json.dumps(summary.to_dict()))


def _print_for_people(summary: Summary, out: Path) -> None:
    from lungsev.report import DISCLAIMER
    from lungsev.runtime.console import count_noun, open_console

    console = open_console()
    console.print(f"{count_noun(summary.images, 'image')}: {_counts(summary)}")
    for status, reasons in (("skipped", summary.skipped), ("failed", summary.failed)):
        if reasons:
            console.print(f"{status}: " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()))
    if summary.left_out:
        left_out = ", ".join(f"{count} {reason}" for reason, count in summary.left_out.items())
        console.print(f"left out: {left_out}")
    if summary.deaths:
        verb = "was" if summary.deaths == 1 else "were"
        console.print(f"{count_noun(summary.deaths, 'worker')} ended before the end and {verb} replaced")
    if summary.images:
        console.print(
            f"{summary.seconds:.1f} s, {summary.images_per_second:.1f} images/s with "
            f"{count_noun(summary.workers, 'worker')}"
        )
    console.print(f"results: {out}")
    console.print(DISCLAIMER)


def _counts(summary: Summary) -> str:
    counts = f"{summary.scored} scored, {summary.skipped.total()} skipped, {summary.failed.total()} failed"
    return counts + (f", {summary.done} done before" if summary.done else "")
