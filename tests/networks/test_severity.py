"""Severity networks: pooling is the scheme's matrix, the map is exact to the score, backbones are interchangeable."""

from __future__ import annotations

import pytest
import torch

from lungsev.networks.build import build_severity
from lungsev.networks.pooling import RegionPooling
from lungsev.networks.settings import SeveritySettings
from lungsev.networks.severity import FeatureScale, SeverityNetwork
from lungsev.schemes import load_scheme

TINY = SeveritySettings(crop_px=64, dim=16, heads=4, mlp_ratio=1.0, pretrained="none", dropout=0.0)


def tiny(**changes: object) -> SeverityNetwork:
    torch.manual_seed(0)
    return build_severity(TINY.model_copy(update=changes)).eval()


def test_temperature_softens_probabilities_and_map_alike() -> None:
    network = tiny()
    crop = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        sharp, _ = network(crop)["brixia"]
        network.set_temperature("brixia", 2.0)
        soft, _ = network(crop)["brixia"]
    torch.testing.assert_close(soft, (sharp.log() / 2).softmax(-1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "out_indices"),
    [
        ("tf_efficientnet_lite0", (3, 4)),
        ("resnet18", (3, 4)),
        ("mobilenetv3_small_050", (2, 3, 4)),
        ("convnext_atto", (2, 3)),
    ],
)
@pytest.mark.parametrize("position_aware", [True, False], ids=["with PAFE", "SN only"])
def test_shapes_with_any_backbone_with_and_without_the_encoder(
    backbone: str, out_indices: tuple[int, ...], position_aware: bool
) -> None:
    network = tiny(
        backbone=backbone, out_indices=out_indices, position_aware=position_aware, schemes=("brixia", "inha")
    )
    with torch.no_grad():
        outputs = network(torch.rand(2, 1, 64, 64))
    for name, regions, grades in (("brixia", 6, 4), ("inha", 4, 5)):
        probabilities, severity_map = outputs[name]
        assert probabilities.shape == (2, regions, grades)
        assert severity_map.shape == (2, 16, 16)
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(2, regions))


def test_mirroring_a_radiograph_mirrors_the_regions_once_the_network_is_symmetric() -> None:
    """With a mirrored token grid the pooled regions swap sides: boxes and partners belong together."""
    scheme = load_scheme("brixia")
    tokens = torch.randn(1, 16, 16, 6)
    pool = RegionPooling(scheme, 16, 16)
    straight = pool(tokens.reshape(1, 256, 6))
    mirrored = pool(tokens.flip(2).reshape(1, 256, 6))
    torch.testing.assert_close(mirrored, straight[:, list(scheme.flip_permutation)], atol=1e-5, rtol=1e-4)
    network = tiny()
    radiograph = torch.rand(1, 1, 64, 64)
    symmetric = (radiograph + radiograph.flip(3)) / 2
    with torch.no_grad():  # convolutions are not symmetric, so neither is an untrained network
        right_left = network(symmetric)["brixia"][0]
        swapped = network(symmetric.flip(3))["brixia"][0]
    torch.testing.assert_close(right_left, swapped)


def test_with_flip_tta_a_flipped_radiograph_gets_flipped_grades() -> None:
    network = tiny(flip_tta=True, schemes=("brixia", "inha"))
    crop = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        seen, behind = network(crop), network(crop.flip(3))
    for name in ("brixia", "inha"):
        partner = list(load_scheme(name).flip_permutation)
        torch.testing.assert_close(behind[name][0][:, partner], seen[name][0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(behind[name][1].flip(2), seen[name][1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("flip_tta", [False, True])
@pytest.mark.parametrize("head", ["linear", "ordinal", "mlp"])
def test_the_mean_of_the_map_over_a_box_is_the_expected_grade(head: str, flip_tta: bool) -> None:
    network = tiny(flip_tta=flip_tta, head=head, schemes=("brixia", "inha"))
    with torch.no_grad():
        outputs = network(torch.rand(2, 1, 64, 64))
    for name, (probabilities, severity_map) in outputs.items():
        scheme = load_scheme(name)
        pooled = severity_map.reshape(2, -1) @ torch.from_numpy(scheme.pooling_matrix(16, 16)).T
        expected = probabilities @ torch.tensor(scheme.grades, dtype=torch.float32)
        torch.testing.assert_close(pooled, expected, atol=1e-4, rtol=0)


def test_features_as_they_are_need_no_encoder() -> None:
    network = tiny(dim=0, position_aware=False)
    assert network(torch.rand(1, 1, 64, 64))["brixia"][0].shape == (1, 6, 4)
    with pytest.raises(ValueError, match="dim 0"):
        tiny(dim=0, position_aware=True)


def test_without_projection_and_norms_a_network_is_its_backbone_and_one_linear_layer() -> None:
    """ResNet18's 512 channels to 4 grades: 2,052 parameters; the feature scale learns none and changes nothing."""
    network = tiny(backbone="resnet18", out_indices=(4,), stride=32, dim=0, position_aware=False)
    own = {name: value for name, value in network.named_parameters() if not name.startswith("backbone.")}
    assert sum(value.numel() for value in own.values()) == 512 * 4 + 4 == 2_052
    crop = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        pooled = network.scheme_heads["brixia"].pool(network.backbone(crop).flatten(2).transpose(1, 2))
        torch.testing.assert_close(network.logits(crop)["brixia"], network.scheme_heads["brixia"].classify(pooled))


def test_without_a_final_norm_the_tokens_are_pooled_as_the_block_leaves_them() -> None:
    network = tiny(final_norm=False)
    crop = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        tokens = network.project(network.backbone(crop)).flatten(2).transpose(1, 2)
        torch.testing.assert_close(network.tokens(crop), network.encoder(tokens))


def test_trunk_and_heads_have_all_parameters_between_them() -> None:
    network = tiny(mask_attention=True, flip_tta=True)
    trunk = [parameter for part in network.trunk() for parameter in part.parameters()]
    heads = list(network.scheme_heads.parameters())
    assert len(heads) == 2
    assert {*map(id, trunk)} | {*map(id, heads)} == {*map(id, network.parameters())}
    assert not {*map(id, trunk)} & {*map(id, heads)}


def test_a_fitted_scale_centres_the_features_of_regions() -> None:
    scale = FeatureScale(3)
    pooled = torch.randn(20, 6, 3) * torch.tensor([1.0, 5.0, 0.1]) + 2
    scale.fit(pooled)
    centred = scale(pooled.reshape(120, 3, 1, 1)).reshape(120, 3)
    torch.testing.assert_close(centred.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(centred.std(0), torch.ones(3), atol=1e-3, rtol=0)


def test_a_crop_the_stride_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        tiny(crop_px=72)
