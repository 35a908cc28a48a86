"""Reports and exams made by hand, for tests of what is shown of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
from measured import MEASURED

from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.report import ImageInfo, ModelInfo, Quality, QualityFlag, RegionScore, SchemeScore, SeverityReport
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels
from lungsev.runtime.patients.courses import Courses
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.patient_course import PatientCourse
from lungsev.schemes import load_scheme
from lungsev.standing import Standing, StandingEntry, StandingState

WRITTEN_AT = 1_800_000_000.0  # after every image was taken
MODEL = ModelInfo("lungsev-brixia", "1.2.0", "0f" * 32, "onnxruntime", "cpu", "fp32")


def scored_report(
    patient: str | None = "WARD-1",
    taken: str | None = "2026-11-20T08:00:00",
    grades: str = "012321",
    *,
    flags: tuple[QualityFlag, ...] = (),
    view: str | None = "AP",
    model: ModelInfo = MODEL,
    scheme: str = "brixia",
) -> SeverityReport:
    """A report of a 200 x 200 image on which the scheme's boxes are the zones."""
    image = ImageInfo(patient_id=patient, acquired_at=taken, view=view, rows=200, columns=200)
    return SeverityReport(
        "scored", image, model, patient=PatientInfo(id=patient), acquired=Moment.from_iso(taken or ""),
        scores={scheme: scheme_score(grades, scheme)},
        quality=Quality("warn" if flags else "ok", flags), alignment=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    )  # fmt: skip


def scheme_score(grades: str, name: str = "brixia") -> SchemeScore:
    """A score with these grades, a digit for each region."""
    scheme = load_scheme(name)
    regions = []
    for region, digit in zip(scheme.regions, grades, strict=True):
        y0, x0, y1, x1 = (200 * edge for edge in region.box)
        polygon = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        grade = int(digit)
        likely = (max(0, grade - 1), grade)
        weights = [math.exp(-0.7 * (known - grade) ** 2) for known in scheme.grades]
        probabilities = tuple(weight / sum(weights) for weight in weights)
        regions.append(
            RegionScore(region.code, region.name, region.side, grade, float(grade), probabilities, likely, polygon)
        )
    total = sum(map(int, grades))
    interval = (max(0, total - 2), min(scheme.total_max, total + 2))
    return SchemeScore(tuple(regions), total, float(total), interval, 0.8, scheme.total_max, MEASURED)


def skipped_report(patient: str | None = "WARD-2", taken: str | None = "2026-11-21T10:00:00") -> SeverityReport:
    """A report of an image that its header calls frontal and that does not look like one."""
    return SeverityReport(
        "skipped", ImageInfo(patient_id=patient, acquired_at=taken, view="AP"), MODEL,
        patient=PatientInfo(id=patient), acquired=Moment.from_iso(taken or ""),
        reason="not_frontal_chest", message="This is not a frontal chest radiograph.",
    )  # fmt: skip


def failed_report() -> SeverityReport:
    """A report of a damaged file."""
    return SeverityReport("failed", ImageInfo(), error="truncated", message="The file was cut off.")


def exams_by_id(**reports: SeverityReport) -> dict[str, Exam]:
    """Exams of these ids, all written at one time."""
    return {name: Exam(name, report, WRITTEN_AT) for name, report in reports.items()}


def course_key(patient: str) -> str:
    """The identity of a patient who has an id and nothing else."""
    return PatientInfo(id=patient).key or ""


def courses_of(exams: Mapping[str, Exam]) -> dict[str, PatientCourse]:
    """The courses of some exams."""
    courses = Courses()
    courses.update((), exams.values())
    return {key: PatientCourse(key, images) for key, images in courses.all().items()}


def signed(
    exam: Exam, state: StandingState = "corrected", by: str = "AB", reason: str | None = None, **grades: int
) -> Exam:
    """An exam whose result a reader signed, with the grades that differ from the model's."""
    scores = exam.report.scores.items()
    stands = {name: {region.code: region.grade for region in score.regions} | grades for name, score in scores}
    entry = StandingEntry(state, "2026-11-22T10:00:00+00:00", by, reason, stands)
    standing = Standing(state, 2, stands, by, entry.at, reason, history=(entry,))
    return replace(exam, report=replace(exam.report, standing=standing))


def labels(*, private: bool = False, issuer: str | None = None) -> PatientLabels:
    """Labels with an alias that a test can read."""
    return PatientLabels(lambda course: f"alias of {course}", private, issuer)


def put_report(out: Path, name: str, report: SeverityReport, *, with_image: bool = True) -> None:
    """Write a report, and a grey image, as the watcher does."""
    (out / "reports" / f"{name}.json").write_text(report.to_json(), encoding="utf-8")
    if with_image:
        cv2.imwrite(str(out / "images" / f"{name}.png"), np.full((200, 200), 90, np.uint8))


def course_exam(
    total: int,
    hours: float | None,
    *,
    name: str = "",
    patient: str = "PHANTOM-1",
    view: str | None = "AP",
    model: ModelInfo = MODEL,
    uid: str | None = None,
    written_at: float = 0.0,
) -> Exam:
    """An image of a total, spread over zones A-F from the top, some hours after 2 March 2026, 08:15."""
    grades = "".join(str(max(0, min(3, total - 3 * zone))) for zone in range(6))
    taken = None if hours is None else (datetime(2026, 3, 2, 8, 15) + timedelta(hours=hours)).isoformat()
    report = scored_report(patient, taken, grades, view=view, model=model)
    report = replace(report, image=replace(report.image, sop_instance_uid=uid))
    return Exam(name or f"image-{hours}-{total}", report, WRITTEN_AT + written_at)
