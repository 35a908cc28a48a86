"""Synthetic portable chest radiographs with known lungs and grades, for tests, demonstration and pre-training."""

from lungsev.phantom.course import CourseDay, CourseRadiograph, draw_day, make_course, plan_course
from lungsev.phantom.datasets.write import LAYOUTS, write_dataset
from lungsev.phantom.dicom_writer import (
    TRANSFER_SYNTAXES,
    DicomStyle,
    draw_style,
    phantom_dataset,
    phantom_uid,
    write_phantom_dicom,
)
from lungsev.phantom.non_chest import NON_CHEST_KINDS, make_non_chest
from lungsev.phantom.picture_writer import write_phantom_jpeg, write_phantom_png
from lungsev.phantom.radiograph import PhantomOptions, PhantomRadiograph, make_phantom

__all__ = [
    "LAYOUTS",
    "NON_CHEST_KINDS",
    "TRANSFER_SYNTAXES",
    "CourseDay",
    "CourseRadiograph",
    "DicomStyle",
    "PhantomRadiograph",
    "PhantomOptions",
    "draw_day",
    "draw_style",
    "make_course",
    "make_non_chest",
    "make_phantom",
    "phantom_dataset",
    "phantom_uid",
    "plan_course",
    "write_dataset",
    "write_phantom_dicom",
    "write_phantom_jpeg",
    "write_phantom_png",
]
