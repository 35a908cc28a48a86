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
from lungsev.phantom.non_chest import NON_CHEST_KINDS, make_non_chest

__all__ = [
    "NON_CHEST_KINDS",
    "TRANSFER_SYNTAXES",
    "DicomStyle",
    "PhantomFilm",
    "PhantomOptions",
    "draw_style",
    "make_non_chest",
    "make_phantom",
    "phantom_dataset",
    "phantom_uid",
    "write_phantom_dicom",
    "write_phantom_jpeg",
    "write_phantom_png",
]
