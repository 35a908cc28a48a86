"""Which images without a score say something about the patient, and which are only files.

A frontal chest radiograph that was refused is the newest one of its patient, and has no score: the card must say so.
A duplicate, the raw twin of an image, a lateral view or a damaged file is a line in a list of files.
"""

from __future__ import annotations

from lungsev.reading.acceptance import names_frontal_view
from lungsev.report import SeverityReport

# The quality gate saw a frontal chest radiograph, and refused it for how it was taken or stored.
FRONTAL_CODES = frozenset(
    {"rotated", "leaning", "inverted", "several_images", "part_missing", "apex_missing", "base_missing"}
)
# The gate does not know what it saw: the header decides.
UNCLEAR_CODES = frozenset({"blank", "grey_table_unusable", "not_frontal_chest", "lungs_not_found", "quality"})
FILE_CODES = frozenset(
    {
        "colour",
        "derived",
        "duplicate",
        "for_processing",
        "lateral",
        "multi_frame",
        "no_pixels",
        "oblique",
        "other_body_part",
        "own_output",
        "too_small",
        "unsupported_modality",
        "unsupported_sop_class",
    }
)


def is_about_patient(report: SeverityReport) -> bool:
    """Whether an image decides what is said of its patient: it has a score, or is a frontal image that was refused."""
    if report.status == "scored":
        return True
    if report.status != "skipped" or report.patient.key is None:
        return False
    return report.reason in FRONTAL_CODES or (
        report.reason in UNCLEAR_CODES and names_frontal_view(report.image.view or "")
    )
