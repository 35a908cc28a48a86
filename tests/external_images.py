"""Images of other people and a stand-in for a model: a file's name says how ill the lungs are, one is refused."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from lungsev.errors import SkippedImageError
from lungsev.geometry import CanvasFrame
from lungsev.grading import Calibration, decode
from lungsev.pipeline import unscored_report
from lungsev.report import ImageInfo, ModelInfo, SeverityReport
from lungsev.schemes import load_scheme

MODEL = ModelInfo("tiny", "1", "0f" * 32, "onnxruntime", "cpu", "fp32")
SIDE_PX = 96
REFUSED = "refused"


class StandIn:
    """Gives the image `<name>-<grade>.png` that grade in all zones; `refused-...` gets no score."""

    def score(self, path: Path) -> SeverityReport:
        name, _, grade = path.stem.partition("-")
        if name == REFUSED:
            return unscored_report(SkippedImageError("inverted", "It is inverted."), ImageInfo(), MODEL, 1.0)
        return report_of([int(grade)] * 6)

    def __enter__(self) -> StandIn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def report_of(grades: list[int]) -> SeverityReport:
    """A scored report of an image of 96 x 96 px whose aligned frame is the image."""
    frame = CanvasFrame(SIDE_PX, SIDE_PX, SIDE_PX, 1.0, (0.0, 0.0))
    score = decode(load_scheme("brixia"), np.eye(4)[grades], np.eye(2, 3), frame, Calibration())
    image = ImageInfo(rows=SIDE_PX, columns=SIDE_PX)
    return SeverityReport("scored", image, MODEL, scores={"brixia": score})


def write_picture(path: Path) -> None:
    """A grey picture; only its name counts."""
    cv2.imwrite(str(path), np.full((SIDE_PX, SIDE_PX), 90, np.uint8))
