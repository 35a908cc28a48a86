"""Any table with one row per image, and any scheme."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.datasets.custom import load
from lungsev.train.data.stated_splits import make_split
from lungsev.train.settings import SplitSettings

DatasetMaker = Callable[[str], Path]
DOCS = Path(__file__).resolve().parents[4] / "docs"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    (root / "images").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png"):
        (root / "images" / name).touch()
    (root / "scheme.yaml").write_text(
        "name: halves\ntitle: Halves\nsource: test\ngrades: [0, 1]\ngrade_names: [clear, ill]\n"
        "regions:\n  - {code: R, name: right, side: right, box: [0, 0, 1, 0.5]}\n"
        "  - {code: L, name: left, side: left, box: [0, 0.5, 1, 1]}\n"
    )
    return root


def test_any_table_and_any_scheme_make_a_dataset(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    images = sorted((phantom_dataset("inha") / "images").iterdir())[:3]
    for image in images:
        shutil.copy(image, tmp_path)
    (tmp_path / "scheme.yaml").write_text(
        "name: halves\ntitle: Halves\nsource: test\ngrades: [0, 1]\ngrade_names: [clear, ill]\n"
        "regions:\n  - {code: R, name: right, side: right, box: [0, 0, 1, 0.5]}\n"
        "  - {code: L, name: left, side: left, box: [0, 0.5, 1, 1]}\n"
    )
    rows = [f"{image.name};p{index};1;0;0;{index % 2}" for index, image in enumerate(images)]
    text = "\n".join(["Image;Patient;ann-R;ann-L;bob-R;bob-L", *rows])
    (tmp_path / "mine.csv").write_text("\ufeff" + text, encoding="utf-8")
    dataset = load_graded(tmp_path, "custom")
    assert dataset.scheme.name == "halves"
    assert dataset.readers == ("ann", "bob")
    assert [image.readings["bob"] for image in dataset.images] == [(0, 0), (0, 1), (0, 0)]
    with pytest.raises(DatasetError, match="no columns for the regions A, B, C"):
        load_graded(tmp_path, "custom", "brixia")


def test_columns_named_by_region_are_of_one_reader(root: Path) -> None:
    text = "image,R,L,View,Manufacturer,subset\na.png,0,1,PA,Maker,part\nb.png,2,1\nc.png,0.5,1\nd.png,0,0\n"
    (root / "table.csv").write_text(text)
    dataset = load(root)
    first, mean = dataset.images
    assert first.readings == {"reader": (0, 1)}
    assert (first.view_position, first.maker, first.subset) == ("PA", "Maker", "part")
    assert mean.reference == (0.5, 1)
    assert dataset.problems == (
        "images of table.csv without a file in mine/ or its folder images/: 1 (d.png)",
        "readings of table.csv with a grade that is not of 0-1, left out: 1 (b.png row 3 column R: 2)",
        "images without a patient, each counted as a patient of its own: 2 (a.png, c.png)",
    )


def test_a_region_without_a_grade_is_unknown_and_an_image_without_any_is_left_out(root: Path) -> None:
    (root / "table.csv").write_text("image,ann-R,ann-L,bob-R,bob-L\na.png,0,,1,1\nb.png,,,,n/a\nc.png,,,0,\n")
    dataset = load_graded(root, "custom")
    both, one = dataset.images
    assert both.readings["ann"] == pytest.approx((0, math.nan), nan_ok=True)
    assert both.reference is both.readings["ann"]
    assert set(one.readings) == {"bob"}
    assert math.isnan(one.total)
    assert one.estimated_total == 0
    assert dataset.problems[0] == "rows of table.csv without a grade of any region, left out: 1 (b.png)"
    unknown = (
        "images with regions that no reader graded (1 of 4 regions), trained and measured on the others: 1 (c.png)"
    )
    assert dataset.problems[-1] == unknown


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({}, "found none"),
        ({"a.csv": "image,R,L\na.png,0,0\n", "b.csv": "image,R,L\na.png,0,0\n"}, r"found a\.csv, b\.csv"),
        ({"a.csv": "picture,R,L\na.png,0,0\n"}, "no column that names the image"),
    ],
)
def test_a_folder_without_one_usable_table_is_refused(root: Path, tables: dict[str, str], reason: str) -> None:
    for name, text in tables.items():
        (root / name).write_text(text)
    with pytest.raises(DatasetError, match=reason):
        load(root)


def test_a_folder_without_a_scheme_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no scheme\.yaml; give the scheme with --scheme"):
        load(tmp_path)


def test_a_split_and_a_fold_column_are_kept_as_printed(root: Path) -> None:
    (root / "table.csv").write_text("image,R,L,Part,fold\na.png,0,1,Consensus,1\nb.png,0,1,val,\nc.png,0,0,,2\n")
    images = load(root).images
    assert [(image.part, image.fold, image.subset) for image in images] == [
        ("Consensus", "1", "consensus"),
        ("val", "", ""),
        ("", "2", ""),
    ]


def test_the_example_of_the_documentation_is_read_and_split_as_it_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```(csv|yaml)\n(.*?)```", (DOCS / "training.md").read_text(encoding="utf-8"), re.DOTALL)
    table = next(text for kind, text in blocks if kind == "csv")
    scheme = re.findall(r"```yaml\n(name: halves.*?)```", (DOCS / "extending.md").read_text(), re.DOTALL)[0]
    (tmp_path / "mine.csv").write_text(table)
    (tmp_path / "scheme.yaml").write_text(scheme)
    for name in "abcd":
        (tmp_path / f"{name}.png").touch()
    dataset = load_graded(tmp_path, "custom")
    assert dataset.readers == ("ann", "bob")
    assert [math.isnan(image.total) for image in dataset.images] == [False, True, False, False]
    split, _ = make_split(dataset.images, SplitSettings(validation=0.5))
    assert split.parts == {"train": ("a.png", "b.png"), "validation": ("c.png",), "test": ("d.png",)}
    for name, text in {"who.csv": "image,split\na,train\nb.png,test\n", "who.yaml": "train: [a]\ntest: [b]\n"}.items():
        (tmp_path / name).write_text(text)
        told, _ = make_split(dataset.images, SplitSettings(file=tmp_path / name))
        assert told.parts == {"train": ("a.png",), "test": ("b.png",)}
