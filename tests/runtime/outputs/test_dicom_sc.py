"""DICOM Secondary Capture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from dicom_results import open_output, written

from lungsev.pipeline import ScoredRadiograph

pytest.importorskip("highdicom")


@pytest.fixture(scope="module")
def scored(make_scored_dicom) -> ScoredRadiograph:
    return make_scored_dicom()


def test_the_capture_is_small_compressed_and_readable(scored, tmp_path: Path) -> None:
    capture = written("dicom_sc", scored, tmp_path)
    assert max(capture.Rows, capture.Columns) <= 1024
    assert (tmp_path / "image.sc.dcm").stat().st_size < 300_000
    assert capture.LossyImageCompression == "01"
    frame = next(iter(pydicom.encaps.generate_frames(capture.PixelData, number_of_frames=1)))
    picture = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (capture.Rows, capture.Columns, 3)


def test_a_refused_image_gets_a_capture_that_says_so(scored, skipped, tmp_path: Path) -> None:
    report = replace(skipped.report, image=scored.report.image)
    refused = replace(skipped, report=report, source=scored.source)
    assert written("dicom_sc", refused, tmp_path).Modality == "OT"
    for name in ("dicom_sr", "dicom_pr"):
        assert open_output(name).write(refused, tmp_path / "none.dcm") is None
