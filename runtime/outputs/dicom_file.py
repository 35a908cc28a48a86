"""What the DICOM results share: patient and study quoted from the image's header, encoding as a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from lungsev import __version__
from lungsev.errors import MissingExtraError
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.source_header import PATIENT_AND_STUDY

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def require_highdicom(feature: str) -> None:
    """Check that the bedside extra is installed.

    Raises:
        MissingExtraError: It is not; the message names `feature`.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise MissingExtraError(feature, "bedside") from None


def complete(result: Dataset, header: Dataset, report: SeverityReport) -> None:
    """Set every patient and study attribute of the image's header, and the versions of lungsev and its model."""
    result.SoftwareVersions = [__version__, *([report.model.version] if report.model else [])]
    if "SpecificCharacterSet" in header:
        result.SpecificCharacterSet = header.SpecificCharacterSet
    for keyword in PATIENT_AND_STUDY:
        if keyword in header:
            result[keyword] = header[keyword]


def encode_file(dataset: Dataset) -> bytes:
    """Encode a dataset with its file meta information as a DICOM file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
