"""From settings to images and split: twins become one patient, and who must not be trained on stays out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungsev.errors import ConfigError, DatasetError
from lungsev.train.data.cache import prepare
from lungsev.train.data.datasets import GradedImage, load_graded
from lungsev.train.data.preparation import left_out, ready_images, require_root, split_dataset, upstream_run, usable
from lungsev.train.data.splits import Split
from lungsev.train.runs import Run
from lungsev.train.settings import DataSettings, SplitSettings

DatasetMaker = Callable[[str], Path]


def graded(count: int) -> list[GradedImage]:
    return [GradedImage(f"i{n}", Path(f"i{n}"), f"p{n}", {"reader": (float(n % 3),)}) for n in range(count)]


def test_training_counts_both_as_one_patient_and_pafe_keeps_what_was_published(
    with_a_copy: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = load_graded(with_a_copy).images
    data = DataSettings(root=with_a_copy, cache=cache_dir, workers=0)
    ready, _ = ready_images(images, data)
    assert ready[-1].patient == ready[0].patient == images[0].patient
    assert "1 pictures come under two patients" in capsys.readouterr().out
    published, _ = ready_images(images, data.model_copy(update={"split": SplitSettings(protocol="pafe")}))
    assert published[-1].patient == "P999"


def test_a_patient_in_several_spellings_is_one_patient_and_pafe_keeps_what_was_published(
    phantom_dataset: DatasetMaker, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = phantom_dataset("cohen")
    spelled = ("12", "012", "12.0", "P01", "p 1")
    images = [replace(i, patient=p) for i, p in zip(load_graded(root).images, spelled, strict=False)]
    data = DataSettings(root=root, cache=cache_dir, workers=0)
    ready, _ = ready_images(images, data)
    assert [image.patient for image in ready] == ["12", "12", "12", "P01", "P01"][: len(images)]
    assert "3 patients have a second spelling (012 = 12, 012 = 12.0, P01 = p 1): they count as one" in " ".join(
        capsys.readouterr().out.split()
    )
    published, _ = ready_images(images, data.model_copy(update={"split": SplitSettings(protocol="pafe")}))
    assert [image.patient for image in published] == list(spelled)


def test_a_picture_with_two_grades_is_left_out_but_for_a_published_split(
    with_a_copy: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *others, again = load_graded(with_a_copy).images
    contradicted = [*others, replace(again, readings={"senior": tuple(3 - grade for grade in again.reference)})]
    data = DataSettings(root=with_a_copy, cache=cache_dir, workers=0)
    ready, cached = ready_images(contradicted, data)
    assert {image.name for image in ready} == set(cached) == {image.name for image in others[1:]}
    assert f"graded twice and differently, left out: 2 ({others[0].name}, again.jpg)" in capsys.readouterr().out
    published, _ = ready_images(contradicted, data.model_copy(update={"split": SplitSettings(protocol="pafe")}))
    assert len(published) == len(contradicted)


def test_a_barred_patient_stays_barred_under_another_name(
    with_a_copy: Path, phantom_dataset: DatasetMaker, cache_dir: Path
) -> None:
    data = DataSettings(root=with_a_copy, cache=cache_dir, workers=0, exclude_patients_of=phantom_dataset("cohen"))
    images = [image for image in load_graded(with_a_copy).images if image.name == "again.jpg"]
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    cv2.imwrite(str(with_a_copy / "stranger.png"), noise)
    stranger = replace(images[0], name="stranger.png", path=with_a_copy / "stranger.png", patient="P1000")
    cached = prepare([*images, stranger], cache_dir).images
    assert usable([*images, stranger], cached, data) == [stranger]


def test_the_split_of_a_run_is_kept_whatever_the_settings_say_later(tmp_path: Path) -> None:
    run, images = Run(tmp_path), graded(20)
    first = split_dataset(images, SplitSettings(seed=1), run)
    assert split_dataset(images, SplitSettings(seed=2), run).parts == first.parts
    assert Split.load(run.splits).parts == first.parts
    with pytest.raises(DatasetError, match=r"splits\.json names \d+ images that are not in the dataset, first i"):
        split_dataset(images[:1], SplitSettings(), run)


def test_a_split_of_all_folds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one fold"):
        split_dataset(graded(6), SplitSettings(protocol="kfold", fold="all"), Run(tmp_path))


def test_images_that_are_not_kept_are_left_out() -> None:
    images = graded(4)
    assert left_out(images, [images[1], images[3]]) == [images[0], images[2]]
    assert usable(images, {}, DataSettings()) == images


def test_missing_folders_and_runs_say_which_option_names_them(tmp_path: Path) -> None:
    assert require_root(DataSettings(root=tmp_path)) == tmp_path
    assert upstream_run(tmp_path, "align") == tmp_path
    with pytest.raises(ConfigError, match="name its folder with --data DIR"):
        require_root(DataSettings())
    with pytest.raises(ConfigError, match=r"run `lungsev-train align --data DIR` first.*alignment=RUN.*--lungs DIR"):
        upstream_run(None, "align")
    with pytest.raises(ConfigError, match=r"segmentation=RUN$"):
        upstream_run(None, "segment")
