"""DICOM results written and read back, for the tests of the three DICOM outputs."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from lungsev.pipeline import ScoredRadiograph
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.outputs.contract import Output


def open_output(name: str) -> Output:
    """The output of this name."""
    return open_outputs([name])[0]


def written(name: str, scored: ScoredRadiograph, folder: Path) -> Dataset:
    """The result of an image, read back from its file."""
    output = open_output(name)
    path = output.write(scored, folder / f"image{output.suffix}")
    assert path is not None
    return pydicom.dcmread(path)
