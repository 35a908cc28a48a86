"""The datasets of docs/extending.md work as they are printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lungsev.train.data.datasets import Dataset
from lungsev.train.dataset_check.check import check_dataset

PAGE = Path(__file__).resolve().parents[4] / "docs" / "extending.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def loaded(example: str, table: str, text: str, root: Path) -> Dataset:
    names: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec"), names)
    (root / table).write_text(text)
    for seed, name in enumerate(("a.png", "b.png")):
        noise = np.random.default_rng(seed).integers(0, 255, (48, 48), dtype=np.uint8)
        cv2.imwrite(str(root / name), noise)
    dataset: Dataset = names["load"](root, None)
    return dataset


def test_printed_datasets_of_grades_and_of_findings_are_loaded_and_checked(tmp_path: Path) -> None:
    grades = "image,patient,grades\na.png,p1,012301\nb.png,p2,111111\n"
    findings = "image,patient,view,Edema,Pneumonia\na.png,p1,AP,1,\nb.png,p2,PA,0,-1\nc.png,p3,L,1,1\n"
    for example, table, text in zip(EXAMPLES, ("scores.csv", "findings.csv"), (grades, findings), strict=True):
        dataset = loaded(example, table, text, tmp_path)
        assert [image.name for image in dataset.images] == ["a.png", "b.png"]
        assert check_dataset(dataset, tmp_path / "cache").images == 2
    assert dataset.problems == ("images whose view is not said to be frontal, left out: 1 (c.png)",)
