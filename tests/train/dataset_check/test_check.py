"""A check names what a person must know before training, and what to do about it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lungsev.errors import DatasetError
from lungsev.train import cli
from lungsev.train.dataset_check.check import Check, check_folder

DatasetMaker = Callable[[str], Path]


def only(root: Path, cache: Path) -> Check:
    (check,) = check_folder(root, cache)
    return check


def test_brixia_is_described_whole(phantom_dataset: DatasetMaker, cache_dir: Path) -> None:
    check = only(phantom_dataset("brixia"), cache_dir)
    assert (check.name, check.task, check.images) == ("brixia", "severity", 14)
    shares = check.tables["share of each grade, Brixia score"]
    assert [*shares] == [*"ABCDEF", "all"]
    assert all(sum(row.values()) == pytest.approx(1, abs=1e-3) for row in shares.values())
    makers = check.tables["polarity per maker"]
    assert sum(count for row in makers.values() for count in row.values()) == 14
    assert all(set(row) <= {"MONOCHROME1", "MONOCHROME2"} for row in makers.values())
    splits = next(table for title, table in check.tables.items() if title.startswith("splits"))
    assert "kfold-5 fold 0" in splits
    text = "\n".join(check.lines())
    assert "polarity per maker:" in text
    assert "do: " in text


def test_a_file_that_contradicts_its_table_on_polarity_is_named(
    phantom_dataset: DatasetMaker, tmp_path: Path, cache_dir: Path
) -> None:
    root = shutil.copytree(phantom_dataset("brixia"), tmp_path / "brixia")
    table = root / "metadata_global_v2.csv"
    table.write_text(table.read_text(encoding="utf-8-sig").replace("MONOCHROME1", "MONOCHROME2"), encoding="utf-8")
    assert any("table and file disagree on polarity" in advice for advice in only(root, cache_dir).advice)


def test_damaged_and_double_images_are_named(phantom_dataset: DatasetMaker, tmp_path: Path, cache_dir: Path) -> None:
    root = shutil.copytree(phantom_dataset("inha"), tmp_path / "inha")
    images = sorted((root / "images").iterdir())
    images[0].write_bytes(images[0].read_bytes()[:500])
    shutil.copy(images[-1], images[1])
    check = only(root, cache_dir)
    assert list(check.unreadable) == [images[0].stem]
    (twin,) = check.duplicates
    assert set(twin.images) == {images[1].stem, images[-1].stem}
    assert len(twin.patients) == 2
    said = "\n".join(check.lines())
    assert f"unreadable: {images[0].stem}: " in said
    assert f"same picture: {images[1].stem} = {images[-1].stem} (patients " in said
    assert "do: unreadable images (1): repair or remove them" in said
    assert "do: pictures under two patients (1)" in said
    assert twin.graded_differently
    assert "do: pictures graded twice and differently (1): training leaves both out" in said


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0)
    rows = ["stem,finding,patient"]
    for index in range(4):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), noise.integers(0, 255, (64, 64), dtype=np.uint8))
        rows.append(f"{index},{('normal', 'viral')[index % 2]},P{index}")
    (tmp_path / "labels.csv").write_text("\n".join([*rows, "9,viral,P9"]))
    return tmp_path


def test_images_with_labels_are_a_dataset_too(labelled: Path, cache_dir: Path) -> None:
    check = only(labelled, cache_dir)
    assert (check.name, check.task, check.images) == ("labelled", "labels", 4)
    assert check.tables["findings"] == {"normal": 2, "viral": 2}
    assert check.problems == ("images of labels.csv without a file in images/: 1 (9)",)


def test_json_is_all_that_standard_output_gets(
    labelled: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["lungsev-train", "data", "check", str(labelled), "--cache", str(cache_dir), "--json"]
    )
    cli.main()
    said = capsys.readouterr()
    found: list[dict[str, Any]] = json.loads(said.out)
    assert found[0]["images"] == 4
    assert "Preparing images: 4" in said.err


def test_a_table_that_is_wrong_is_said_and_not_that_the_folder_is_unknown(
    phantom_dataset: DatasetMaker, tmp_path: Path, cache_dir: Path
) -> None:
    root = shutil.copytree(phantom_dataset("v7"), tmp_path / "v7")
    next((root / "annotations").glob("*.json")).write_text("{")
    with pytest.raises(DatasetError, match="is no JSON or was cut short"):
        check_folder(root, cache_dir)
    with pytest.raises(DatasetError, match="is no dataset this command knows; name a folder"):
        check_folder(cache_dir, cache_dir)


def test_a_stated_split_is_a_row_and_what_is_wrong_with_it_is_to_do(
    phantom_dataset: DatasetMaker, tmp_path: Path, cache_dir: Path
) -> None:
    root = shutil.copytree(phantom_dataset("inha"), tmp_path / "inha")
    header, *rows = (root / "inha.csv").read_text().splitlines()

    def state(words: list[str]) -> None:
        lines = [f"{header},split", *(f"{row},{word}" for row, word in zip(rows, words, strict=True))]
        (root / "inha.csv").write_text("\n".join(lines))

    patients = [row.split(",")[1] for row in rows]
    tested = set(patients[-3:])
    state(["test" if patient in tested else "train" for patient in patients])
    check = only(root, cache_dir)
    splits = next(table for title, table in check.tables.items() if title.startswith("splits"))
    assert splits["column"]["test"] == sum(patient in tested for patient in patients)
    state(["weird", *["train"] * (len(rows) - 1)])
    assert any("the dataset's split column says weird" in advice for advice in only(root, cache_dir).advice)


def test_patients_are_counted_as_a_training_counts_them(
    phantom_dataset: DatasetMaker, tmp_path: Path, cache_dir: Path
) -> None:
    root = shutil.copytree(phantom_dataset("inha"), tmp_path / "inha")
    header, *rows = (root / "inha.csv").read_text().splitlines()
    cells = [row.split(",") for row in rows]
    for row, cell in enumerate(cells):
        cell[1] = ("007", "7", "7.0")[row] if row < 3 else str(100 + row)
    (root / "inha.csv").write_text("\n".join([header, *(",".join(cell) for cell in cells)]))
    check = only(root, cache_dir)
    assert check.patients == len(rows) - 2
    assert check.tables["patients by their number of images"] == {"1": len(rows) - 3, "3": 1}
    assert any("(1: 007 = 7 = 7.0)" in advice for advice in check.advice)
