"""Small phantom datasets with findings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

DatasetMaker = Callable[[str], Path]


@pytest.fixture
def copy_of(phantom_dataset: DatasetMaker, tmp_path: Path) -> DatasetMaker:
    """A copy of a phantom dataset that a test may change."""
    return lambda layout: shutil.copytree(phantom_dataset(layout), tmp_path / layout)
