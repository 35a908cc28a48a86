"""Phantom DICOM files have the header of a portable unit, and their own transforms give the image back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from lungsev.phantom import (
    TRANSFER_SYNTAXES,
    PhantomOptions,
    PhantomRadiograph,
    draw_style,
    make_phantom,
    phantom_dataset,
    phantom_uid,
    write_phantom_dicom,
)


@pytest.fixture(scope="module")
def radiograph() -> PhantomRadiograph:
    return make_phantom(4, size_px=(120, 96))


@pytest.mark.parametrize("transfer_syntax", TRANSFER_SYNTAXES)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_every_transfer_syntax_gives_the_radiograph_back(
    radiograph: PhantomRadiograph, tmp_path: Path, transfer_syntax: str, photometric: str
) -> None:
    path = write_phantom_dicom(
        radiograph, tmp_path / "image.dcm", transfer_syntax=transfer_syntax, photometric=photometric, bits=12
    )
    dataset = pydicom.dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID == TRANSFER_SYNTAXES[transfer_syntax]
    assert dataset.PhotometricInterpretation == photometric
    np.testing.assert_allclose(_displayed(dataset), radiograph.pixels, atol=2e-3)


@pytest.mark.parametrize("voi", ["window", "exact", "lut", "two_windows"])
@pytest.mark.parametrize("rescale", [None, (1.0, 0.0), (0.5, 0.0), (1.0, 100.0)])
@pytest.mark.parametrize("bits", [10, 16])
def test_every_grey_scale_gives_the_radiograph_back(
    radiograph: PhantomRadiograph, voi: str, rescale: tuple[float, float] | None, bits: int
) -> None:
    dataset = phantom_dataset(radiograph, voi=voi, rescale=rescale, bits=bits, photometric="MONOCHROME1")
    np.testing.assert_allclose(_displayed(dataset), radiograph.pixels, atol=6e-3)


def test_sigmoid_window_follows_the_standard(radiograph: PhantomRadiograph) -> None:
    dataset = phantom_dataset(radiograph, voi="sigmoid", bits=16)
    stored = dataset.pixel_array.astype(np.float64)
    # DICOM PS3.3 C.11.2.1.3.1
    display = 1 / (1 + np.exp(-4 * (stored - dataset.WindowCenter) / dataset.WindowWidth))
    inside = (radiograph.pixels > 0.01) & (radiograph.pixels < 0.99)
    np.testing.assert_allclose(display[inside], radiograph.pixels[inside], atol=2e-3)


def test_header_says_chest_radiograph_of_this_patient_and_day(radiograph: PhantomRadiograph) -> None:
    dataset = phantom_dataset(radiograph, modality="DX", acquired_at=datetime(2026, 5, 4, 3, 2, 1), patient_id="PH1")
    assert (dataset.BodyPartExamined, dataset.ViewPosition) == ("CHEST", "AP")
    assert list(dataset.PatientOrientation) == ["L", "F"]
    assert dataset.PresentationIntentType == "FOR PRESENTATION"
    assert (dataset.AcquisitionDate, dataset.AcquisitionTime) == ("20260504", "030201")
    assert dataset.PatientID == "PH1"
    assert dataset.SOPInstanceUID.is_valid
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


def test_identity_is_the_same_each_time_and_differs_between_radiographs(radiograph: PhantomRadiograph) -> None:
    first, again = phantom_dataset(radiograph), phantom_dataset(radiograph)
    other = phantom_dataset(make_phantom(4, size_px=(120, 96), options=PhantomOptions(exposure_seed=7)), study=2)
    assert first.SOPInstanceUID == again.SOPInstanceUID
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.StudyInstanceUID != other.StudyInstanceUID
    assert first.PatientID == other.PatientID
    assert phantom_uid("a", 1) != phantom_uid("a", 2)


def test_right_first_orientation_stores_the_mirrored_radiograph(radiograph: PhantomRadiograph) -> None:
    straight, mirrored = phantom_dataset(radiograph), phantom_dataset(radiograph, orientation=("R", "F"))
    np.testing.assert_array_equal(straight.pixel_array, mirrored.pixel_array[:, ::-1])


def test_for_processing_and_contradicting_lut_shape_are_written_when_asked(radiograph: PhantomRadiograph) -> None:
    raw = phantom_dataset(radiograph, for_processing=True)
    assert raw.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1.1"
    assert raw.PresentationIntentType == "FOR PROCESSING"
    wrong = phantom_dataset(radiograph, photometric="MONOCHROME1", wrong_lut_shape=True)
    assert wrong.PresentationLUTShape == "IDENTITY"


def test_padding_marks_what_the_shutters_cover() -> None:
    radiograph = next(f for f in (make_phantom(seed, size_px=128) for seed in range(20)) if f.content_box_px[0] > 0)
    dataset = phantom_dataset(radiograph, padding=True, photometric="MONOCHROME1", bits=10)
    assert dataset.PixelPaddingValue == 1023
    assert (dataset.pixel_array[: radiograph.content_box_px[0]] == 1023).all()


def test_makers_differ_and_keep_their_habits(radiograph: PhantomRadiograph) -> None:
    styles = [draw_style(seed) for seed in range(24)]
    by_maker: dict[str, set[tuple[str, str, int]]] = {}
    for style in styles:
        by_maker.setdefault(style.manufacturer, set()).add((style.modality, style.photometric, style.bits))
    assert len(by_maker) == 4
    assert all(len(habits) == 1 for habits in by_maker.values())
    assert draw_style(1, bits=11).bits == 11


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 20}, "8-16"),
        ({"transfer_syntax": "zip"}, "one of"),
        ({"voi": "lut", "bits": 16, "rescale": (2.0, 0.0)}, "16-bit"),
    ],
)
def test_impossible_styles_are_refused(radiograph: PhantomRadiograph, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        phantom_dataset(radiograph, **changes)


def _displayed(dataset: pydicom.Dataset) -> np.ndarray:
    """The image as pydicom's own transforms show it, bone bright."""
    modality = apply_modality_lut(dataset.pixel_array, dataset)
    if "VOILUTSequence" in dataset:
        modality = modality.astype(np.int64)  # pydicom looks up whole numbers only
    values = apply_voi_lut(modality, dataset).astype(np.float64)
    if "VOILUTSequence" in dataset:
        low, high = 0.0, float((1 << dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    else:
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        low, high = intercept, slope * ((1 << dataset.BitsStored) - 1) + intercept
    shown = (values - low) / (high - low)
    return 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown
