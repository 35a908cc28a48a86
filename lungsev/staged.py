"""Scoring in two stages around a network that a server runs: what comes before it, and what comes after.

    prepared = stages.prepare(data)                  # in one process
    report = stages.conclude(prepared, outputs)      # in another, with the graph's outputs for `prepared.pixels`

The same functions as in `lungsev.model` and `lungsev.pipeline`, cut at the network.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from lungsev.bundle.contents import CHECKSUM_FILE, MANIFEST_FILE, check_preprocessing, check_sum, parse_manifest
from lungsev.bundle.manifest import Manifest
from lungsev.errors import BundleError, ImageError
from lungsev.geometry import CanvasFrame
from lungsev.inference.backend import Outputs
from lungsev.model import ImageDecoder, no_surprises, read_bytes, report_without_score
from lungsev.pipeline import StageClock, graph_input, judge, unscored_report
from lungsev.preprocessing.canvas import Canvas, to_canvas
from lungsev.report import ImageInfo, ModelInfo, SeverityReport


@dataclass(frozen=True)
class Prepared:
    """An image between the two stages.

    Attributes:
        pixels: float32 [1, 1, S, S], the graph's input; zeros for an image that gets no score whatever the graph says.
        context: JSON: the rest of what `conclude` needs.
    """

    pixels: npt.NDArray[np.float32]
    context: str


@dataclass(frozen=True)
class _Context:
    """What is known of a readable image besides its canvas; `since` is when it was handed over (perf_counter)."""

    image: ImageInfo
    notes: tuple[str, ...]
    frame: CanvasFrame
    stages_ms: dict[str, float]
    since: float


_CONTEXT = TypeAdapter(_Context)


@dataclass(frozen=True)
class Stages:
    """A bundle's description, without its graphs.

    Attributes:
        manifest: Of the bundle.
        model: The model and where the server runs it, for the report.
    """

    manifest: Manifest
    model: ModelInfo

    def prepare(self, data: bytes, decoder: ImageDecoder) -> Prepared:
        """Read an image and lay it on the canvas.

        Args:
            data: The bytes of its file.
            decoder: Reads it.

        Raises:
            LungsevError: The decoder does not work, which is no fault of the image.
        """
        started, clock = time.perf_counter(), StageClock()
        size = self.manifest.input.size_px
        try:
            radiograph = read_bytes(decoder, data)
            clock.lap("read")
            with no_surprises("scoring"):
                canvas = to_canvas(radiograph, size)
                clock.lap("prepare")
        except ImageError as error:
            refused = report_without_score(error, data, self.model, started)
            return Prepared(np.zeros((1, 1, size, size), np.float32), json.dumps({"report": refused.to_dict()}))
        context = _Context(radiograph.image, radiograph.notes, canvas.frame, clock.stages_ms, time.perf_counter())
        return Prepared(graph_input(canvas), json.dumps(asdict(context)))

    def conclude(self, prepared: Prepared, outputs: Outputs) -> SeverityReport:
        """Return the report of an image; the time in the server's queues counts as the graph's.

        Args:
            prepared: As `prepare` returned it, on this machine.
            outputs: Of the graph, for this image alone.

        Raises:
            BackendError: The graph gave no numbers.
        """
        content = json.loads(prepared.context)
        if "report" in content:
            return SeverityReport.from_dict(content["report"])
        context = _CONTEXT.validate_python(content)
        clock = StageClock(context.stages_ms, context.since)
        clock.lap("infer")
        canvas = Canvas(prepared.pixels[0, 0], context.frame)
        try:
            with no_surprises("scoring"):
                report = judge(self.manifest, self.model, context.image, context.notes, canvas, outputs).report
        except ImageError as error:
            return unscored_report(error, context.image, self.model, sum(clock.stages_ms.values()))
        clock.lap("decode")
        return replace(report, timing_ms=clock.timing())


def open_stages(folder: Path, backend: str, device: str, precision: str, reason: str) -> Stages:
    """Open the description of a bundle.

    Args:
        folder: Holds two of the bundle's files: manifest.yaml and SHA256SUMS.
        backend: What runs the network, for the report.
        device: Where it runs.
        precision: Of the network.
        reason: Why there.

    Raises:
        BundleError: The description is damaged, or of another version than this lungsev.
    """
    try:
        sums, data = (folder / CHECKSUM_FILE).read_bytes(), (folder / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read the model's description in {folder}: {error.strerror or error}") from None
    check_sum(sums, MANIFEST_FILE, data, folder)
    manifest = parse_manifest(data, folder)
    check_preprocessing(manifest, folder)
    identity = hashlib.sha256(sums).hexdigest()
    return Stages(manifest, ModelInfo(manifest.name, manifest.version, identity, backend, device, precision, reason))
