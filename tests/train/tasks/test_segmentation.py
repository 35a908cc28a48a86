"""Images as the segmentation learns them: masks of each lung, spoilt pictures, chests without an outline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lungsev.errors import ConfigError
from lungsev.networks.build import build_segmentation
from lungsev.networks.checkpoint import load_segmentation
from lungsev.networks.settings import SegmentationSettings
from lungsev.quality.gate import IMAGE_CHECK_CLASSES
from lungsev.train.data.augmentation import GeometrySettings
from lungsev.train.data.synthetic import SyntheticImage
from lungsev.train.runs import Run
from lungsev.train.tasks.segmentation import (
    SegmentationImages,
    SegmentationModule,
    SegmentSettings,
    lung_planes,
    network_to_train,
)

SIDE = 64
NETWORK = SegmentationSettings(
    encoder="mobilenetv3_small_050",
    decoder="unet",
    decoder_channels=(8, 8, 8, 8, 8),
    size_px=SIDE,
    sides=True,
    image_check_classes=len(IMAGE_CHECK_CLASSES),
    pretrained="none",
)


def chest(shade: float = 0.6) -> Any:
    """Two lungs of unlike size: the right one is tall, the left one short."""
    labels = np.zeros((128, 128), np.uint8)
    labels[20:110, 20:55] = 1
    labels[20:70, 75:110] = 2
    ramp = np.linspace(0.0, 0.3, 128, dtype=np.float32)
    pixels = np.where(labels > 0, np.float32(0.2), np.float32(shade)) + ramp[:, None]
    return SyntheticImage(pixels.astype(np.float32), labels)


def images(chests: int = 0, **changes: Any) -> SegmentationImages:
    settings = SegmentSettings(network=NETWORK, **changes)
    return SegmentationImages([chest(), chest(0.7)], settings, SIDE, True, [chest() for _ in range(chests)])


def test_a_flipped_image_has_the_masks_of_its_lungs_swapped() -> None:
    flips = GeometrySettings(p=0.0, flip=1.0)
    item = images(ood_rate=0.0, zoom=0.0, geometry=flips, distortion={"p": 0.0})[0, 0]
    right, left = item["mask"].numpy()
    columns = [np.flatnonzero(plane.any(axis=0)).mean() for plane in (right, left)]
    assert columns[0] < columns[1]
    assert right.sum() < left.sum()  # the short lung is on the image's left now
    assert item["outlined"]
    assert item["kind"] == IMAGE_CHECK_CLASSES.index("frontal")


def test_every_kind_of_wrong_picture_is_shown() -> None:
    shown = images(ood_rate=0.99)
    kinds = {IMAGE_CHECK_CLASSES[shown[epoch, 0]["kind"]] for epoch in range(120)}
    assert kinds >= set(IMAGE_CHECK_CLASSES) - {"frontal"}


def test_a_network_of_fewer_classes_is_shown_those_only() -> None:
    network = NETWORK.model_copy(update={"image_check_classes": 6})
    shown = SegmentationImages([chest()], SegmentSettings(network=network, ood_rate=0.99), SIDE, True)
    assert max(shown[epoch, 0]["kind"] for epoch in range(60)) < 6


def test_chests_without_an_outline_are_a_share_of_the_epoch_and_teach_no_mask() -> None:
    shown = images(chests=3, chest_share=0.5, ood_rate=0.0)
    assert len(shown) == 4
    items = [shown[0, index] for index in range(4)]
    assert [item["outlined"] for item in items] == [True, True, False, False]
    assert not items[2]["mask"].any()
    batch = {key: torch.stack([torch.as_tensor(item[key]) for item in items[2:]]) for key in items[0]}
    module = SegmentationModule(build_segmentation(NETWORK), shown.settings)
    logged: list[str] = []
    module.log_number = lambda name, *_: logged.append(name)  # type: ignore[method-assign, assignment]
    module.loss_of(batch, module.network, "train").backward()
    assert logged == ["train/image_check"]
    head = module.network.net.segmentation_head  # type: ignore[union-attr]
    assert all(weight.grad is None or not weight.grad.any() for weight in head.parameters())


def test_planes_are_of_each_lung_or_of_both() -> None:
    labels = chest().mask()
    both, (right, left) = lung_planes(labels, False, SIDE), lung_planes(labels, True, SIDE)
    assert both.shape == (1, SIDE, SIDE)
    np.testing.assert_allclose(both[0], right + left, atol=1e-6)


def test_training_goes_on_from_the_weights_of_a_run(segmentation_run: Run) -> None:
    theirs, network = load_segmentation(segmentation_run.path)
    started = network_to_train(SegmentSettings(network=network, start=segmentation_run.path))
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in started.state_dict().items())


def test_a_run_of_another_network_is_refused_by_what_differs(segmentation_run: Run) -> None:
    _, network = load_segmentation(segmentation_run.path)
    other = network.model_copy(update={"size_px": 2 * network.size_px})
    with pytest.raises(ConfigError, match=f"with size_px {network.size_px}; set the same"):
        network_to_train(SegmentSettings(network=other, start=segmentation_run.path))
