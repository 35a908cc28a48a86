"""Codes of SNOMED CT, LOINC and UCUM, and lungsev's own where none of them has one."""

from __future__ import annotations

from typing import NamedTuple

from lungsev.report import RegionScore
from lungsev.standing import Direction

PRIVATE_SCHEME = "99LUNGSEV"
PRIVATE_SYSTEM = "urn:oid:2.25.244870253187461529364158723915407364521"  # FHIR and HL7 name for the same
SNOMED_SYSTEM = "http://snomed.info/sct"
LOINC_SYSTEM = "http://loinc.org"
UCUM_SYSTEM = "http://unitsofmeasure.org"


class Code(NamedTuple):
    """A coded concept, in the order DICOM writes it."""

    value: str
    scheme: str
    meaning: str


RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
LUNG = Code("39607008", "SCT", "Lung")
BOTH_LUNGS = Code("74101002", "SCT", "Both lungs")
UPPER_ZONE = Code("281392002", "SCT", "Upper lung zone")
MIDDLE_ZONE = Code("281393007", "SCT", "Middle lung zone")
LOWER_ZONE = Code("281394001", "SCT", "Lower lung zone")
CHEST_IMAGE = Code("30746-2", "LN", "Portable XR Chest Views")
SCORE_UNIT = Code("{score}", "UCUM", "score")
PERCENT = Code("%", "UCUM", "percent")

STUDY = Code("113014", "DCM", "DICOM Study")  # so named in the messages of IHE RAD-28
SERIES_UID = Code("112002", "DCM", "Series Instance UID")
IMAGE_UID = Code("SOP-UID", PRIVATE_SCHEME, "SOP Instance UID of the image")
WARNING = Code("WARNING", PRIVATE_SCHEME, "Warning, to be read first")
REMARK = Code("NOTE", PRIVATE_SCHEME, "Remark")
ACQUIRED = Code("ACQUIRED", PRIVATE_SCHEME, "Date and time of the image")
CHANGE = Code("CHANGE", PRIVATE_SCHEME, "Change since an earlier image")
CHANGE_PROBABILITY = Code("CHANGE-PROB", PRIVATE_SCHEME, "Probability of the change")
QUALITY_REMARK = Code("QUALITY", PRIVATE_SCHEME, "Image quality remark")
ASSESSMENT = Code("ASSESSMENT", PRIVATE_SCHEME, "Whether a region can be assessed")
NOT_ASSESSABLE = Code("NOT-ASSESSABLE", PRIVATE_SCHEME, "Not assessable")
NO_TOTAL = Code("NO-TOTAL", PRIVATE_SCHEME, "No total: not every region can be assessed")
_DIRECTIONS = {"worse": "Worse", "better": "Better", "none": "No clear change", "unknown": "Cannot be compared"}


def quality_code(flag: str) -> Code:
    """Return the code of a quality flag such as `tilted`; its message is in JSON, FHIR and HL7."""
    return Code(flag.upper(), PRIVATE_SCHEME, flag.replace("_", " ").capitalize()[:64])


def region_site(region: RegionScore) -> tuple[Code, Code | None]:
    """Return the finding site of a region, by the words of its name, and its laterality; None for both lungs."""
    words = region.name.lower().split()
    laterality = {"right": RIGHT, "left": LEFT}.get(region.side)
    for word, zone in (("upper", UPPER_ZONE), ("middle", MIDDLE_ZONE), ("lower", LOWER_ZONE)):
        if word in words:
            return zone, laterality
    return LUNG, laterality


def region_code(scheme: str, region: str) -> Code:
    """Return `BRIXIA-A` and the like: no terminology has codes for the zones of chest severity scores."""
    return Code(f"{scheme}-{region}".upper()[:16], PRIVATE_SCHEME, f"{scheme} score, region {region}"[:64])


def total_code(scheme: str) -> Code:
    """Return the code of a scheme's total."""
    return Code(f"{scheme}-TOTAL".upper()[:16], PRIVATE_SCHEME, f"{scheme} score, total"[:64])


def partial_code(scheme: str) -> Code:
    """Return the code of the sum of the regions that have a grade, where not all have one: never that of a total."""
    return Code(f"{scheme}-PARTIAL".upper()[:16], PRIVATE_SCHEME, f"{scheme} score, sum of some regions"[:64])


def partial_max_code(scheme: str) -> Code:
    """Return the code of the highest value that this sum can have."""
    return Code(f"{scheme}-OUTOF".upper()[:16], PRIVATE_SCHEME, f"{scheme} score, highest sum of them"[:64])


def model_total_code(scheme: str) -> Code:
    """Return the code of the total that the model gave, where a reader corrected it."""
    return Code(f"{scheme}-MODEL".upper()[:16], PRIVATE_SCHEME, f"{scheme} score, total of the model"[:64])


def direction_code(direction: Direction) -> Code:
    """Return the code of a change's direction."""
    return Code(f"CHANGE-{direction}".upper(), PRIVATE_SCHEME, _DIRECTIONS[direction])


def interval_codes(scheme: str) -> tuple[Code, Code]:
    """Return the codes of the lower and the upper end of the total's interval."""
    return (
        Code(f"{scheme}-LOW".upper()[:16], PRIVATE_SCHEME, f"{scheme} total, lower end of interval"[:64]),
        Code(f"{scheme}-HIGH".upper()[:16], PRIVATE_SCHEME, f"{scheme} total, upper end of interval"[:64]),
    )
