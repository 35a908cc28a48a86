"""One image in, one report out: preparation, graph, quality gate, decoding.

    file -> Radiograph -> Canvas -> backend -> quality gate -> decode -> SeverityReport

A `Scorer` is opened once, used from one thread and closed.
"""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import BackendError, ImageError, SkippedImageError, UnreadableImageError
from lungsev.grading import decode
from lungsev.inference.backend import Backend, Outputs
from lungsev.inference.select import open_backend
from lungsev.preprocessing.canvas import Canvas, to_canvas
from lungsev.quality.gate import assess_quality
from lungsev.reading.limits import ReadLimits
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import read_file, read_radiograph_bytes
from lungsev.report import ImageInfo, ModelInfo, Quality, SeverityReport, Timing

log = logging.getLogger("lungsev.pipeline")

DEFAULT_LIMITS = ReadLimits()

FloatMap = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScoredRadiograph:
    """A report and what an output format may want to draw beside it.

    Attributes:
        radiograph: None when the file could not be read.
        canvas: What the network saw; None when the image could not be read.
        lung_mask: float32 [M, M], 0-1, on the canvas; None unless the image was scored.
        severity_map: Scheme name to float32 [rows, columns]: expected grade per token of the canonical frame.
        source: The file it came from, for formats that quote its header; None for an image in memory.
    """

    report: SeverityReport
    radiograph: Radiograph | None = None
    canvas: Canvas | None = None
    lung_mask: FloatMap | None = None
    severity_map: dict[str, FloatMap] = field(default_factory=dict)
    source: Path | None = None


class Scorer:
    """A bundle opened on a backend. Closes the backend with itself."""

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.backend = backend
        self.model = ModelInfo(
            name=bundle.manifest.name,
            version=bundle.manifest.version,
            bundle_sha256=bundle.sha256,
            backend=backend.name,
            device=backend.device,
            precision=backend.precision,
        )

    def score(self, radiograph: Radiograph) -> ScoredRadiograph:
        """Score an image that is in memory already; its `decode` time is 0.

        Raises:
            BackendError: The device failed, or the graph gave no numbers.
        """
        started = time.perf_counter()
        canvas = to_canvas(radiograph, self.bundle.manifest.input.size_px)
        prepared = time.perf_counter()
        outputs = self.backend.infer(np.ascontiguousarray(canvas.pixels[None, None], dtype=np.float32))
        inferred = time.perf_counter()
        quality = assess_quality(canvas, outputs, radiograph.notes, self.bundle.manifest.quality)
        if quality.verdict == "refused":
            scored = ScoredRadiograph(self._refused(radiograph.image, quality), radiograph, canvas)
        else:
            _check_outputs(outputs)
            scored = self._decoded(radiograph, canvas, outputs, quality)
        timing = Timing(
            prepare=_milliseconds(started, prepared),
            infer=_milliseconds(prepared, inferred),
            total=_milliseconds(started, time.perf_counter()),
        )
        return replace(scored, report=replace(scored.report, timing_ms=timing))

    def score_file(self, path: Path, limits: ReadLimits = DEFAULT_LIMITS) -> ScoredRadiograph:
        """Read and score a file. An image that cannot be scored gives a skipped or failed report, never an exception.

        Raises:
            BackendError: The device failed, which is not the image's fault.
        """
        started = time.perf_counter()
        data = b""
        try:
            data = read_file(path, limits)
            radiograph = read_radiograph_bytes(data, limits)
            decoded = time.perf_counter()
            scored = self.score(radiograph)
        except BackendError:
            raise
        except ImageError as error:
            return self._unscored(error, data, started)
        except MemoryError:
            message = "the image needs more memory than this machine has"
            return self._unscored(UnreadableImageError("out_of_memory", message), data, started)
        except Exception as error:  # a hostile file found a hole in a decoder: the other images go on
            log.exception("unexpected %s while scoring an image", type(error).__name__)
            message = f"unexpected {type(error).__name__} while reading the image; see the log"
            return self._unscored(UnreadableImageError("internal_error", message), data, started)
        decode_ms = _milliseconds(started, decoded)
        timing = scored.report.timing_ms
        timing = replace(timing, decode=decode_ms, total=round(timing.total + decode_ms, 2))
        return replace(scored, report=replace(scored.report, timing_ms=timing), source=path)

    def close(self) -> None:
        self.backend.close()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decoded(self, radiograph: Radiograph, canvas: Canvas, outputs: Outputs, quality: Quality) -> ScoredRadiograph:
        manifest = self.bundle.manifest
        theta = outputs["theta"][0]
        scores = {
            scheme.name: decode(
                scheme,
                outputs[f"probabilities.{scheme.name}"][0],
                theta,
                canvas.frame,
                manifest.scheme_calibration(scheme.name),
            )
            for scheme in manifest.schemes
        }
        report = SeverityReport(
            status="scored",
            image=radiograph.image,
            model=self.model,
            scores=scores,
            quality=quality,
            alignment=tuple(tuple(round(float(value), 5) for value in row) for row in theta),
        )
        maps = {scheme.name: outputs[f"severity_map.{scheme.name}"][0] for scheme in manifest.schemes}
        return ScoredRadiograph(report, radiograph, canvas, outputs["lung_mask"][0, 0], maps)

    def _refused(self, image: ImageInfo, quality: Quality) -> SeverityReport:
        decisive = next((flag for flag in quality.flags if flag.severity == "refuse"), None)
        return SeverityReport(
            status="skipped",
            image=image,
            model=self.model,
            reason=decisive.code if decisive else "quality",
            message=decisive.message if decisive else "The image did not pass the quality gate.",
            quality=quality,
        )

    def _unscored(self, error: ImageError, data: bytes, started: float) -> ScoredRadiograph:
        image = error.image or ImageInfo(sha256=hashlib.sha256(data).hexdigest() if data else None)
        return ScoredRadiograph(unscored_report(error, image, self.model, started))


def unscored_report(error: ImageError, image: ImageInfo, model: ModelInfo | None, started: float) -> SeverityReport:
    """`skipped` or `failed`, as the error says; `started` is on the clock of time.perf_counter."""
    skipped = isinstance(error, SkippedImageError)
    elapsed = _milliseconds(started, time.perf_counter())
    words = str(error)
    return SeverityReport(
        status="skipped" if skipped else "failed",
        image=image,
        model=model,
        reason=error.code if skipped else None,
        error=None if skipped else error.code,
        message=words[:1].upper() + words[1:].rstrip(".") + ".",
        timing_ms=Timing(decode=elapsed, total=elapsed),
    )


def open_scorer(bundle: Path | None = None, backend: str = "auto", threads: int | None = None) -> Scorer:
    """Open a bundle (None: the one that ships) on a backend.

    Raises:
        BundleError: The bundle is missing, damaged or of another version.
        BackendError: The backend cannot be opened here.
    """
    opened = read_bundle(bundle)
    return Scorer(opened, open_backend(opened, backend, threads))


def _check_outputs(outputs: Outputs) -> None:
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise BackendError(f"the graph gave NaN or infinity in {name}; verify the bundle and the device")


def _milliseconds(start: float, stop: float) -> float:
    return round((stop - start) * 1000, 2)
