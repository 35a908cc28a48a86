"""A network starts from weights that fit it, whatever prefix they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lungsev.errors import ConfigError
from lungsev.networks.settings import SeveritySettings
from lungsev.train.runs import open_run
from lungsev.train.tasks.initial_weights import load_encoder_file, newest_source
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity

SettingsMaker = Callable[..., SeverityRunSettings]


def test_portability_starts_from_the_newest_run_of_the_same_network(severity_settings: SettingsMaker) -> None:
    settings = severity_settings()
    with pytest.raises(ConfigError, match="found no finished Brixia run of mobilenetv3_small_050"):
        newest_source(settings.network)
    run = open_run("table1", settings)
    run_severity(settings, run)
    assert newest_source(settings.network) == run.path
    with pytest.raises(ConfigError, match="found no finished Brixia run"):
        newest_source(SeveritySettings(backbone="resnet18"))


def test_a_network_that_does_not_fit_its_source_says_so(severity_settings: SettingsMaker) -> None:
    source_settings = severity_settings()
    source = open_run("brixia", source_settings)
    run_severity(source_settings, source)
    settings = severity_settings({"initial.source": str(source.path), "network.dim": 32})
    with pytest.raises(ConfigError, match="holds another network"):
        run_severity(settings, open_run("brixia", settings))


def small_network() -> Any:
    return SimpleNamespace(backbone=nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))


def weights(colours: int) -> dict[str, Tensor]:
    state = nn.Sequential(nn.Conv2d(colours, 2, 3), nn.BatchNorm2d(2)).state_dict()
    return {f"image_encoder.resnet.{key}": value for key, value in state.items()}


def test_a_wrapped_prefixed_encoder_for_colours_is_taken_over_with_its_colours_summed(tmp_path: Path) -> None:
    state = weights(3)
    torch.save({"model": state, "epoch": 3}, tmp_path / "clip.pt")
    network = small_network()
    assert load_encoder_file(network, tmp_path / "clip.pt") == 6
    stem = state["image_encoder.resnet.0.weight"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(network.backbone[0].weight.data, stem)
    torch.testing.assert_close(network.backbone[0].bias.data, state["image_encoder.resnet.0.bias"])


def test_a_file_of_another_architecture_or_of_none_is_refused(tmp_path: Path) -> None:
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=r"fits the backbone in 0 of 6 weights; .*like other\.weight"):
        load_encoder_file(small_network(), tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ConfigError, match="is not a file of weights that can be read without running its code"):
        load_encoder_file(small_network(), tmp_path / "text.pt")
    with pytest.raises(ConfigError, match=r"absent\.pt does not exist"):
        load_encoder_file(small_network(), tmp_path / "absent.pt")
