"""MIMIC-CXR-JPG: three tables, plain or packed, and a path made of three ids."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_labelled

DatasetMaker = Callable[[str], Path]


def test_packed_tables_are_read_and_views_and_parts_kept(copy_of: DatasetMaker) -> None:
    root = copy_of("mimic")
    plain = load_labelled(root)
    for path in root.glob("*.csv"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = load_labelled(root)
    assert packed.name == "mimic"
    assert [image.name for image in packed.images] == [image.name for image in plain.images]
    assert {image.view_position for image in packed.images} <= {"AP", "PA"}
    assert all(image.patient.startswith("p100") for image in packed.images)
    assert {image.part for image in packed.images} <= {"train", "validate", "test"}  # type: ignore[union-attr]


def test_a_missing_or_damaged_table_is_named(copy_of: DatasetMaker) -> None:
    root = copy_of("mimic")
    split = root / "mimic-cxr-2.0.0-split.csv"
    split.rename(root / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(gzip.compress(b"dicom_id,split\na,b\n")[:-9])
    with pytest.raises(DatasetError, match=r"split\.csv\.gz is a damaged \.gz file"):
        load_labelled(root)
    (root / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    with pytest.raises(DatasetError, match=r"holds no mimic-cxr-2\.0\.0-split\.csv or \.csv\.gz"):
        load_labelled(root)
