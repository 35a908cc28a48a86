"""The unit of phantom patients that people try the dashboard with."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pydicom
import pytest

from lungsev.errors import UnreadableImageError
from lungsev.phantom import unit as unit_module
from lungsev.phantom.unit import count_files, plan_unit, write_unit
from lungsev.reading.read import read_radiograph

NOW = datetime(2026, 11, 25, 9, 30)


@pytest.fixture
def small_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_module, "_IMAGE_SIZE_PX", 128)


def test_images_are_of_the_last_two_weeks_and_the_patients_differ(tmp_path: Path, small_images: None) -> None:
    paths = list(write_unit(tmp_path, 5, 7, NOW))
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert len(paths) == count_files(5, 7)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths if path.name.startswith("P-")]
    taken = [datetime.strptime(f"{header.StudyDate}{header.StudyTime}"[:14], "%Y%m%d%H%M%S") for header in headers]
    assert all(0 < (NOW - moment).total_seconds() < 14.1 * 86400 for moment in taken)
    assert len({header.PatientID for header in headers}) == 5
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)
    assert {header.ViewPosition for header in headers} == {"AP", "PA"}


def test_half_an_image_cannot_be_read_and_the_hand_can(tmp_path: Path, small_images: None) -> None:
    list(write_unit(tmp_path, 1, 7, NOW))
    with pytest.raises(UnreadableImageError, match="cut short"):
        read_radiograph(tmp_path / "half-an-image.dcm")
    assert read_radiograph(tmp_path / "hand.png").pixels.shape[0] > 0


def test_the_same_seed_plans_the_same_patients() -> None:
    assert plan_unit(12, 3) == plan_unit(12, 3)
    assert len({patient.patient_id for patient in plan_unit(100, 3)}) == 100
    assert plan_unit(2, 3) != plan_unit(2, 4)
