"""By its header a frontal chest radiograph is accepted; everything else is skipped with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from odd_images import image_dataset, sequence_of, setting

from lungsev.errors import SkippedImageError
from lungsev.reading.acceptance import may_be_radiograph, require_frontal_chest
from lungsev.reading.header import DicomHeader, read_header

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # odd values are the point here


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"SOPClassUID": DX, "Modality": "DX", "PresentationIntentType": "FOR PRESENTATION"},
        {"SOPClassUID": SECONDARY_CAPTURE, "Modality": "CR"},
        {"SOPClassUID": SECONDARY_CAPTURE, "ImageType": ["DERIVED", "SECONDARY"], "ConversionType": "DF"},
        {"SOPClassUID": CR, "Modality": None},
        {"ImageType": ["DERIVED", "PRIMARY"]},
        {"BodyPartExamined": None},
        {"BodyPartExamined": "PORT CHEST"},
        {"BodyPartExamined": "TORAX"},
        {"BodyPartExamined": "WHOLEBODY"},
        {"BodyPartExamined": "", "AnatomicRegionSequence": {"CodeMeaning": "Chest"}},
        {"ViewPosition": "PA"},
        {"ViewPosition": None},
        {"ViewPosition": "AP ERECT"},
        {"ViewPosition": None, "ViewCodeSequence": {"CodeMeaning": "antero-posterior"}},
        {"ViewPosition": None, "SeriesDescription": "CHEST PA/LAT"},
        {"ViewPosition": "AP", "SeriesDescription": "LATERAL"},
    ],
)
def test_frontal_chest_radiographs_are_accepted(tags: dict[str, Any]) -> None:
    require_frontal_chest(_changed(tags))


@pytest.mark.parametrize(
    ("code", "tags"),
    [
        ("own_output", {"Manufacturer": "lungsev"}),
        ("own_output", {"SeriesDescription": "LUNGSEV severity"}),
        ("for_processing", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1", "Modality": "DX"}),
        ("for_processing", {"SOPClassUID": DX, "PresentationIntentType": "FOR PROCESSING"}),
        ("unsupported_sop_class", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}),
        ("unsupported_sop_class", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2", "Modality": "MG"}),
        ("unsupported_modality", {"SOPClassUID": SECONDARY_CAPTURE, "Modality": "OT"}),
        ("unsupported_modality", {"SOPClassUID": SECONDARY_CAPTURE, "Modality": None}),
        ("unsupported_modality", {"SOPClassUID": None, "Modality": None}),
        ("multi_frame", {"NumberOfFrames": 2}),
        ("colour", {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}),
        ("colour", {"PhotometricInterpretation": "PALETTE COLOR"}),
        ("derived", {"ImageType": ["DERIVED", "SECONDARY"]}),
        ("derived", {"SOPClassUID": SECONDARY_CAPTURE, "ImageType": ["DERIVED", "SECONDARY"], "ConversionType": "WSD"}),
        ("other_body_part", {"BodyPartExamined": "HAND"}),
        ("other_body_part", {"BodyPartExamined": "TSPINE"}),
        ("other_body_part", {"BodyPartExamined": "THORACIC_SPINE"}),
        ("other_body_part", {"BodyPartExamined": "LEG"}),
        ("other_body_part", {"BodyPartExamined": "ABDOMEN"}),
        ("other_body_part", {"BodyPartExamined": None, "AnatomicRegionSequence": {"CodeMeaning": "Pelvis"}}),
        ("lateral", {"ViewPosition": "LL"}),
        ("lateral", {"ViewPosition": "LATERAL"}),
        ("lateral", {"ViewPosition": "L_LAT"}),
        ("lateral", {"ViewPosition": None, "ViewCodeSequence": {"CodeMeaning": "left lateral"}}),
        ("lateral", {"ViewPosition": None, "SeriesDescription": "W033 Chest lat."}),
        ("oblique", {"ViewPosition": "RAO"}),
    ],
)
def test_everything_else_is_skipped_with_its_reason(code: str, tags: dict[str, Any]) -> None:
    with pytest.raises(SkippedImageError) as caught:
        require_frontal_chest(_changed(tags))
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("sop_class", "expected"), [(CR, True), (None, True), ("1.2.840.10008.5.1.4.1.1.2", False)])
def test_a_file_cut_short_may_be_a_radiograph_unless_its_class_says_otherwise(
    sop_class: str | None, expected: bool
) -> None:
    assert may_be_radiograph(_changed({"SOPClassUID": sop_class})) is expected


def test_a_message_never_quotes_a_tag() -> None:
    with pytest.raises(SkippedImageError) as caught:
        require_frontal_chest(_changed({"SOPClassUID": "1.2.<script>CANARY", "Modality": "CANARY"}))
    assert "CANARY" not in str(caught.value)
    assert "<" not in str(caught.value)


def _changed(tags: dict[str, Any]) -> DicomHeader:
    dataset = image_dataset()
    setting(**{key: sequence_of(**value) if isinstance(value, dict) else value for key, value in tags.items()})(dataset)
    return read_header(dataset, "1.2.840.10008.1.2.1")
