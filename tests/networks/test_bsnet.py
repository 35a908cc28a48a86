"""BS-Net as published: features are aligned and masked, boxes joined, and each region has a classifier of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungsev.networks.bsnet import BsNet, RoiPooling
from lungsev.networks.build import build_severity
from lungsev.networks.settings import BsNetSettings, SeveritySettings
from lungsev.networks.warp import AffineWarp
from lungsev.schemes import Region, Scheme, load_scheme

TINY = SeveritySettings(
    backbone="mobilenetv3_small_050",
    out_indices=(1, 2, 3, 4),
    neck="bsnet",
    crop_px=64,
    position_aware=False,
    pretrained="none",
    bsnet=BsNetSettings(pyramid_width=4, classifier_width=4, classifier_depth=1),
)
THETA = torch.tensor([[0.7, 0.0, 0.05], [0.0, 0.8, -0.03]]).expand(2, 2, 3)
REGIONS = range(6)


def tiny(**changes: Any) -> BsNet:
    torch.manual_seed(0)
    network = build_severity(TINY.model_copy(update=changes))
    assert isinstance(network, BsNet)
    return network.eval()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(2, 1, 64, 64), torch.rand(2, 1, 32, 32), THETA


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def conv(ins: int, outs: int, side: int) -> int:
    return ins * outs * side * side + outs


def test_the_published_sizes_have_the_parameters_that_follow_from_their_description() -> None:
    """ResNet18's levels of 64, 128, 256, 512 channels; FPN from 64; six classifiers of three 8-channel layers."""
    network = build_severity(
        SeveritySettings(
            backbone="resnet18", out_indices=(1, 2, 3, 4), neck="bsnet", position_aware=False, pretrained="none"
        )
    )
    laterals = conv(64, 64, 1) + conv(128, 64, 1) + conv(256, 128, 1) + conv(512, 256, 1)
    joined = conv(64, 64, 3) + conv(64, 128, 3) + conv(128, 256, 3) + conv(256, 512, 3)
    assert parameters(network.pyramid) == laterals + joined == 1_762_752
    norms = 3 * 2 * 8
    classifier = conv(512, 8, 3) + 2 * conv(8, 8, 3) + norms + conv(8, 4, 3)
    head = network.scheme_heads["brixia"]
    assert [parameters(each) for each in head.classifiers] == [classifier] * 6 == [38_380] * 6
    assert parameters(network) == parameters(network.backbone) + 1_762_752 + 6 * 38_380
    resnet18_without_fc = 11_170_240  # 11,176,512 of torchvision's, for one channel instead of three
    assert parameters(network.backbone) == resnet18_without_fc


@pytest.mark.parametrize("region", REGIONS)
def test_the_loss_of_a_region_teaches_its_own_classifier_and_no_other(region: int) -> None:
    network = tiny()
    network.logits(*inputs())["brixia"][:, region].square().sum().backward()
    taught = [
        any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in classifier.parameters())
        for classifier in network.scheme_heads["brixia"].classifiers
    ]
    assert taught == [other == region for other in REGIONS]
    assert network.pyramid.lateral[0].weight.grad is not None


def test_no_two_regions_share_a_weight() -> None:
    network = tiny()
    classifiers = network.scheme_heads["brixia"].classifiers
    assert len({p.data_ptr() for p in classifiers.parameters()}) == sum(1 for _ in classifiers.parameters())
    with torch.no_grad():
        before = network.logits(*inputs())["brixia"]
        classifiers[2][-1].bias.add_(1.0)
        after = network.logits(*inputs())["brixia"]
    assert [bool((after[:, r] != before[:, r]).any()) for r in REGIONS] == [r == 2 for r in REGIONS]


def test_a_region_is_a_box_sampled_bilinearly_to_the_side_of_its_level() -> None:
    scheme, side = load_scheme("brixia"), 8
    features = np.random.default_rng(0).random((2, 3, side, side))
    found = RoiPooling(scheme, side)(torch.from_numpy(features).float()).numpy()
    centres = np.arange(side) + 0.5
    for number, region in enumerate(scheme.regions):
        y0, x0, y1, x1 = region.box
        for image, channel in np.ndindex(2, 3):
            down = (y0 + centres / side * (y1 - y0)) * side
            across = (x0 + centres / side * (x1 - x0)) * side
            rows = np.array([np.interp(down, centres, column) for column in features[image, channel].T]).T
            expected = np.array([np.interp(across, centres, row) for row in rows])
            np.testing.assert_allclose(found[image, number, channel], expected, atol=1e-6)


def test_features_outside_the_lungs_have_no_influence(monkeypatch: pytest.MonkeyPatch) -> None:
    network, (canvas, _, theta) = tiny(), inputs()
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 8:24, 4:14] = 1
    levels = [torch.rand_like(level) for level in network.backbone.levels(canvas)]
    lungs = [functional.interpolate(mask, size=level.shape[-1], mode="bilinear") > 0 for level in levels]
    spoilt = [torch.where(_widened(inside), level, level + 100) for level, inside in zip(levels, lungs, strict=True)]
    found = []
    with torch.no_grad():
        for shown in (levels, spoilt):
            monkeypatch.setattr(network.backbone, "levels", lambda _, shown=shown: shown)
            found.append(network(canvas, mask, theta)["brixia"][0])
        assert any(bool((a != b).any()) for a, b in zip(levels, spoilt, strict=True))
        torch.testing.assert_close(found[0], found[1])
        for level in network.aligned_levels(canvas, torch.zeros_like(mask), theta):
            assert not level.any()


def _widened(inside: Tensor) -> Tensor:
    """Cells from which a bilinear sample inside the mask takes anything."""
    return functional.max_pool2d(inside.float(), 3, stride=1, padding=1) > 0


def test_features_are_multiplied_by_the_lungs_share_of_their_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    network, (canvas, mask, _) = tiny(), inputs()
    ones = [torch.ones_like(level) for level in network.backbone.levels(canvas)]
    monkeypatch.setattr(network.backbone, "levels", lambda _: ones)
    inner = torch.eye(2, 3).expand(2, 2, 3)
    for level in network.aligned_levels(canvas, mask, inner):
        share = functional.adaptive_avg_pool2d(mask, level.shape[-1])
        torch.testing.assert_close(level, share.expand_as(level), atol=1e-6, rtol=0)


def test_warping_features_of_a_constant_gradient_is_warping_the_image() -> None:
    ramp = torch.linspace(0, 1, 65)[:-1] + 0.5 / 64
    image = (0.3 * ramp[None, :] + 0.6 * ramp[:, None]).expand(2, 1, 64, 64)
    network = tiny()
    network.backbone.levels = lambda canvas: [functional.avg_pool2d(canvas, 64 // side) for side in network.sides]  # type: ignore[method-assign]
    turned = THETA.clone()
    turned[:, 0, 1], turned[:, 1, 0] = 0.1, -0.1
    everywhere = torch.ones(2, 1, 32, 32)
    for theta in (THETA, turned):
        crop = AffineWarp(64)(image, theta)
        for level in network.aligned_levels(image, everywhere, theta)[:3]:
            side = level.shape[-1]
            expected = functional.avg_pool2d(crop, 64 // side)
            inner = slice(1, side - 1) if side > 4 else slice(1, 3)
            torch.testing.assert_close(level[..., inner, inner], expected[..., inner, inner], atol=1e-5, rtol=0)


def test_an_upright_theta_may_be_resampled_by_rows_and_columns() -> None:
    network, shown = tiny(), inputs()
    with torch.no_grad():
        for straight, upright in zip(network(*shown)["brixia"], network(*shown, True)["brixia"], strict=True):
            torch.testing.assert_close(straight, upright, atol=1e-5, rtol=0)


def test_logits_are_the_mean_over_a_boxs_cells_and_the_temperature_divides_them() -> None:
    network, shown = tiny(), inputs()
    head = network.scheme_heads["brixia"]
    with torch.no_grad():
        boxes = network.pyramid(head.rois(network.aligned_levels(*shown)))
        mean = torch.stack([c(boxes[:, r]).mean(dim=(2, 3)) for r, c in enumerate(head.classifiers)], dim=1)
        torch.testing.assert_close(network.logits(*shown)["brixia"], mean)
        torch.testing.assert_close(network(*shown)["brixia"][0], mean.softmax(-1))
        network.set_temperature("brixia", 2.0)
        torch.testing.assert_close(network(*shown)["brixia"][0], (mean / 2).softmax(-1))
        torch.testing.assert_close(network.region_embeddings("brixia", *shown), boxes.mean(dim=(3, 4)))


@pytest.mark.parametrize(("name", "regions", "grades"), [("mbrixia", 12, 4), ("inha", 4, 5)])
def test_every_region_of_any_scheme_has_a_classifier_and_the_map_is_exact_to_it(
    name: str, regions: int, grades: int
) -> None:
    network = tiny(schemes=("brixia", name))
    scheme = load_scheme(name)
    with torch.no_grad():
        probabilities, severity_map = network(*inputs())[name]
    assert len(network.scheme_heads[name].classifiers) == regions
    assert probabilities.shape == (2, regions, grades)
    pooled = severity_map.reshape(2, -1) @ torch.from_numpy(scheme.pooling_matrix(16, 16)).T
    expected = probabilities @ torch.tensor(scheme.grades, dtype=torch.float32)
    torch.testing.assert_close(pooled, expected, atol=1e-4, rtol=0)


def test_the_map_lays_each_box_back_where_it_was() -> None:
    boxes = {"a": (0.0, 0.0, 0.5, 0.5), "b": (0.5, 0.5, 1.0, 1.0)}
    regions = tuple(Region(code=code, name=code, side="both", box=box) for code, box in boxes.items())
    scheme = Scheme(name="two", title="two", source="", grades=(1, 2, 3), grade_names=("x", "y", "z"), regions=regions)
    network = tiny()
    head = type(network.scheme_heads["brixia"])(scheme, network.sides, 4, 2, 1)
    cells = torch.full((1, 2, 3, 2, 2), -50.0)
    cells[0, 0, 2] = 50.0  # a: the highest grade everywhere
    cells[0, 1, 1, :, 0] = cells[0, 1, 0, :, 1] = 50.0  # b: 2 in its left half, 1 in its right half
    found = head.severity_map(cells)[0].numpy()
    expected = np.ones((16, 16))
    expected[:8, :8], expected[8:, 8:12] = 3, 2
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_canvas_or_levels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="crop_px 80 is not a multiple"):
        tiny(crop_px=80)
    with pytest.raises(ValueError, match="crop_px 160 of BS-Net does not divide the canvas of 512"):
        tiny(crop_px=160)
    with pytest.raises(ValueError, match="two or more levels"):
        tiny(out_indices=(4,))
