"""A run over an archive: list, leave out what is done, score, write parts, count. The same for threads and clusters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from lungsev.model import Model
from lungsev.runtime.cluster.index import Index
from lungsev.runtime.cluster.listing import Listing, ahead
from lungsev.runtime.cluster.parts import ResultFolder
from lungsev.runtime.cluster.rows import Row
from lungsev.runtime.cluster.scoring import score_item
from lungsev.runtime.cluster.sources import Item, Source
from lungsev.runtime.cluster.threads import completed

PART_ROWS = 5_000  # tens of megabytes until they are written
PART_SECONDS = 60.0  # a run that is killed repeats at most what it scored in this time


@dataclass
class Summary:
    """What a run did.

    Attributes:
        scored: Images.
        skipped, failed: Images by reason.
        done: Images that an earlier run had finished.
        repeated: Images that were listed again, for example because folders overlap; scored once.
        left_out: Entries that are no images, by the reason.
        errors: Why sources were not listed, or not to their end.
        workers: Most workers at one time.
        deaths: Workers that ended before their time.
        seconds: From the first image that was begun to the end.
    """

    scored: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    done: int = 0
    repeated: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    workers: int = 0
    deaths: int = 0
    seconds: float = 0.0

    @property
    def images(self) -> int:
        """Images that this run scored, skipped or failed."""
        return self.scored + self.skipped.total() + self.failed.total()

    @property
    def images_per_second(self) -> float:
        """Images of this run in a second."""
        return self.images / self.seconds if self.seconds else 0.0

    def add(self, row: Row) -> None:
        """Count an image."""
        if row["status"] == "scored":
            self.scored += 1
        else:
            (self.skipped if row["status"] == "skipped" else self.failed)[row["reason"]] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "images": self.images,
            "scored": self.scored,
            "skipped": dict(self.skipped.most_common()),
            "failed": dict(self.failed.most_common()),
            "done_before": self.done,
            "repeated": self.repeated,
            "left_out": self.left_out,
            "errors": self.errors,
            "workers": self.workers,
            "worker_deaths": self.deaths,
            "seconds": round(self.seconds, 1),
            "images_per_second": round(self.images_per_second, 2),
        }


class Pool(Protocol):
    """What scores images: threads of this process, or workers of a cluster."""

    def score(self, items: Iterator[Item], summary: Summary) -> Generator[Row, None, None]:
        """Yield one row per item, in order of completion; items are taken as they can be scored.

        Raises:
            LungsevError: Nothing can be scored, whatever the image.
        """
        ...


@dataclass(frozen=True)
class ThreadPool:
    """Threads of this process.

    Attributes:
        sources: All sources of the run.
        open_model: Opens the model of one thread.
        jobs: Number of threads.
        with_report: As in `make_row`.
    """

    sources: Sequence[Source]
    open_model: Callable[[], Model]
    jobs: int
    with_report: bool = False

    def score(self, items: Iterator[Item], summary: Summary) -> Generator[Row, None, None]:
        """Yield rows; raises LungsevError."""
        summary.workers = self.jobs
        tasks = (partial(self._score, item=item) for item in items)
        yield from completed(tasks, self.open_model, self.jobs)

    def _score(self, model: Model, item: Item) -> Row:
        return score_item(model, self.sources, item, self.with_report)


def run_archive(
    sources: Sequence[Source],
    pool: Pool,
    out: Path,
    bundle_sha256: str,
    fresh: bool = False,
    on_progress: Callable[[Summary], None] = lambda summary: None,
    part_rows: int = PART_ROWS,
) -> Summary:
    """Score the images of all sources that `out` does not hold yet.

    Args:
        sources: Where the images are.
        pool: What scores them.
        out: Folder of results (`ResultFolder`).
        bundle_sha256: Of the model: images that another model scored are scored again.
        fresh: Score again what is done.
        on_progress: Called after every image, done before or now.
        part_rows: As PART_ROWS.

    Raises:
        LungsevError: The results cannot be written, or nothing can be scored. What was finished is kept.
    """
    summary, listing = Summary(), Listing(sources)
    rows: list[Row] = []
    with ResultFolder(out) as folder, closing(folder.index(bundle_sha256)) as index:
        started = written = time.monotonic()
        listed = ahead(iter(listing))
        todo = _todo(listed, index, fresh, summary, on_progress)
        try:
            with closing(listed), closing(_scored(pool, todo, summary)) as scoring:
                for row in scoring:
                    rows.append(row)
                    summary.add(row)
                    summary.seconds = time.monotonic() - started
                    on_progress(summary)
                    if len(rows) >= part_rows or time.monotonic() - written >= PART_SECONDS:
                        _flush(folder, rows, index)
                        written = time.monotonic()
        finally:
            _flush(folder, rows, index)
    summary.errors, summary.left_out = listing.errors, listing.left_out
    return summary


def _scored(pool: Pool, todo: Iterator[Item], summary: Summary) -> Generator[Row, None, None]:
    """Yield rows; no worker is started where all is done."""
    if (first := next(todo, None)) is not None:
        yield from pool.score(chain([first], todo), summary)


def _todo(
    listed: Iterator[Item], index: Index, fresh: bool, summary: Summary, on_progress: Callable[[Summary], None]
) -> Iterator[Item]:
    for item in listed:
        answer = index.take(item, fresh)
        if answer == "todo":
            yield item
        elif answer == "done":
            summary.done += 1
            on_progress(summary)
        else:
            summary.repeated += 1


def _flush(folder: ResultFolder, rows: list[Row], index: Index) -> None:
    if rows:
        folder.write(rows, index)
        rows.clear()
