"""A network starts from weights that fit it, whatever prefix they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from lungsev.errors import ConfigError
from lungsev.networks.build import build_fused, build_severity
from lungsev.networks.checkpoint import load_alignment, load_segmentation, save_checkpoint
from lungsev.networks.settings import BsNetSettings, FusedSettings, SegmentationSettings, SeveritySettings
from lungsev.train.runs import open_run
from lungsev.train.tasks.initial_weights import (
    InitialSettings,
    build_initial,
    load_encoder_file,
    newest_source,
    taken_over,
    timm_weights_name,
)
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity

SettingsMaker = Callable[..., SeverityRunSettings]


def test_portability_starts_from_the_newest_run_of_the_same_network(severity_settings: SettingsMaker) -> None:
    settings = severity_settings()
    with pytest.raises(ConfigError, match="found no finished Brixia run of mobilenetv3_small_050"):
        newest_source(settings.network)
    run = open_run("table-1", settings)
    run_severity(settings, run)
    assert newest_source(settings.network) == run.path
    with pytest.raises(ConfigError, match="found no finished Brixia run"):
        newest_source(SeveritySettings(backbone="resnet18"))


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"head": "mlp", "hidden": 8, "dropout": 0.3, "schemes": ("inha",), "pooling": "cells"}, True),
        ({"heads": 4}, False),
        ({"mlp_ratio": 2.0}, False),
        ({"attention_scale": "after_softmax_by_model_dim"}, False),
        ({"final_norm": False}, False),
        ({"input_range": "zero_to_one"}, False),
        ({"mask_attention": True}, False),
        ({"position_aware": False}, False),
        ({"crop_px": 512}, False),
        ({"stride": 32}, False),
    ],
)
def test_what_is_taken_over_depends_on_everything_but_the_head(changes: dict[str, Any], fits: bool) -> None:
    source = SeveritySettings()
    assert (taken_over(source.model_copy(update=changes)) == taken_over(source)) == fits


def test_without_an_encoder_its_settings_do_not_count_and_bsnets_pyramid_does() -> None:
    plain = SeveritySettings(position_aware=False)
    assert taken_over(plain.model_copy(update={"heads": 4, "mlp_ratio": 2.0})) == taken_over(plain)
    bsnet = SeveritySettings(neck="bsnet", position_aware=False)
    assert taken_over(bsnet) != taken_over(plain)
    for changes, fits in (({"pyramid_width": 32}, False), ({"classifier_width": 16, "freeze_encoder": False}, True)):
        other = bsnet.model_copy(update={"bsnet": BsNetSettings(**changes)})
        assert (taken_over(other) == taken_over(bsnet)) == fits


def test_a_network_that_does_not_fit_its_source_says_so(severity_settings: SettingsMaker) -> None:
    source_settings = severity_settings()
    source = open_run("brixia", source_settings)
    run_severity(source_settings, source)
    settings = severity_settings({"initial.source": str(source.path), "network.dim": 32})
    with pytest.raises(ConfigError, match="holds another network"):
        run_severity(settings, open_run("brixia", settings))


class _SmallBackbone(nn.Module):
    """As `Backbone` names its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))

    def timm_names(self) -> dict[str, str]:
        return {key: key for key in self.net.state_dict()}


def small_network() -> Any:
    return SimpleNamespace(backbone=_SmallBackbone())


def weights(colours: int) -> dict[str, Tensor]:
    state = nn.Sequential(nn.Conv2d(colours, 2, 3), nn.BatchNorm2d(2)).state_dict()
    return {f"image_encoder.resnet.{key}": value for key, value in state.items()}


def test_a_wrapped_prefixed_encoder_for_colours_is_taken_over_with_its_colours_summed(tmp_path: Path) -> None:
    state = weights(3)
    torch.save({"model": state, "epoch": 3}, tmp_path / "clip.pt")
    network = small_network()
    assert load_encoder_file(network, tmp_path / "clip.pt") == 6
    stem = state["image_encoder.resnet.0.weight"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(network.backbone.net[0].weight.data, stem)
    torch.testing.assert_close(network.backbone.net[0].bias.data, state["image_encoder.resnet.0.bias"])


def test_a_file_of_another_architecture_or_of_none_is_refused(tmp_path: Path) -> None:
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=r"fits the backbone in 0 of 6 weights; .*like other\.weight"):
        load_encoder_file(small_network(), tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ConfigError, match="is not a file of weights that can be read without running its code"):
        load_encoder_file(small_network(), tmp_path / "text.pt")
    with pytest.raises(ConfigError, match=r"absent\.pt does not exist"):
        load_encoder_file(small_network(), tmp_path / "absent.pt")


SMALL = SeveritySettings(
    backbone="resnet18", out_indices=(4,), stride=32, crop_px=64, dim=0, position_aware=False, input_range="zero_to_one"
)


@pytest.fixture(scope="module")
def torchvisions_resnet() -> nn.Module:
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.1, 0.1)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return network.eval()


def features_in_colour(network: nn.Module, grey: Tensor) -> Tensor:
    """Map grey images [N, 1, H, W] three times to the last feature map, as torchvision computes it."""
    body = nn.Sequential(*list(network.children())[:-2])
    features: Tensor = body(grey.expand(-1, 3, -1, -1))
    return features


def test_a_file_of_torchvision_makes_a_grey_network_equal_to_its_own_on_grey_three_times(
    torchvisions_resnet: nn.Module, tmp_path: Path
) -> None:
    torch.save(torchvisions_resnet.state_dict(), tmp_path / "resnet18-f37072fd.pth")
    settings = SMALL.model_copy(update={"pretrained": "torchvision_v1"})
    network = build_initial(settings, InitialSettings(encoder_weights=tmp_path / "resnet18-f37072fd.pth")).eval()
    grey = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            network.backbone(grey), features_in_colour(torchvisions_resnet, grey), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("backbone", "pretrained", "name"),
    [
        ("resnet18", "torchvision_v1", "resnet18.tv_in1k"),
        ("resnet34", "torchvision_v1", "resnet34.tv_in1k"),
        ("resnet50", "torchvision_v2", "resnet50.tv2_in1k"),
        ("resnet34.a1_in1k", "torchvision_v1", "resnet34.tv_in1k"),
        ("resnet34.tv_in1k", "imagenet", "resnet34.tv_in1k"),
        ("resnet18", "imagenet", "resnet18"),
    ],
)
def test_weights_are_called_by_torchvisions_version_or_by_timms_name(backbone: str, pretrained: str, name: str) -> None:
    update = {"backbone": backbone, "pretrained": pretrained}
    assert timm_weights_name(SMALL.model_copy(update=update)) == name


def test_weights_that_torchvision_never_published_are_refused() -> None:
    settings = SMALL.model_copy(update={"backbone": "resnet34", "pretrained": "torchvision_v2"})
    with pytest.raises(ConfigError, match=r"no torchvision_v2 weights of resnet34; expected .* resnet34\.tv_in1k"):
        build_initial(settings, InitialSettings())


@pytest.mark.parametrize("input_range", ["zero_to_one", "minus_one_to_one"])
def test_weights_by_name_are_fitted_to_the_range_of_the_input(
    input_range: str, torchvisions_resnet: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def downloaded(name: str, pretrained: bool) -> nn.Module:
        asked.append(name)
        torchvisions_resnet.pretrained_cfg = {"std": (0.2, 0.25, 0.5)}  # type: ignore[assignment]
        return torchvisions_resnet

    settings = SMALL.model_copy(update={"pretrained": "torchvision_v1", "input_range": input_range})
    built = build_severity(settings, pretrained=False)
    monkeypatch.setattr("lungsev.train.tasks.initial_weights.build_severity", lambda *_, **__: built)
    monkeypatch.setattr(timm, "create_model", downloaded)
    network = build_initial(settings, InitialSettings())
    assert asked == ["resnet18.tv_in1k"]
    stem = torchvisions_resnet.conv1.weight
    scale = {"zero_to_one": (1.0, 1.0, 1.0), "minus_one_to_one": (2.5, 2.0, 1.0)}[input_range]
    expected = sum(factor * stem[:, channel] for channel, factor in enumerate(scale))
    torch.testing.assert_close(network.backbone.net.conv1.weight[:, 0], expected)


def test_weights_that_cannot_be_downloaded_say_where_their_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SMALL.model_copy(update={"pretrained": "torchvision_v1"})
    built = build_severity(settings, pretrained=False)
    monkeypatch.setattr("lungsev.train.tasks.initial_weights.build_severity", lambda *_, **__: built)

    def no_network(name: str, pretrained: bool) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", no_network)
    message = r"resnet18\.tv_in1k cannot be downloaded \(no route .*pytorch\.org/models/resnet18-f37072fd\.pth.*=FILE"
    with pytest.raises(ConfigError, match=message):
        build_initial(settings, InitialSettings())


def test_a_source_whose_weights_mean_something_else_is_refused(severity_settings: SettingsMaker) -> None:
    source_settings = severity_settings()
    fused = FusedSettings(
        segmentation=load_segmentation(source_settings.alignment)[1],  # type: ignore[arg-type]
        alignment=load_alignment(source_settings.alignment)[1],  # type: ignore[arg-type]
        severity=source_settings.network,
    )
    source = open_run("brixia", source_settings)
    save_checkpoint(source.path, fused, build_fused(fused, pretrained=False))
    settings = severity_settings({"initial.source": str(source.path), "network.final_norm": False})
    with pytest.raises(ConfigError, match=r"trained with network\.final_norm: true, found false here"):
        build_initial(settings.network, settings.initial)
    taken = build_initial(source_settings.network, settings.initial)
    assert taken.norm.weight.shape == (16,)


def fused_run(folder: Path, severity: SeveritySettings) -> Any:
    """Write a run folder as a joint training leaves it, with weights that no other network has."""
    lungs = SegmentationSettings(encoder="resnet18", decoder_channels=(8, 8, 8, 8, 8), size_px=64)
    settings = FusedSettings(segmentation=lungs, severity=severity)
    fused = build_fused(settings, pretrained=False)
    fused.severity.scale.mean.uniform_(1, 2)
    folder.mkdir()
    save_checkpoint(folder, settings, fused)
    return fused.severity


def test_arms_with_other_heads_start_from_the_backbone_of_a_run_and_the_scale_of_its_features(tmp_path: Path) -> None:
    theirs = fused_run(tmp_path / "trunk", SMALL.model_copy(update={"context": True, "schemes": ("brixia", "ralo")}))
    arm = SMALL.model_copy(update={"dim": 16, "position_aware": True, "crop_px": 128, "schemes": ("inha",)})
    ours = build_initial(arm, InitialSettings(encoder_weights=tmp_path / "trunk"))
    # Its segmentation has the same architecture, and must not be mistaken for the backbone.
    for name, value in theirs.backbone.state_dict().items():
        torch.testing.assert_close(ours.backbone.state_dict()[name], value)
    torch.testing.assert_close(ours.scale.mean, theirs.scale.mean)


def test_a_run_with_another_backbone_is_refused(tmp_path: Path) -> None:
    fused_run(tmp_path / "trunk", SMALL)
    other = SMALL.model_copy(update={"input_range": "minus_one_to_one"})
    with pytest.raises(ConfigError, match=r"trained with network\.input_range: zero_to_one, found minus_one_to_one"):
        build_initial(other, InitialSettings(encoder_weights=tmp_path / "trunk"))
    with pytest.raises(ConfigError, match=r"network\.pt does not exist"):
        build_initial(SMALL, InitialSettings(encoder_weights=tmp_path))
