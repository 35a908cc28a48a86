"""One radiograph in memory in, one result out: preparation, graph, quality gate, grades.

    Radiograph -> Canvas -> backend -> quality gate -> decode -> ScoredRadiograph

`lungsev.model` reads files and calls a `Scorer` for each radiograph.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.bundle.archive import Bundle
from lungsev.bundle.manifest import Manifest
from lungsev.errors import BackendError, ImageError, SkippedImageError
from lungsev.grading import decode
from lungsev.inference.backend import Backend, Outputs
from lungsev.inference.status import reason_of
from lungsev.preprocessing.canvas import Canvas, to_canvas
from lungsev.quality.gate import assess_quality
from lungsev.quality.lung_shape import lungs_in_picture
from lungsev.quality.messages import make_flag, with_missing_zones
from lungsev.reading.radiograph import Radiograph
from lungsev.report import ImageInfo, ModelInfo, Quality, SeverityReport, Timing

FloatMap = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScoredRadiograph:
    """A report and what an output format may want to draw beside it.

    Attributes:
        report: The result.
        radiograph: None when the image could not be read.
        canvas: What the network saw; None when the image could not be read.
        lung_mask: float32 [M, M], 0-1, both lungs on the canvas; None unless the image was scored.
        severity_map: Scheme name to float32 [rows, columns]: expected grade per token of the aligned frame.
        source: The file it came from, for formats that quote its header; None for an image in memory.
        stages_ms: Milliseconds of every stage in order, not rounded: `read`, `prepare`, `infer`, `decode`.
    """

    report: SeverityReport
    radiograph: Radiograph | None = None
    canvas: Canvas | None = None
    lung_mask: FloatMap | None = None
    severity_map: dict[str, FloatMap] = field(default_factory=dict)
    source: Path | None = None
    stages_ms: Mapping[str, float] = field(default_factory=dict)


class StageClock:
    """Times the stages of one image, one after the other, without a gap between them.

    Attributes:
        stages_ms: Milliseconds by stage, in order.
    """

    def __init__(self, stages_ms: Mapping[str, float] | None = None, since: float | None = None) -> None:
        """Start now, or go on after stages that another process timed until `since`, of its `time.perf_counter`."""
        self.stages_ms: dict[str, float] = dict(stages_ms or {})
        self._last = time.perf_counter() if since is None else since

    def lap(self, stage: str) -> None:
        """End a stage that began with the end of the one before it, or with this clock."""
        now = time.perf_counter()
        self.stages_ms[stage] = (now - self._last) * 1000
        self._last = now

    def timing(self) -> Timing:
        """Return the report's form; `total` is the sum of all stages."""
        rounded = {stage: round(milliseconds, 2) for stage, milliseconds in self.stages_ms.items()}
        return Timing(
            decode=rounded.get("read", 0.0),
            prepare=rounded.get("prepare", 0.0),
            infer=rounded.get("infer", 0.0),
            total=round(sum(self.stages_ms.values()), 2),
        )


class Scorer:
    """A bundle on an open backend. Used from one thread; whoever opened the backend closes it."""

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.bundle = bundle
        self.backend = backend

    @property
    def info(self) -> ModelInfo:
        """The model, and where the last image ran."""
        manifest, backend = self.bundle.manifest, self.backend
        return ModelInfo(
            name=manifest.name,
            version=manifest.version,
            bundle_sha256=self.bundle.sha256,
            backend=backend.name,
            device=backend.device,
            precision=backend.precision,
            reason=reason_of(backend),
        )

    def score(self, radiograph: Radiograph, clock: StageClock | None = None) -> ScoredRadiograph:
        """Score a radiograph.

        Args:
            radiograph: Image in memory.
            clock: Has timed what went before, such as reading the file.

        Raises:
            BackendError: The device failed, or the graph gave no numbers.
        """
        clock = clock or StageClock()
        canvas = to_canvas(radiograph, self.bundle.manifest.input.size_px)
        clock.lap("prepare")
        outputs = self.backend.infer(graph_input(canvas))
        clock.lap("infer")
        judged = judge(self.bundle.manifest, self.info, radiograph.image, radiograph.notes, canvas, outputs)
        clock.lap("decode")
        report = replace(judged.report, timing_ms=clock.timing())
        return replace(judged, report=report, radiograph=radiograph, stages_ms=clock.stages_ms)


def graph_input(canvas: Canvas) -> FloatMap:
    """Return the canvas as the graph takes it: float32 [1, 1, S, S]."""
    return np.ascontiguousarray(canvas.pixels[None, None], dtype=np.float32)


def judge(
    manifest: Manifest, model: ModelInfo, image: ImageInfo, notes: Sequence[str], canvas: Canvas, outputs: Outputs
) -> ScoredRadiograph:
    """Return what the graph's outputs say of an image: its grades, or why it gets none.

    Args:
        manifest: Of the bundle whose graph ran.
        model: For the report.
        image: For the report.
        notes: Codes noted while the image was read, see `Radiograph`.
        canvas: What the graph saw.
        outputs: Of the graph, for this image alone.

    Returns:
        The report without times, and what may be drawn beside it; `radiograph` is the caller's to add.

    Raises:
        BackendError: The graph gave no numbers.
    """
    quality = assess_quality(canvas, outputs, notes, manifest.quality)
    if quality.verdict == "refused":
        return ScoredRadiograph(_refused(model, image, quality), canvas=canvas)
    _check_outputs(outputs)
    theta = outputs["theta"][0]
    # A zone outside the picture has no lung, and so no grade.
    lungs = lungs_in_picture(outputs["lung_mask"][0], canvas.pixels, canvas.frame)
    scores = {
        scheme.name: decode(
            scheme,
            outputs[f"probabilities.{scheme.name}"][0],
            theta,
            canvas.frame,
            manifest.scheme_calibration(scheme.name),
            lungs,
        )
        for scheme in manifest.schemes
    }
    report = SeverityReport(
        status="scored",
        image=image,
        patient=image.patient,
        acquired=image.acquired,
        model=model,
        scores=scores,
        quality=quality,
        alignment=_rounded(theta),
    )
    regions = report.scores[report.main_scheme].regions
    missing = [region for region in regions if region.grade is None]
    if len(missing) == len(regions):
        nothing = Quality("refused", (make_flag("lungs_not_found"),), quality.measures)
        return ScoredRadiograph(_refused(model, image, nothing), canvas=canvas)
    if missing:
        report = replace(report, quality=with_missing_zones(quality, missing))
    maps = {scheme.name: outputs[f"severity_map.{scheme.name}"][0] for scheme in manifest.schemes}
    return ScoredRadiograph(report, canvas=canvas, lung_mask=lungs.max(axis=0), severity_map=maps)


def unscored_report(error: ImageError, image: ImageInfo, model: ModelInfo | None, elapsed_ms: float) -> SeverityReport:
    """Return the report of an image that was refused before the network: `skipped` or `failed`, as the error says."""
    skipped = isinstance(error, SkippedImageError)
    text = str(error)
    return SeverityReport(
        status="skipped" if skipped else "failed",
        image=image,
        patient=image.patient,
        acquired=image.acquired,
        model=model,
        reason=error.code if skipped else None,
        error=None if skipped else error.code,
        message=text[:1].upper() + text[1:].rstrip(".") + ".",
        timing_ms=Timing(decode=round(elapsed_ms, 2), total=round(elapsed_ms, 2)),
    )


def _refused(model: ModelInfo, image: ImageInfo, quality: Quality) -> SeverityReport:
    decisive = next((flag for flag in quality.flags if flag.severity == "refuse"), None)
    return SeverityReport(
        status="skipped",
        image=image,
        patient=image.patient,
        acquired=image.acquired,
        model=model,
        reason=decisive.code if decisive else "quality",
        message=decisive.message if decisive else "The image did not pass the quality gate.",
        quality=quality,
    )


def _rounded(theta: npt.NDArray[np.floating]) -> Any:
    """Return an alignment of either form as nested tuples."""
    if theta.ndim > 1:
        return tuple(_rounded(part) for part in theta)
    return tuple(round(float(value), 5) for value in theta)


def _check_outputs(outputs: Outputs) -> None:
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise BackendError(f"the graph gave NaN or infinity in {name}; verify the bundle and the device")
