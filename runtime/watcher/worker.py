"""Image scorer: decodes each image in a limited child process and scores it in this one."""

from __future__ import annotations

import dataclasses
import logging
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from lungsev.errors import BackendError, ImageError, UnreadableImageError
from lungsev.pipeline import ScoredRadiograph, Scorer, open_scorer, unscored_report
from lungsev.reading.radiograph import Radiograph
from lungsev.report import ImageInfo, ModelInfo, SeverityReport
from lungsev.runtime.commands.inputs import is_regular_file, sha256_of_file

log = logging.getLogger("lungsev.runtime.watcher.worker")


class ImageDecoder(Protocol):
    """Reads an image without letting its file harm this process."""

    def read(self, path: Path) -> Radiograph:
        """Raises ImageError subclasses only."""
        ...

    def close(self) -> None: ...


class ImageScorer:
    """Reads in a child process with a memory and a time limit, scores here. Used from one thread at a time."""

    def __init__(self, scorer: Scorer, decoder: ImageDecoder) -> None:
        self._scorer = scorer
        self._decoder = decoder
        self.model: ModelInfo = scorer.model

    @classmethod
    def open(cls, bundle: Path | None = None, backend: str = "auto", threads: int | None = None) -> ImageScorer:
        """Open the model first: a child is not started for a bundle that does not hold.

        Raises:
            BundleError, BackendError: As `open_scorer`.
            LungsevError: The reading process does not start.
        """
        from lungsev.sandbox.client import Sandbox

        with ExitStack() as stack:
            scorer = stack.enter_context(open_scorer(bundle, backend, threads))
            sandbox = stack.enter_context(Sandbox())
            sandbox.start()  # or the first image would wait for it
            image_scorer = cls(scorer, sandbox)
            stack.pop_all()
        return image_scorer

    def score_file(self, path: Path) -> ScoredRadiograph:
        """One report whatever the file is.

        Raises:
            BackendError: The device failed, which is not the image's fault.
        """
        started = time.perf_counter()
        try:
            radiograph = self.read(path)
            decoded = time.perf_counter()
            scored = self.score(radiograph)
        except ImageError as error:
            return self.unscored(error, path, started)
        return dataclasses.replace(with_decode_time(scored, (decoded - started) * 1000), source=path)

    def read(self, path: Path) -> Radiograph:
        """The image, its file opened only if that cannot block.

        Raises:
            ImageError: It cannot be scored.
        """
        if not is_regular_file(path):
            raise UnreadableImageError("not_a_file", "This is no regular file; expected an image.")
        return self._decoder.read(path)

    def score(self, radiograph: Radiograph) -> ScoredRadiograph:
        """Score an image in memory.

        Raises:
            BackendError: The device failed.
            UnreadableImageError: The image broke the preparation; a fault of ours that must not stop other images.
        """
        try:
            return self._scorer.score(radiograph)
        except (BackendError, ImageError):
            raise
        except Exception as error:
            log.exception("unexpected error while scoring an image")
            message = f"Unexpected {type(error).__name__} while scoring the image; the log says more."
            raise UnreadableImageError("internal_error", message) from None

    def probe(self) -> None:
        """Run the graph on nothing: does the device work?

        Raises:
            BackendError: It does not.
        """
        size = self._scorer.bundle.manifest.input.size_px
        self._scorer.backend.infer(np.zeros((1, 1, size, size), np.float32))

    def unscored(self, error: ImageError, path: Path, started: float) -> ScoredRadiograph:
        """The report of an image that could not be scored, with what was learnt of it before it was refused."""
        image = error.image or ImageInfo()
        if image.sha256 is None:
            image = dataclasses.replace(image, sha256=_digest_or_none(path))
        return ScoredRadiograph(unscored_report(error, image, self.model, started))

    def made(self, report: SeverityReport) -> bool:
        """Whether this model made an earlier report that need not be made again. Failed images are tried again."""
        if report.status == "failed" or report.model is None:
            return False
        return report.model.bundle_sha256 == self.model.bundle_sha256

    def close(self) -> None:
        self._decoder.close()
        self._scorer.close()

    def __enter__(self) -> ImageScorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def with_decode_time(scored: ScoredRadiograph, decode_ms: float) -> ScoredRadiograph:
    """The same image, its timing counted from before it was read."""
    timing = scored.report.timing_ms
    timing = dataclasses.replace(timing, decode=round(decode_ms, 2), total=round(timing.total + decode_ms, 2))
    return dataclasses.replace(scored, report=dataclasses.replace(scored.report, timing_ms=timing))


def _digest_or_none(path: Path) -> str | None:
    try:
        return sha256_of_file(path) if is_regular_file(path) else None
    except OSError:
        return None
