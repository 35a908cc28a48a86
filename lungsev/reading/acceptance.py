"""Which DICOM images lungsev scores: frontal chest radiographs made for people to look at.

The tags decide where they speak; where they are silent the quality gate judges the image. An image that is not ours is
skipped with a stable code and a sentence, not failed.
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from lungsev.errors import SkippedImageError
from lungsev.reading import tags
from lungsev.reading.codecs import printable_uid

COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
DIGITAL_XRAY_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
DIGITAL_XRAY_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

ACCEPTED_CLASSES = frozenset({COMPUTED_RADIOGRAPHY, DIGITAL_XRAY_PRESENTATION, SECONDARY_CAPTURE})
ACCEPTED_MODALITIES = frozenset({"CR", "DX"})

# How a secondary capture came to be when it is the image's only digital form: digitised image, scan, interface, video.
_ORIGINAL_CONVERSIONS = frozenset({"DF", "DI", "SI", "DV"})

# In the languages of the units met so far; PS3.16 annex L has CHEST, LUNG, THORAX.
_CHEST = re.compile(r"CHEST|THORAX|TORAX|TORACE|LUNG|PULM|POUMON|PECHO|PEITO|BRUST|^CXR")
_OTHER_PART = re.compile(
    r"ABD|ANKLE|ARM|AORTA|BLADDER|BONE|BRAIN|BREAST|CALC|CAROTID|CLAV|COCCYX|COLON|DENT|EAR\b|ELBOW|EXTREM|EYE|FACE|FACIAL|"
    r"FEMUR|FINGER|FOOT|FEET|FOREARM|HAND|HEAD|HEEL|HIP|HUMERUS|ILIUM|JAW|KIDNEY|KNEE|KUB|LEG\b|LEGS\b|LIVER|MAXILLA|"
    r"MANDIBLE|NASAL|NECK|NOSE|ORBIT|PATELLA|PELVIS|PELVIC|PHANTOM|RADIUS|RIB|SACRUM|SCAPULA|SHOULDER|SINUS|SKULL|SPINE|"
    r"STERNUM|STOMACH|TEETH|THIGH|THUMB|TIBIA|TMJ|TOE|ULNA|URETER|UTERUS|VERTEBRA|WRIST|ZYGOMA"
)
_FRONTAL_VIEW = re.compile(r"\b(AP|PA|FRONTAL)\b")
_LATERAL_VIEW = re.compile(r"\b(LL|RL|LAT|LATERALE?|LLAT|RLAT|LLD|RLD|DECUB|DECUBITUS|PROFILE?|PERFIL|SEITLICH)\b")
_OBLIQUE_VIEW = re.compile(r"\b(LLO|RLO|LAO|RAO|LPO|RPO|OBL|OBLIQUE)\b")


def require_frontal_chest(dataset: Dataset) -> None:
    """Let an image pass that the tags do not speak against.

    Raises:
        SkippedImageError: `own_output`, `for_processing`, `unsupported_sop_class`, `unsupported_modality`,
            `multi_frame`, `colour`, `derived`, `other_body_part`, `lateral` or `oblique`.
    """
    _refuse_own_output(dataset)
    _require_class(dataset)
    _require_one_grey_frame(dataset)
    _require_chest(dataset)
    _require_frontal_view(dataset)
    _refuse_derived(dataset)


def may_be_radiograph(dataset: Dataset) -> bool:
    """Whether the class does not speak against an image; the tags that say more may be missing."""
    return (tags.read_text(dataset, "SOPClassUID") or COMPUTED_RADIOGRAPHY) in ACCEPTED_CLASSES


def view_position(dataset: Dataset) -> str | None:
    """The view as the file names it, for the report."""
    return tags.read_text(dataset, "ViewPosition")


def _refuse_own_output(dataset: Dataset) -> None:
    for keyword in ("Manufacturer", "ManufacturerModelName", "SeriesDescription"):
        if "lungsev" in (tags.read_text(dataset, keyword) or "").lower():
            raise SkippedImageError("own_output", "this is one of lungsev's own results, not an image")


def _require_class(dataset: Dataset) -> None:
    sop_class = tags.read_text(dataset, "SOPClassUID")
    intent = (tags.read_text(dataset, "PresentationIntentType") or "").upper()
    modality = (tags.read_text(dataset, "Modality") or "").upper()
    if sop_class == DIGITAL_XRAY_PROCESSING or intent == "FOR PROCESSING":
        raise SkippedImageError(
            "for_processing", "this is the raw image of the detector (For Processing); send the one For Presentation"
        )
    if sop_class is not None and sop_class not in ACCEPTED_CLASSES:
        raise SkippedImageError(
            "unsupported_sop_class",
            f"this is no X-ray (SOP class {printable_uid(sop_class)}); "
            "expected Computed Radiography, Digital X-Ray For Presentation or Secondary Capture",
        )
    silent = modality == "" and sop_class in (COMPUTED_RADIOGRAPHY, DIGITAL_XRAY_PRESENTATION)
    if modality not in ACCEPTED_MODALITIES and not silent:
        raise SkippedImageError(
            "unsupported_modality",
            "this is not from an X-ray unit for chest radiographs: its modality is neither CR nor DX",
        )


def _require_one_grey_frame(dataset: Dataset) -> None:
    frames = tags.read_integer(dataset, "NumberOfFrames")
    if frames is not None and frames > 1:
        raise SkippedImageError("multi_frame", f"the file holds {frames} frames, expected one image")
    samples = tags.read_integer(dataset, "SamplesPerPixel")
    photometric = (tags.read_text(dataset, "PhotometricInterpretation") or "").upper()
    if (samples or 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise SkippedImageError("colour", "the image is in colour, expected one grey value per pixel")


def _refuse_derived(dataset: Dataset) -> None:
    """DERIVED\\PRIMARY: processed or recompressed by the unit or archive, accepted. DERIVED\\SECONDARY: a copy."""
    image_type = tuple(value.upper() for value in tags.read_texts(dataset, "ImageType"))
    if image_type[:2] != ("DERIVED", "SECONDARY"):
        return
    is_capture = tags.read_text(dataset, "SOPClassUID") == SECONDARY_CAPTURE
    if is_capture and (tags.read_text(dataset, "ConversionType") or "").upper() in _ORIGINAL_CONVERSIONS:
        return
    raise SkippedImageError("derived", "this is a copy made from another image (derived); send the original image")


def _require_chest(dataset: Dataset) -> None:
    named = [tags.read_text(dataset, "BodyPartExamined")]
    named += [tags.read_text(item, "CodeMeaning") for item in tags.read_items(dataset, "AnatomicRegionSequence")]
    for part in named:
        words = (part or "").upper().replace("_", " ")
        if not words:
            continue
        if "SPINE" not in words and _CHEST.search(words):
            return
        if _OTHER_PART.search(words):
            raise SkippedImageError(
                "other_body_part", "the file says that another part of the body than the chest was taken"
            )


def _require_frontal_view(dataset: Dataset) -> None:
    named = [view_position(dataset)]
    named += [tags.read_text(item, "CodeMeaning") for item in tags.read_items(dataset, "ViewCodeSequence")]
    is_told = any(named)
    if not is_told:  # units without these name the view in the series, at times both views of the visit
        named = [tags.read_text(dataset, "SeriesDescription")]
    words = " ".join((view or "") for view in named).upper().replace("_", " ").replace("-", " ")
    if _FRONTAL_VIEW.search(words) and not (is_told and _LATERAL_VIEW.search(words)):
        return
    if _LATERAL_VIEW.search(words):
        raise SkippedImageError(
            "lateral", "the file says that it is taken from the side; expected from the front or back"
        )
    if _OBLIQUE_VIEW.search(words):
        raise SkippedImageError(
            "oblique", "the file says that it is taken at an angle; expected from the front or back"
        )
