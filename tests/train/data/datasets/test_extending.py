"""The datasets of docs/extending.md work as they are printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lungsev.train.data.datasets.contract import FindingsDataset, GradedDataset, Layout
from lungsev.train.dataset_check.check import check_dataset

PAGE = Path(__file__).resolve().parents[4] / "docs" / "extending.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    ("example", "table", "kind"),
    [
        (EXAMPLES[0], ("scores.csv", "image,patient,grades\na.png,p1,012301\nb.png,p2,111111\n"), GradedDataset),
        (
            EXAMPLES[1],
            ("findings.csv", "image,patient,view,Edema,Pneumonia\na.png,p1,AP,1,\nb.png,p2,PA,0,-1\nc.png,p3,L,1,1\n"),
            FindingsDataset,
        ),
    ],
)
def test_a_printed_dataset_is_recognised_loaded_and_checked(
    tmp_path: Path, example: str, table: tuple[str, str], kind: type
) -> None:
    names: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec"), names)
    layout: Layout = names["LAYOUT"]
    assert not layout.recognises(tmp_path)
    (tmp_path / table[0]).write_text(table[1])
    for seed, name in enumerate(("a.png", "b.png")):
        noise = np.random.default_rng(seed).integers(0, 255, (48, 48), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / name), noise)
    assert layout.recognises(tmp_path)
    dataset = layout.load(tmp_path, None)
    assert isinstance(dataset, kind)
    assert [image.name for image in dataset.images] == ["a.png", "b.png"]
    assert check_dataset(dataset, tmp_path / "cache").images == 2
