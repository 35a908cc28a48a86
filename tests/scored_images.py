"""Fixtures: scored images for drawing and outputs, phantoms with their true lungs and grades."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from lungsev.grading import Calibration, decode
from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.pipeline import ScoredRadiograph
from lungsev.preprocessing.canvas import to_canvas
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import read_radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo, ModelInfo, Quality, QualityFlag, SeverityReport
from lungsev.schemes import load_scheme

MODEL = ModelInfo("lungsev-brixia", "1.2.0", "0f" * 32, "onnxruntime", "cpu", "fp32")
IMAGE = ImageInfo(
    sop_instance_uid="1.2.826.0.1.3680043.8.498.1",
    study_instance_uid="1.2.826.0.1.3680043.8.498.2",
    series_instance_uid="1.2.826.0.1.3680043.8.498.3",
    patient_id="PHANTOM-1",
    acquired_at="2026-11-22T08:15:00",
    modality="DX",
    view="AP",
    sha256="ab" * 32,
    patient=PatientInfo(id="PHANTOM-1"),
    acquired=Moment("2026-11-22T08:15:00", "second"),
)
MakeScored = Callable[..., ScoredRadiograph]


@dataclass(frozen=True)
class Case:
    """An image with the truth about it."""

    radiograph: Radiograph
    lung_mask: np.ndarray
    grades: tuple[int, ...]


@pytest.fixture(scope="session")
def make_scored() -> MakeScored:
    """Build a scored image from a phantom: `make_scored(grades=(...), flags=(...), scheme="brixia")`."""
    cases: dict[int, Case] = {}

    def make(
        seed: int = 7,
        *,
        grades: tuple[int, ...] | None = None,
        flags: tuple[QualityFlag, ...] = (),
        scheme: str = "brixia",
        image: ImageInfo = IMAGE,
    ) -> ScoredRadiograph:
        if seed not in cases:
            phantom = make_phantom(seed, size_px=640)
            rows, columns = phantom.pixels.shape
            cases[seed] = Case(
                Radiograph(
                    Brightness(phantom.pixels), replace(IMAGE, rows=rows, columns=columns), (0, 0, rows, columns)
                ),
                phantom.lung_mask,
                phantom.grades,
            )
        case = cases[seed]
        rows, columns = case.radiograph.pixels.shape
        radiograph = replace(case.radiograph, image=replace(image, rows=rows, columns=columns))
        return score_truly(replace(case, radiograph=radiograph), grades, flags, scheme)

    return make


@pytest.fixture(scope="session")
def make_scored_dicom(tmp_path_factory: pytest.TempPathFactory) -> MakeScored:
    """The same from a DICOM file, which the scored image then names as its source."""

    def make(seed: int = 7, *, edit: Callable[[Dataset], None] | None = None, **style: object) -> ScoredRadiograph:
        phantom = make_phantom(seed, size_px=640)
        path = tmp_path_factory.mktemp("images") / "image.dcm"
        write_phantom_dicom(phantom, path, **style)
        if edit is not None:
            dataset = pydicom.dcmread(path)
            edit(dataset)
            dataset.save_as(path)
        radiograph = read_radiograph(path)
        scored = score_truly(Case(radiograph, phantom.lung_mask, phantom.grades), None, (), "brixia")
        return replace(scored, source=path)

    return make


def score_truly(
    case: Case, grades: tuple[int, ...] | None, flags: tuple[QualityFlag, ...], scheme: str
) -> ScoredRadiograph:
    """What a perfect model would say."""
    canvas = to_canvas(case.radiograph)
    frame = canvas.frame
    placed = np.array([[frame.scale, 0, frame.offset_px[0]], [0, frame.scale, frame.offset_px[1]]])
    mask = cv2.warpAffine((case.lung_mask > 0).astype(np.float32), placed, (frame.size_px, frame.size_px))
    ys, xs = np.nonzero(mask > 0.5)
    centre = np.array([xs.min() + xs.max(), ys.min() + ys.max()]) / frame.size_px - 1
    half = np.array([np.ptp(xs), np.ptp(ys)]) / frame.size_px
    theta = np.array([[half[0], 0.0, centre[0]], [0.0, half[1], centre[1]]])
    definition = load_scheme(scheme)
    chosen = grades or (case.grades if scheme == "brixia" else (1,) * definition.num_regions)
    certain = np.eye(definition.num_grades)[[definition.grades.index(grade) for grade in chosen]]
    probabilities = 0.8 * certain + 0.2 / definition.num_grades
    score = decode(definition, probabilities, theta, frame, Calibration(interval_margin=0.5))
    severity = np.linspace(definition.grades[0], definition.grades[-1], 256, dtype=np.float32).reshape(16, 16)
    report = SeverityReport(
        patient=case.radiograph.image.patient,
        acquired=case.radiograph.image.acquired,
        status="scored",
        image=case.radiograph.image,
        model=MODEL,
        scores={scheme: score},
        quality=Quality("warn" if flags else "ok", flags, {"lung_fraction": 0.31}),
        alignment=tuple(tuple(float(value) for value in row) for row in theta),
    )
    return ScoredRadiograph(report, case.radiograph, canvas, cv2.resize(mask, (256, 256)), {scheme: severity})


@pytest.fixture
def skipped(make_scored: MakeScored) -> ScoredRadiograph:
    """An image the gate refused, pixels and all."""
    scored = make_scored()
    flag = QualityFlag("lungs_not_found", "refuse", "No lungs were found on this image.")
    report = SeverityReport(
        "skipped",
        scored.report.image,
        MODEL,
        patient=scored.report.patient,
        acquired=scored.report.acquired,
        reason="not_frontal_chest",
        message="This is not a frontal chest radiograph.",
        quality=Quality("refused", (flag,)),
    )
    return ScoredRadiograph(report, scored.radiograph, scored.canvas)


@pytest.fixture
def failed() -> ScoredRadiograph:
    """A file nobody could read."""
    message = "The file ends after 1234 of 8000 bytes of pixel data: send it again."
    return ScoredRadiograph(SeverityReport("failed", ImageInfo(sha256="cd" * 32), error="truncated", message=message))
