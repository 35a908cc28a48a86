"""DICOM presentation state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_results import written

pytest.importorskip("highdicom")


def test_the_presentation_state_repeats_window_and_polarity_and_shows_the_digits(
    make_scored_dicom, tmp_path: Path
) -> None:
    for photometric, shape in (("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")):
        state = written("dicom_pr", make_scored_dicom(photometric=photometric), tmp_path)
        assert state.PresentationLUTShape == shape
    texts = [item.UnformattedTextValue for item in state.GraphicAnnotationSequence[0].TextObjectSequence]
    assert [text[0] for text in texts[:6]] == list("ABCDEF")
    assert "Not for clinical use" in texts[-1]
    assert len(state.GraphicAnnotationSequence[0].GraphicObjectSequence) == 6


def test_the_presentation_state_keeps_the_images_lookup_table(make_scored_dicom, tmp_path: Path) -> None:
    scored = make_scored_dicom(voi="lut")
    table = pydicom.dcmread(scored.source).VOILUTSequence[0]
    kept = written("dicom_pr", scored, tmp_path).SoftcopyVOILUTSequence[0].VOILUTSequence[0]
    assert list(kept.LUTDescriptor[:2]) == list(table.LUTDescriptor[:2])
    assert kept.LUTDescriptor[2] == 16
    before, after = (np.frombuffer(item.LUTData, "<u2").astype(float) for item in (table, kept))
    np.testing.assert_allclose(after / 65535, before / (2 ** table.LUTDescriptor[2] - 1), atol=1e-5)
