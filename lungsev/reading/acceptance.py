"""Which DICOM images lungsev scores: frontal chest radiographs made for people to look at.

The header decides where it says something; where it is silent the quality gate judges the image. An image that is not
scored is skipped with a stable code and a sentence; it does not fail.
"""

from __future__ import annotations

import re

from lungsev.errors import SkippedImageError
from lungsev.reading.codecs import printable_uid
from lungsev.reading.header import DicomHeader

COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
DIGITAL_XRAY_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
DIGITAL_XRAY_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

ACCEPTED_CLASSES = frozenset({COMPUTED_RADIOGRAPHY, DIGITAL_XRAY_PRESENTATION, SECONDARY_CAPTURE})
ACCEPTED_MODALITIES = frozenset({"CR", "DX"})

# How a secondary capture came to be when it is the image's only digital form: digitised image, scan, interface, video.
_ORIGINAL_CONVERSIONS = frozenset({"DF", "DI", "SI", "DV"})

# In the languages met so far; PS3.16 annex L has CHEST, LUNG, THORAX.
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


def require_frontal_chest(header: DicomHeader) -> None:
    """Raise unless the header allows that this is a frontal chest radiograph.

    Raises:
        SkippedImageError: `own_output`, `for_processing`, `unsupported_sop_class`, `unsupported_modality`,
            `multi_frame`, `colour`, `derived`, `other_body_part`, `lateral` or `oblique`.
    """
    _refuse_own_output(header)
    _require_class(header)
    _require_one_grey_frame(header)
    _require_chest(header)
    _require_frontal_view(header)
    _refuse_derived(header)


def names_frontal_view(view: str) -> bool:
    """Whether a View Position says that the radiograph is taken from the front or back."""
    return _FRONTAL_VIEW.search(view.upper()) is not None


def may_be_radiograph(header: DicomHeader) -> bool:
    """Whether the SOP class allows a radiograph; the elements that say more may be missing."""
    return (header.sop_class_uid or COMPUTED_RADIOGRAPHY) in ACCEPTED_CLASSES


def _refuse_own_output(header: DicomHeader) -> None:
    for value in (header.manufacturer, header.model_name, header.series_description):
        if "lungsev" in (value or "").lower():
            raise SkippedImageError("own_output", "this is one of lungsev's own results, not an X-ray")


def _require_class(header: DicomHeader) -> None:
    sop_class, modality = header.sop_class_uid, (header.modality or "").upper()
    if sop_class == DIGITAL_XRAY_PROCESSING or header.presentation_intent == "FOR PROCESSING":
        raise SkippedImageError(
            "for_processing", "this is the raw image of the detector (For Processing); send the one For Presentation"
        )
    if sop_class is not None and sop_class not in ACCEPTED_CLASSES:
        raise SkippedImageError(
            "unsupported_sop_class",
            f"this is not an X-ray (SOP class {printable_uid(sop_class)}); "
            "expected Computed Radiography, Digital X-Ray For Presentation or Secondary Capture",
        )
    silent = modality == "" and sop_class in (COMPUTED_RADIOGRAPHY, DIGITAL_XRAY_PRESENTATION)
    if modality not in ACCEPTED_MODALITIES and not silent:
        raise SkippedImageError(
            "unsupported_modality",
            "this is not from an X-ray unit for chest radiographs: its modality is neither CR nor DX",
        )


def _require_one_grey_frame(header: DicomHeader) -> None:
    if header.frames is not None and header.frames > 1:
        raise SkippedImageError("multi_frame", f"the file holds {header.frames} frames, expected one image")
    # One component is grey whatever its label says (RGB, YBR_FULL_422), unless its values are places in a palette.
    if (header.samples_per_pixel or 1) != 1 or header.photometric_interpretation.startswith("PALETTE"):
        raise SkippedImageError("colour", "the image is in colour, expected one grey value per pixel")


def _refuse_derived(header: DicomHeader) -> None:
    """DERIVED, PRIMARY: processed or recompressed by the unit or archive, accepted. DERIVED, SECONDARY: a copy."""
    if header.image_type[:2] != ("DERIVED", "SECONDARY"):
        return
    if header.sop_class_uid == SECONDARY_CAPTURE and header.conversion_type in _ORIGINAL_CONVERSIONS:
        return
    raise SkippedImageError("derived", "this is a copy made from another image (derived); send the original image")


def _require_chest(header: DicomHeader) -> None:
    for part in header.body_parts:
        words = part.upper().replace("_", " ")
        if not words:
            continue
        if "SPINE" not in words and _CHEST.search(words):
            return
        if _OTHER_PART.search(words):
            raise SkippedImageError(
                "other_body_part", "the file says that this X-ray shows another part of the body than the chest"
            )


def _require_frontal_view(header: DicomHeader) -> None:
    named = [header.view_position or "", *header.view_meanings]
    is_told = any(named)
    if not is_told:  # units without these name the view in the series, at times both views of the visit
        named = [header.series_description or ""]
    words = " ".join(named).upper().replace("_", " ").replace("-", " ")
    if _FRONTAL_VIEW.search(words) and not (is_told and _LATERAL_VIEW.search(words)):
        return
    if _LATERAL_VIEW.search(words):
        raise SkippedImageError(
            "lateral", "the file says that this X-ray is taken from the side, expected from the front or back"
        )
    if _OBLIQUE_VIEW.search(words):
        raise SkippedImageError(
            "oblique", "the file says that this X-ray is taken at an angle, expected from the front or back"
        )
