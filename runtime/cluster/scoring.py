"""Scoring of one image of an archive, the same in a thread and in a worker of a cluster: fetch, score, row."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from lungsev.errors import UnreadableImageError
from lungsev.model import Model
from lungsev.pipeline import unscored_report
from lungsev.reading.limits import ReadLimits
from lungsev.report import ImageInfo, ModelInfo
from lungsev.runtime.cluster.rows import Row, make_row
from lungsev.runtime.cluster.sources import Item, NotFetchedError, Source

FETCH_ATTEMPTS = 3
PAUSE_SECONDS = 1.0  # before the second attempt; doubles


def score_item(
    model: Model,
    sources: Sequence[Source],
    item: Item,
    with_report: bool,
    turn: AbstractContextManager[object] | None = None,
    pause_seconds: float = PAUSE_SECONDS,
) -> Row:
    """Fetch an image and score it.

    Args:
        model: Open model.
        sources: All sources of the run.
        item: The image.
        with_report: As in `make_row`.
        turn: Held while the model scores: one image is fetched while another is scored.
        pause_seconds: As PAUSE_SECONDS.

    Raises:
        BackendError: The device failed, which is not the image's fault.
    """
    try:
        image = fetch(sources[item.source], item, pause_seconds)
    except UnreadableImageError as error:
        return failed_row(item, error, model.info, with_report)
    with turn or contextlib.nullcontext():
        return make_row(item, model.score(image), with_report)


def failed_row(item: Item, error: UnreadableImageError, model: ModelInfo | None, with_report: bool = False) -> Row:
    """Return the row of an image that no model saw."""
    return make_row(item, unscored_report(error, ImageInfo(), model, 0.0), with_report)


def fetch(source: Source, item: Item, pause_seconds: float = PAUSE_SECONDS) -> Path | bytes:
    """Fetch an image, again after a while if its source does not give it.

    Raises:
        UnreadableImageError: It is too large, or `not_fetched`.
    """
    for attempt in range(1, FETCH_ATTEMPTS + 1):
        try:
            return source.fetch(item, ReadLimits().file_bytes)
        except NotFetchedError as error:
            if error.final or attempt == FETCH_ATTEMPTS:
                raise UnreadableImageError("not_fetched", f"the source did not give the image: {error}") from None
            time.sleep(pause_seconds * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")
