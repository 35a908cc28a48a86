"""Synthetic portable chest films with known lungs and grades: for tests, demo and pre-training."""

from lungsev.phantom.dicom_file import (
    TRANSFER_SYNTAXES,
    DicomStyle,
    draw_style,
    phantom_dataset,
    phantom_uid,
    write_phantom_dicom,
    write_phantom_jpeg,
    write_phantom_png,
)
from lungsev.phantom.film import PhantomFilm, PhantomOptions, make_phantom

__all__ = [
    "TRANSFER_SYNTAXES",
    "DicomStyle",
    "PhantomFilm",
    "PhantomOptions",
    "draw_style",
    "make_phantom",
    "phantom_dataset",
    "phantom_uid",
    "write_phantom_dicom",
    "write_phantom_jpeg",
    "write_phantom_png",
]
