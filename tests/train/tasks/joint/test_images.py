"""Mixed batches: how many images of each source, in which order, and what is taught when one is flipped."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lungsev.errors import ConfigError
from lungsev.schemes import load_scheme
from lungsev.train.data.crop_bank import MAPS, StoredCrops
from lungsev.train.tasks.joint.images import ItemReader, JointImages, slots_of, with_left_lung
from lungsev.train.tasks.joint.settings import JointSettings
from lungsev.train.tasks.joint.targets import Targets

SCHEMES = {"brixia": load_scheme("brixia")}


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(6, 64))
def test_a_batch_is_full_and_every_source_has_its_share_of_it(shares: list[float], size: int) -> None:
    slots = slots_of(shares, size)
    assert sum(slots) == size
    assert min(slots) >= 1
    wanted = [share / sum(shares) * size for share in shares]
    assert all(abs(slot - want) < 1 or slot == 1 or min(wanted) < 1 for slot, want in zip(slots, wanted, strict=True))


def test_a_source_that_is_only_measured_has_no_image_in_a_batch() -> None:
    assert slots_of([0.6, 0.4, 0.0], 48) == [29, 19, 0]
    with pytest.raises(ConfigError, match="one image of each of 3 sources"):
        slots_of([0.5, 0.3, 0.2], 2)


def source(count: int, share: float) -> Any:
    return SimpleNamespace(
        train=tuple(range(count)),
        settings=SimpleNamespace(share=share, frame="aligned"),
        labels=None,
        key=f"s{count}",
        parts={},
    )


def targets(count: int) -> Targets:
    grades = {"brixia": np.zeros((count, 6, 4), np.float32)}
    grades["brixia"][:, range(6), [0, 1, 2, 3, 0, 1]] = 1
    lungs = np.tile(np.float32([3.0, 4.0]), (count, 1))
    return Targets(grades, {"brixia": 1.0}, lungs, np.full(count, np.nan, np.float32))


def crops(count: int) -> StoredCrops:
    records = np.zeros((count, 2, 8 * 8 + len(MAPS) * 4), np.uint8)
    records[:, :, :64] = np.arange(64)
    records[:, :, 64:68] = [0, 127, 254, 255]
    records[:, :, 68:] = 255
    return StoredCrops(records, 8, 2)


def test_each_source_goes_through_its_images_in_turns_whatever_the_epoch_is() -> None:
    settings = JointSettings.model_validate(
        {"sources": [{"root": "a", "schemes": ["brixia"]}], "loop": {"batch_size": 4}}
    )
    sources = [source(7, 0.75), source(3, 0.25)]
    images = JointImages(sources, [crops(7), crops(3)], [targets(7), targets(3)], SCHEMES, settings)
    assert len(images) == 3 * 4  # 7 images, 3 of them in each step
    seen = Counter(images.place_of((epoch, index)) for epoch in range(7) for index in range(12))
    assert {place: count for place, count in seen.items() if place[0] == 0} == {(0, row): 9 for row in range(7)}
    assert {place: count for place, count in seen.items() if place[0] == 1} == {(1, row): 7 for row in range(3)}
    again = images[(4, 5)]
    assert np.array_equal(again["image"], images[(4, 5)]["image"])


def test_a_flipped_image_is_taught_the_other_side() -> None:
    reader = ItemReader([source(1, 1.0)], [crops(1)], [targets(1)], SCHEMES)
    plain, flipped = (reader.item(0, 0, 0, flips) for flips in (False, True))
    np.testing.assert_array_equal(flipped["image"].numpy(), plain["image"].numpy()[..., ::-1])
    np.testing.assert_array_equal(flipped["maps"].numpy(), plain["maps"].numpy()[..., ::-1])
    assert flipped["target.brixia"].argmax(dim=-1).tolist() == [3, 0, 1, 0, 1, 2]
    assert flipped["lung_totals"].tolist() == [4.0, 3.0]
    lung = plain["maps"][MAPS.index(MAPS[0])]
    np.testing.assert_allclose(lung.numpy(), [[0, 0.5], [1, np.nan]], atol=1e-3)


def lungs_of(image: int, known: bool = True) -> dict[str, Any]:
    """An item whose pixels and grades are those of one image."""
    grades = torch.zeros(6, 4)
    grades[:, image] = 1
    return {
        "image": torch.full((1, 8, 8), float(image)),
        "maps": torch.full((2, 2, 2), float(image)),
        "target.brixia": grades if known else torch.zeros(6, 4),
        "label.findings": torch.tensor([1.0, float(image)]),
        "lung_totals": torch.full((2,), float(image)),
        "teacher": np.float32(image),
        "source": 0,
    }


def test_the_left_lung_of_another_image_comes_with_all_that_is_known_of_it() -> None:
    mixed = with_left_lung(lungs_of(1), lungs_of(3), SCHEMES)
    assert mixed["image"][0, 0].tolist() == [1.0] * 4 + [3.0] * 4
    assert mixed["maps"][0, 0].tolist() == [1.0, 3.0]
    assert mixed["target.brixia"].argmax(dim=1).tolist() == [1, 1, 1, 3, 3, 3]  # A-C right, D-F left
    assert mixed["lung_totals"].tolist() == [1.0, 3.0]
    assert np.isnan(mixed["teacher"])
    assert mixed["label.findings"][0] == 1.0
    assert torch.isnan(mixed["label.findings"][1])


def test_a_lung_that_nobody_graded_stays_ungraded() -> None:
    mixed = with_left_lung(lungs_of(1), lungs_of(2, known=False), SCHEMES)
    assert mixed["target.brixia"].sum(dim=1).tolist() == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(("share", "mixed"), [(0.0, False), (0.9, True)])
def test_images_show_another_lung_as_often_as_is_asked(share: float, mixed: bool) -> None:
    settings = JointSettings.model_validate(
        {"sources": [{"root": "a", "schemes": ["brixia"]}], "loop": {"batch_size": 4}, "other_lung": share}
    )
    stored = crops(4)
    stored.records[:, :, :64] = np.arange(4, dtype=np.uint8)[:, None, None] * 60
    shown = JointImages([source(4, 1.0)], [stored], [targets(4)], SCHEMES, settings)
    images = [shown[epoch, place]["image"] for epoch in range(6) for place in range(len(shown))]
    assert any(len(image.unique()) > 1 for image in images) is mixed
