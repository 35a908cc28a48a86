"""Splits keep patients apart, are the same everywhere, and say when they do not keep them apart."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.errors import DatasetError
from lungsev.train.data.splits import Split, by_finding, split_images


@dataclass(frozen=True)
class Image:
    name: str
    patient: str
    total: float = 0.0
    subset: str = ""
    finding: str = ""


def images_of(counts: list[int]) -> list[Image]:
    return [Image(f"{p}-{i}", f"p{p}", (p * 7) % 19) for p, count in enumerate(counts) for i in range(count)]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=12, max_size=40), st.integers(0, 100))
def test_every_fold_tests_other_patients_and_all_images_are_tested_once(counts: list[int], seed: int) -> None:
    images = images_of(counts)
    tested: list[str] = []
    for fold in range(4):
        split = split_images(images, "kfold", seed, folds=4, fold=fold)
        patients = {part: {name.split("-")[0] for name in names} for part, names in split.parts.items()}
        parts = list(patients.values())
        assert all(not (a & b) for i, a in enumerate(parts) for b in parts[i + 1 :])
        assert sum(len(names) for names in split.parts.values()) == len(images)
        assert split.shared_patients == 0
        tested += split.parts["test"]
    assert sorted(tested) == sorted(image.name for image in images)


def test_folds_are_equally_ill() -> None:
    images = images_of([1, 2] * 40)
    means = []
    for fold in range(5):
        test = set(split_images(images, "kfold", fold=fold).parts["test"])
        means.append(sum(image.total for image in images if image.name in test) / len(test))
    assert max(means) - min(means) < 1.5


def consensus_images() -> list[Image]:
    ordinary = images_of([2] * 40)
    return [*ordinary, *(Image(f"c{p}", f"p{p}", 5, "consensus") for p in range(10))]


def test_pafe_leaks_and_says_so_while_leak_free_does_not() -> None:
    images = consensus_images()
    pafe = split_images(images, "pafe")
    assert pafe.shared_patients > 0
    assert pafe.dropped == {}
    leak_free = split_images(images, "leak_free")
    assert leak_free.shared_patients == 0
    assert leak_free.dropped == {"other images of consensus patients": 20}
    assert pafe.parts["consensus"] == leak_free.parts["consensus"]


def test_pafe_sets_aside_thirty_percent_of_the_subjects_and_tests_thirty_percent_of_those() -> None:
    split = split_images([Image(str(i), f"p{i}") for i in range(100)], "pafe")
    assert {part: len(names) for part, names in split.parts.items()} == {"train": 70, "validation": 21, "test": 9}


def test_a_saved_split_comes_back_and_an_edited_one_is_refused(tmp_path: Path) -> None:
    split = split_images(images_of([1] * 20), "holdout")
    path = tmp_path / "splits.json"
    split.save(path)
    assert Split.load(path) == split
    assert Split.load(path).sha256 == split.sha256
    moved = path.read_text().replace('"3-0"', '"3-1"')
    path.write_text(moved)
    with pytest.raises(DatasetError, match="was changed after it was written"):
        Split.load(path)


def test_the_hash_is_of_who_is_where() -> None:
    images = images_of([1] * 20)
    assert split_images(images, "holdout").sha256 == split_images(images[::-1], "holdout").sha256
    assert split_images(images, "holdout").sha256 != split_images(images, "holdout", seed=1).sha256


def test_training_on_one_finding_tests_on_the_others() -> None:
    images = [Image(str(i), f"p{i // 2}", i % 19, finding="COVID-19" if i < 30 else "Pneumocystis") for i in range(40)]
    split = by_finding(images, split_images(images, "all", validation=0.2), ["covid-19"])
    assert set(split.parts["test"]) == {str(i) for i in range(30, 40)}
    assert all(int(name) < 30 for part in ("train", "validation") for name in split.parts[part])
    mixed = [*images, Image("both", "q1", finding="COVID-19, ARDS"), Image("unknown", "q2")]
    split = by_finding(mixed, split_images(mixed, "all"), ["COVID-19"])
    assert "both" in {*split.parts["train"], *split.parts["validation"]}
    assert "unknown" not in {name for names in split.parts.values() for name in names}
    assert split.dropped == {"images of unknown finding": 1}
    with pytest.raises(DatasetError, match="no image has the finding flu; this dataset has COVID-19, Pneumocystis"):
        by_finding(images, split_images(images, "all"), ["flu"])


def test_too_few_patients_are_an_error_and_not_an_empty_part() -> None:
    with pytest.raises(DatasetError, match="found 3 patients"):
        split_images(images_of([2, 2, 2]), "kfold")


def test_the_calibration_part_is_of_patients_of_its_own_who_would_have_trained() -> None:
    images = images_of([1, 2] * 60)
    plain = split_images(images, "holdout", calibration=0.0)
    cut = split_images(images, "holdout", calibration=None)
    assert "calibration" not in plain.parts
    assert (cut.parts["validation"], cut.parts["test"]) == (plain.parts["validation"], plain.parts["test"])
    assert sorted(cut.parts["train"] + cut.parts["calibration"]) == sorted(plain.parts["train"])
    patients = {part: {name.split("-")[0] for name in cut.parts[part]} for part in ("train", "calibration")}
    assert not patients["train"] & patients["calibration"]
    assert 8 <= len(patients["calibration"]) <= 0.15 * len(patients["train"])


def test_few_patients_and_published_splits_have_no_calibration_part_unless_it_is_asked_for() -> None:
    assert "calibration" not in split_images(images_of([1] * 60), "holdout", calibration=None).parts
    assert len(split_images(images_of([1] * 60), "holdout", calibration=0.25).parts["calibration"]) >= 8
    published = consensus_images()
    assert "calibration" not in split_images(published, "pafe", calibration=None).parts
    assert "calibration" in split_images(published, "pafe", calibration=0.2).parts


def test_a_split_holds_file_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"M\xfcller.png")
    split = Split("holdout", 1, {"train": (name,), "test": ("Größe.png",)}, {}, 0)
    split.save(tmp_path / "splits.json")
    assert Split.load(tmp_path / "splits.json") == split
