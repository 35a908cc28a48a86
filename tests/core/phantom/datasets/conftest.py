from __future__ import annotations

from pathlib import Path

import pytest
from phantom_files import DATASET_COUNT, DATASET_SIZE_PX

from lungsev.phantom import LAYOUTS, write_dataset


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("datasets")
    for layout in LAYOUTS:
        if layout != "jsrt":
            write_dataset(root / layout, layout, DATASET_COUNT, seed=3, size_px=DATASET_SIZE_PX)
    return {layout: root / layout for layout in LAYOUTS}
