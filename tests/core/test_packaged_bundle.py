"""The model that ships: it grades drawn chests sensibly and gives no number to what is no chest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lungsev.model import Model, load
from lungsev.phantom import NON_CHEST_KINDS, make_non_chest, make_phantom
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo, SeverityReport


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with load(sandbox=False) as opened:
        yield opened


def report_of(model: Model, pixels: np.ndarray) -> SeverityReport:
    rows, columns = pixels.shape
    brightness = Brightness(pixels.astype(np.float32))
    radiograph = Radiograph(brightness, ImageInfo(rows=rows, columns=columns), (0, 0, rows, columns))
    return model.score_radiograph(radiograph).report


@pytest.mark.parametrize("kind", NON_CHEST_KINDS)
def test_what_is_no_chest_gets_no_numbers(model: Model, kind: str) -> None:
    report = report_of(model, make_non_chest(kind, seed=1))
    assert report.status == "skipped"
    assert not report.scores


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_radiograph_gets_no_numbers(model: Model, turns: int) -> None:
    pixels = np.rot90(make_phantom(3, grades=(0, 0, 1, 0, 0, 1)).pixels, turns)
    assert report_of(model, np.ascontiguousarray(pixels)).status == "skipped"


def test_a_severe_radiograph_totals_more_than_a_clear_one(model: Model) -> None:
    totals = []
    for grade in (0, 3):
        report = report_of(model, make_phantom(5, grades=(grade,) * 6).pixels)
        assert report.status == "scored"
        totals.append(report.scores["brixia"].total)
    assert totals[0] + 6 <= totals[1]


@pytest.mark.shared
def test_one_radiograph_gets_the_same_grades_from_two_encodings(model: Model, shared_dir: Path) -> None:
    reports = [model.score(shared_dir / "dicom" / f"wg04_RG1_{name}") for name in ("J2KI", "JLSN")]
    grades = [[region.grade for region in report.scores["brixia"].regions] for report in reports]
    assert grades[0] == grades[1]


@pytest.mark.shared
def test_radiographs_of_hips_and_hands_are_refused_by_the_picture_alone(model: Model, shared_dir: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from io import BytesIO

    for name in ("wg04_RG2_J2KR", "wg04_RG3_J2KR"):
        dataset = pydicom.dcmread(shared_dir / "dicom" / name)
        dataset.BodyPartExamined = "CHEST"
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        buffer = BytesIO()
        dataset.save_as(buffer)
        assert model.score(buffer.getvalue()).status == "skipped"
