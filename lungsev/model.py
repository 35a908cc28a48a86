"""The Python API: a model that is opened once and scores one image after the other.

    import lungsev

    with lungsev.load() as model:
        report = model.score("image.dcm")             # path, bytes or array [rows, columns]
        for report in model.score_batch(paths): ...
        picture = model.overlay("image.dcm")          # uint8 [H, W, 3] RGB

Files are read in a child process with a memory and a time limit (`lungsev.sandbox`), so that a hostile or damaged
file harms nothing but its own reading; the network runs in this process. `score` and `watch` use the same class.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lungsev.bundle.archive import demand_trust, read_bundle
from lungsev.errors import BackendError, ImageError, SkippedImageError, UnreadableImageError
from lungsev.inference.select import EAGER, DeviceOptions, open_backend
from lungsev.inference.status import BackendStatus, describe_backend
from lungsev.pipeline import ScoredRadiograph, Scorer, StageClock, unscored_report
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import radiograph_from_array, read_radiograph
from lungsev.report import ImageInfo, ModelInfo, SeverityReport
from lungsev.system import sha256_of_file

log = logging.getLogger("lungsev.model")

ImageSource = str | os.PathLike[str] | bytes | npt.NDArray[Any]


class ImageDecoder(Protocol):
    """Reads one image file."""

    def read(self, path: Path) -> Radiograph:
        """Raises ImageError subclasses only."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


def load(
    bundle: str | os.PathLike[str] | None = None,
    backend: str = "auto",
    threads: int | None = None,
    sandbox: bool = True,
    allow_unsigned: bool = False,
    device: DeviceOptions = EAGER,
) -> Model:
    """Open a model.

    Args:
        bundle: Folder, .zip, or the name of a bundle in a zoo (`lungsev.bundle.zoo`); None is the packaged model.
        backend: `auto` (ONNX Runtime, and TensorRT once an engine that `lungsev-run engine` built is loaded),
            `tensorrt` (waits for its engine, and for its build), `onnxruntime`, `openvino` or `bfloat16`.
        threads: CPU threads of the network; None is all cores.
        allow_unsigned: Open a bundle from elsewhere without a signature of a trusted key (`lungsev.bundle.signature`).
        device: How the GPU is used where there is one (`lungsev.inference.select.DeviceOptions`).
        sandbox: Read files in a limited child process. False starts 0.3 s faster on two cores, for files you trust.

    Raises:
        BundleError: The bundle is missing, damaged, of another version or not signed.
        BackendError: The backend cannot be opened here.
        LungsevError: The reading process does not start.
    """
    with ExitStack() as stack:
        opened = read_bundle(os.fspath(bundle) if bundle is not None else None)
        demand_trust(opened, allow_unsigned)
        decoder: ImageDecoder = DirectDecoder()
        if sandbox:
            from lungsev.sandbox.client import Sandbox

            decoder = worker = stack.enter_context(Sandbox())
            worker.start(wait=False)  # it imports the codecs while the backend opens
        scorer = Scorer(opened, stack.enter_context(open_backend(opened, backend, threads, device)))
        if sandbox:
            worker.start()
        stack.pop_all()
    return Model(scorer, decoder)


class Model:
    """An open model. Use it from one thread at a time, and close it: `with lungsev.load() as model`.

    Attributes:
        scorer: The bundle and the open backend.
    """

    def __init__(self, scorer: Scorer, decoder: ImageDecoder) -> None:
        self.scorer = scorer
        self._decoder = decoder

    @property
    def info(self) -> ModelInfo:
        """Name, version, backend and device, as in the report of the last image."""
        return self.scorer.info

    @property
    def status(self) -> BackendStatus:
        """The backend that scores the next image, and why."""
        return describe_backend(self.scorer.backend)

    def score(self, image: ImageSource) -> SeverityReport:
        """Score an image: a path, the bytes of a file, or an array [rows, columns] as in `radiograph_from_array`.

        An image that cannot be scored gives a report with status `skipped` or `failed` and the reason, no exception.

        Raises:
            BackendError: The device failed, which is not the image's fault.
            ValueError: An array is not two-dimensional, or holds no real numbers.
        """
        return self.examine(image).report

    def score_batch(self, images: Iterable[ImageSource]) -> Iterator[SeverityReport]:
        """Score images one after the other; yields a report for each, in their order.

        Raises:
            BackendError, ValueError: As `score`.
        """
        return map(self.score, images)

    def overlay(self, image: ImageSource) -> npt.NDArray[np.uint8]:
        """Score an image and draw the result on it; a picture without a score says why.

        Returns:
            uint8 [H, W, 3] RGB.

        Raises:
            BackendError, ValueError: As `score`.
        """
        from lungsev.drawing.overlay import draw_overlay

        return draw_overlay(self.examine(image))

    def examine(self, image: ImageSource) -> ScoredRadiograph:
        """Score an image as `score` does; returns the report with what can be drawn beside it.

        Raises:
            BackendError, ValueError: As `score`.
        """
        started = time.perf_counter()
        try:
            return self.examine_readable(image)
        except UnreadableImageError as error:
            return self._unscored(error, image, started)

    def examine_readable(
        self, image: ImageSource, check: Callable[[Radiograph], None] | None = None
    ) -> ScoredRadiograph:
        """Score an image as `examine` does, and let the caller decide what becomes of an unreadable one.

        Args:
            image: As in `score`.
            check: Called between reading and scoring; may raise SkippedImageError.

        Raises:
            UnreadableImageError: The image is damaged or could not be read this time.
            BackendError, ValueError: As `score`.
        """
        started, clock = time.perf_counter(), StageClock()
        try:
            radiograph = self.read(image)
            clock.lap("read")
            if check is not None:
                check(radiograph)
                clock.lap("check")
            scored = self.score_radiograph(radiograph, clock)
        except SkippedImageError as error:
            return self._unscored(error, image, started)
        return replace(scored, source=_path_of(image))

    def read(self, image: ImageSource) -> Radiograph:
        """Read an image without scoring it.

        Raises:
            UnreadableImageError, SkippedImageError: As `read_radiograph`.
            ValueError: As `score`.
        """
        if isinstance(image, np.ndarray):
            return radiograph_from_array(image)
        if isinstance(image, bytes):
            return read_bytes(self._decoder, image)
        return self._decoder.read(Path(image))

    def score_radiograph(self, radiograph: Radiograph, clock: StageClock | None = None) -> ScoredRadiograph:
        """Score a radiograph in memory.

        Raises:
            BackendError: The device failed.
            UnreadableImageError: The image broke the preparation; a bug here, which must not stop other images.
        """
        with no_surprises("scoring"):
            return self.scorer.score(radiograph, clock)

    def probe(self) -> None:
        """Run the graph once on zeros, to find out whether the device works.

        Raises:
            BackendError: It does not.
        """
        size = self.scorer.bundle.manifest.input.size_px
        self.scorer.backend.infer(np.zeros((1, 1, size, size), np.float32))

    def is_current(self, report: SeverityReport) -> bool:
        """Return whether this model made a report that need not be made again. Failed images are tried again."""
        if report.status == "failed" or report.model is None:
            return False
        return report.model.bundle_sha256 == self.info.bundle_sha256

    def close(self) -> None:
        """End the reading process and free the device."""
        self._decoder.close()
        self.scorer.backend.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unscored(self, error: ImageError, image: ImageSource, started: float) -> ScoredRadiograph:
        return ScoredRadiograph(report_without_score(error, image, self.info, started))


class DirectDecoder:
    """Reads in this process: starts at once, and a decoder that crashes ends it."""

    def read(self, path: Path) -> Radiograph:
        """Read an image file.

        Raises:
            UnreadableImageError, SkippedImageError: As `read_radiograph`.
        """
        with no_surprises("reading"):  # a hostile file found a hole in a decoder: other images must not suffer
            return read_radiograph(path)

    def close(self) -> None:
        """Nothing is open."""


def read_bytes(decoder: ImageDecoder, data: bytes) -> Radiograph:
    """Read an image from the bytes of its file.

    Raises:
        UnreadableImageError, SkippedImageError: As `read_radiograph`.
    """
    with _as_file(data) as path:
        return decoder.read(path)


@contextlib.contextmanager
def no_surprises(doing: str) -> Iterator[None]:
    """Make an unexpected error a failure of the one image; errors of the device and of the image stay what they are.

    Args:
        doing: What is done with the image, e.g. `scoring`.

    Raises:
        UnreadableImageError: `out_of_memory`, or `internal_error`, of which the log says more.
    """
    try:
        yield
    except (BackendError, ImageError):
        raise
    except MemoryError:
        raise UnreadableImageError("out_of_memory", "the image needs more memory than this machine has") from None
    except Exception as error:
        log.exception("unexpected %s while %s an image", type(error).__name__, doing)
        message = f"unexpected {type(error).__name__} while {doing} the image; the log says more"
        raise UnreadableImageError("internal_error", message) from None


def report_without_score(error: ImageError, image: ImageSource, model: ModelInfo, started: float) -> SeverityReport:
    """Return the report of an image that could not be scored, with what was learnt of it before it was refused."""
    info = error.image or ImageInfo()
    if info.sha256 is None:
        info = replace(info, sha256=_sha256_of(image))
    return unscored_report(error, info, model, (time.perf_counter() - started) * 1000)


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[Path]:
    """A file in memory, which the reading process opens by its path."""
    descriptor = os.memfd_create("image", os.MFD_CLOEXEC)
    with open(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")


def _path_of(image: ImageSource) -> Path | None:
    return None if isinstance(image, (bytes, np.ndarray)) else Path(image)


def _sha256_of(image: ImageSource) -> str | None:
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    path = _path_of(image)
    try:
        return sha256_of_file(path) if path is not None and path.is_file() else None
    except OSError:
        return None
