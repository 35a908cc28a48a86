"""Listing of all sources, a bounded number of images ahead of the scoring."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from lungsev.errors import LungsevError
from lungsev.runtime.cluster.sources import Item, Source, numbered

AHEAD = 2000  # images: some seconds of a large cluster, and less than a megabyte
_LOOK_SECONDS = 0.5


@dataclass
class Listing:
    """The images of sources, one source after the other. A source that fails does not keep the others from it.

    Attributes:
        errors: Why sources were not listed, or not to their end.
    """

    sources: Sequence[Source]
    errors: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Item]:
        for number, source in enumerate(self.sources):
            try:
                for item in source.images():
                    yield numbered(item, number)
            except LungsevError as error:
                self.errors.append(str(error))

    @property
    def left_out(self) -> dict[str, int]:
        """Entries that were not listed, by the reason."""
        found: dict[str, int] = {}
        for source in self.sources:
            for reason, count in source.left_out.items():
                found[reason] = found.get(reason, 0) + count
        return {reason: count for reason, count in found.items() if count}


def ahead(items: Iterator[Item], most: int = AHEAD) -> Generator[Item, None, None]:
    """Yield items that a thread lists meanwhile, at most so many ahead: a slow server keeps no worker waiting.

    Closing the iterator ends the thread at its next item.

    Raises:
        Exception: What the listing raises, after the items before it.
    """
    listed: queue.Queue[Item | BaseException | None] = queue.Queue(most)
    stopped = threading.Event()

    def put(entry: Item | BaseException | None) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                listed.put(entry, timeout=_LOOK_SECONDS)
                return

    def run() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=run, name="listing", daemon=True)
    thread.start()
    try:
        while (entry := listed.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry
    finally:
        stopped.set()
