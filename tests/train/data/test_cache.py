"""Images are prepared once, named by their content, and a damaged one is said by name."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungsev.errors import DatasetError, LungsevError
from lungsev.preprocessing.canvas import to_canvas
from lungsev.train.data import cache
from lungsev.train.data.datasets import GradedImage, PlacedImage, load_graded, load_masked
from lungsev.train.data.datasets.places.boxes import Boxes
from lungsev.train.data.planes import places_to_canvas

DatasetMaker = Callable[[str], Path]


def test_the_cache_holds_what_preprocessing_gives(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    image = load_graded(phantom_dataset("brixia")).images[0]
    cached = cache.prepare([image], tmp_path).images[image.name]
    expected = to_canvas(image.read(image.path))
    assert np.abs(cached.canvas() - expected.pixels).max() < 1e-4
    assert cached.frame == expected.frame


def test_a_second_time_nothing_is_read(
    phantom_dataset: DatasetMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = load_graded(phantom_dataset("cohen")).images[:3]
    first = cache.prepare(images, tmp_path)
    monkeypatch.setattr(cache, "to_canvas", lambda *_: pytest.fail("a prepared image was prepared again"))
    assert cache.prepare(images, tmp_path).images == first.images


def test_a_changed_image_is_a_new_entry(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("inha"), tmp_path / "inha")
    images = load_graded(root).images
    before = cache.prepare(images[:1], tmp_path / "cache").images[images[0].name]
    shutil.copy(images[1].path, images[0].path)
    after = cache.prepare(images[:1], tmp_path / "cache").images[images[0].name]
    assert before.key != after.key


def test_an_entry_that_was_cut_short_is_made_again(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    image = load_graded(phantom_dataset("inha")).images[0]
    entry = cache.prepare([image], tmp_path).images[image.name]
    meta = entry.canvas_path.with_name(f"{entry.key}.json")
    meta.write_text('{"frame"')
    assert cache.prepare([image], tmp_path).images[image.name] == entry
    whole = entry.canvas_path.read_bytes()
    entry.canvas_path.write_bytes(whole[:1000])
    assert cache.prepare([image], tmp_path).images[image.name] == entry
    assert entry.canvas_path.read_bytes() == whole
    assert not list(tmp_path.rglob("*.part"))


def test_a_full_disk_is_the_caches_fault_and_not_the_images(
    phantom_dataset: DatasetMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(LungsevError, match=r"cannot be written in .*No space left on device; make room"):
        cache.prepare(load_graded(phantom_dataset("inha")).images[:1], tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_image_stops_training_with_its_name_unless_it_may_be_skipped(
    phantom_dataset: DatasetMaker, tmp_path: Path
) -> None:
    root = shutil.copytree(phantom_dataset("inha"), tmp_path / "inha")
    images = load_graded(root).images
    images[0].path.write_bytes(images[0].path.read_bytes()[:200])
    prepared = cache.prepare(images, tmp_path / "cache")
    assert list(prepared.unreadable) == [images[0].name]
    with pytest.raises(
        DatasetError, match=rf"1 image cannot be read, first {images[0].name}.*data\.skip_unreadable=true"
    ):
        cache.demand_readable(prepared, skip=False)
    assert len(cache.demand_readable(prepared, skip=True)) == 1
    with pytest.raises(DatasetError, match="cannot be read"):
        cache.demand_readable(cache.prepare(images[:1], tmp_path / "cache"), skip=True)


def test_masks_lie_on_the_canvas_as_the_lungs_do(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    image = load_masked(phantom_dataset("lungs")).images[0]
    cached = cache.prepare([image], tmp_path).images[image.name]
    back = cached.frame.mask_to_image((cached.mask() > 0).astype(np.float32)) > 0.5
    truth = image.read_mask(image.mask_paths) > 0
    assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) > 0.98


def test_a_mask_of_another_picture_is_refused(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("lungs"), tmp_path / "lungs")
    image = load_masked(root).images[0]
    mask = cv2.imread(str(image.mask_paths[0]), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(image.mask_paths[0]), mask[: mask.shape[0] // 2])
    prepared = cache.prepare([image], tmp_path / "cache")
    assert "they are not of one picture" in prepared.unreadable[image.name]


def test_workers_give_what_one_process_gives(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    images = load_graded(phantom_dataset("inha")).images[:4]
    alone, shared = cache.prepare(images, tmp_path / "a"), cache.prepare(images, tmp_path / "b", workers=2)
    assert [image.key for image in alone.images.values()] == [image.key for image in shared.images.values()]


def test_a_map_of_places_is_kept_with_its_unknown_parts(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    boxes = Boxes(((0.25, 0.25, 0.5, 0.5),))
    images = [PlacedImage("a", path, "P1", boxes), PlacedImage("clear", path, "P1", Boxes(()))]
    prepared = cache.prepare(images, tmp_path / "cache", size_px=32).images
    opacity, consolidation = prepared["a"].places()
    expected = places_to_canvas(boxes, prepared["a"].frame)[0]
    assert (np.isnan(opacity) == np.isnan(expected)).all()
    assert np.nanmax(np.abs(opacity - expected)) < 1 / 200
    assert np.isnan(consolidation[16, 16])
    assert prepared["clear"].places().max() == 0
    plain = GradedImage("a", path, "P1", {"reader": (1.0,)})
    with pytest.raises(ValueError, match="without a map of places"):
        cache.prepare([plain], tmp_path / "cache", size_px=32).images["a"].places()
