"""Augmented crops are made once, kept in 16 bits, and drawn by epoch."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.errors import ConfigError
from lungsev.train.data import crop_bank
from lungsev.train.data.crop_bank import BankImages, Crop, CropBank, fill_bank

TARGETS = np.arange(12, dtype=np.float32).reshape(3, 2, 2)


def crop(row: int, augmentation: int) -> Crop:
    return np.full((2, 2), (10 * row + augmentation) / 100, np.float32), augmentation == 1


@pytest.fixture
def bank() -> CropBank:
    return fill_bank(TARGETS, 2, 2, crop)


def test_every_crop_keeps_its_place_and_its_grey(bank: CropBank) -> None:
    assert bank.flipped.tolist() == [[False, True]] * 3
    crops = bank.crops([2, 0], 1)
    assert crops.shape == (2, 1, 2, 2)
    np.testing.assert_allclose(crops[:, 0, 0, 0], [0.21, 0.01], atol=1e-5)


def test_a_flipped_crop_has_its_sides_swapped(bank: CropBank) -> None:
    images = BankImages(bank, [2, 0], [1, 0], seed=0)
    seen = set()
    for epoch in range(12):
        item = images[epoch, 0]
        flipped = float(item["image"][0, 0, 0]) > 0.205
        seen.add(flipped)
        np.testing.assert_array_equal(item["target"], TARGETS[2][::-1] if flipped else TARGETS[2])
        assert item["index"] == 0
    assert seen == {False, True}
    assert len(images) == 2


def test_a_bank_above_the_limit_is_refused_before_any_crop_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crop_bank, "BANK_LIMIT_BYTES", 47)
    with pytest.raises(ConfigError, match="the crops of 3 images would take"):
        fill_bank(TARGETS, 2, 2, lambda *_: pytest.fail("a crop was made"))
    monkeypatch.setattr(crop_bank, "BANK_LIMIT_BYTES", 48)
    assert fill_bank(TARGETS, 2, 2, crop).images.nbytes == 48
