"""Every dataset is read as it is published: BOM, separators, lost zeros and odd names included."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.schemes import load_scheme
from lungsev.train.data.datasets import layouts, load_graded, load_masked
from lungsev.train.data.datasets.brixia import parse_score

DatasetMaker = Callable[[str], Path]


@pytest.mark.parametrize(
    ("layout", "name", "scheme", "readers"),
    [
        ("brixia", "brixia", "brixia", {"radiologist", "consensus"}),
        ("cohen", "cohen", "brixia", {"senior", "junior"}),
        ("inha", "inha", "inha", {"reader"}),
        ("ralo", "ralo", "ralo", {"Reader 1", "Reader 2"}),
        ("severity", "cohen_severity", "extent", {"raters"}),
    ],
)
def test_graded_layouts_are_recognised_and_read_whole(
    phantom_dataset: DatasetMaker, layout: str, name: str, scheme: str, readers: set[str]
) -> None:
    root = phantom_dataset(layout)
    dataset = load_graded(root)
    assert dataset.name == name
    assert dataset.scheme.name == scheme
    assert set(dataset.readers) <= readers
    assert dataset.problems == ()
    assert len({image.name for image in dataset.images}) == len(dataset.images)
    for image in dataset.images:
        assert image.path.is_file()
        assert image.patient
        assert len(image.reference) == dataset.scheme.num_regions
        assert all(dataset.scheme.grades[0] <= grade <= dataset.scheme.grades[-1] for grade in image.reference)


@pytest.mark.parametrize(
    ("layout", "name"),
    [("lungs", "lung_pairs"), ("v7", "v7"), ("montgomery", "montgomery"), ("shenzhen", "shenzhen"), ("jsrt", "jsrt")],
)
def test_mask_layouts_give_the_right_lung_on_the_left_of_the_image(
    phantom_dataset: DatasetMaker, layout: str, name: str
) -> None:
    dataset = load_masked(phantom_dataset(layout))
    assert dataset.name == name
    assert dataset.images
    image = dataset.images[0]
    mask = image.read_mask(image.mask_paths)
    columns = [(mask == side).any(axis=0).nonzero()[0].mean() for side in (1, 2)]
    assert columns[0] < columns[1]
    assert image.read(image.path).pixels.shape == mask.shape


def test_brixia_puts_lost_zeros_back_and_keeps_the_consensus_first(
    phantom_dataset: DatasetMaker, tmp_path: Path
) -> None:
    root = shutil.copytree(phantom_dataset("brixia"), tmp_path / "brixia")
    table = root / "metadata_global_v2.csv"
    before = {image.name: image.readings["radiologist"] for image in load_graded(root).images}
    header, *rows = table.read_text(encoding="utf-8-sig").splitlines()
    position = header.split(";").index("BrixiaScore")
    stripped = []
    for row in rows:
        cells = row.split(";")
        cells[position] = str(int(cells[position]))  # what a spreadsheet does
        stripped.append(";".join(cells))
    table.write_text("\n".join([header, *stripped]), encoding="utf-8")
    after = load_graded(root)
    assert {image.name: image.readings["radiologist"] for image in after.images} == before
    consensus = [image for image in after.images if image.subset == "consensus"]
    assert consensus
    assert all(next(iter(image.readings)) == "consensus" for image in consensus)


def test_brixia_scores_that_are_none_are_refused() -> None:
    scheme = load_scheme("brixia")
    assert parse_score("3012", scheme) == (0, 0, 3, 0, 1, 2)
    assert parse_score("401231", scheme) is None
    assert parse_score("1234567", scheme) is None
    assert parse_score("12031.0", scheme) == parse_score("'012031", scheme) == (0, 1, 2, 0, 3, 1)
    assert parse_score("0", scheme) == (0, 0, 0, 0, 0, 0)
    for nothing in ("", "nan", "²1", "-1"):
        assert parse_score(nothing, scheme) is None


def test_a_missing_column_names_the_file_and_what_it_has(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("cohen"), tmp_path / "cohen")
    table = root / "public-annotations.csv"
    table.write_text(table.read_text(encoding="utf-8-sig").replace("S-C", "S-X"), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"public-annotations\.csv lacks the column S-C; it has filename"):
        load_graded(root)


def test_an_image_that_is_not_there_is_said_once_with_a_count(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("inha"), tmp_path / "inha")
    gone = sorted((root / "images").iterdir())[0]
    gone.unlink()
    dataset = load_graded(root)
    assert len(dataset.images) == len(load_graded(phantom_dataset("inha")).images) - 1
    assert dataset.problems == (f"images of inha.csv without a file in inha/ or its folder images/: 1 ({gone.stem})",)


def test_a_folder_that_is_nothing_known_lists_what_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no dataset this command knows"):
        load_masked(tmp_path)
    with pytest.raises(DatasetError, match="does not exist, expected the folder of a dataset"):
        load_graded(tmp_path / "absent")


def test_a_dataset_is_one_file_with_a_layout() -> None:
    names = [layout.name for layout in layouts()]
    assert len(set(names)) == len(names)
    assert {"brixia", "cohen", "inha", "ralo", "cohen_severity", "custom", "v7", "jsrt"} <= set(names)


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


def test_clones_side_by_side_complete_each_other(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    """The subset's repository may lack images and patients: they come from the image collection beside it."""
    source = phantom_dataset("cohen")
    clone = tmp_path / "Brixia-score-COVID-19"
    collection = tmp_path / "covid-chestxray-dataset"
    (collection / "images").mkdir(parents=True)
    clone.mkdir()
    shutil.copy(source / "public-annotations.csv", clone)
    names = [image.name for image in load_graded(source).images]
    for name in names:
        shutil.copy(source / "public-cohen-subset" / name, collection / "images")
    rows = [f"{index // 2},{name},AP,Pneumonia/Viral/COVID-19" for index, name in enumerate(names)]
    (collection / "metadata.csv").write_text("\n".join(["patientid,filename,view,finding", *rows]))
    dataset = load_graded(clone)
    assert len(dataset.images) == len(names)
    assert len({image.patient for image in dataset.images}) == (len(names) + 1) // 2
    assert dataset.images[0].finding == "COVID-19"
