"""Built-in configs are found by name, and a config of one's own builds on them."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from lungsev.config import load_model
from lungsev.errors import ConfigError
from lungsev.geometry import IDENTITY_THETA
from lungsev.networks.build import build_severity
from lungsev.schemes import load_scheme
from lungsev.train.configs import built_in_configs, built_in_or_path, default_config, read_config
from lungsev.train.data.datasets import GradedImage
from lungsev.train.fitting.optimization import make_optimizer
from lungsev.train.tasks.alignment import AlignSettings
from lungsev.train.tasks.initial_weights import taken_over
from lungsev.train.tasks.segmentation import SegmentSettings
from lungsev.train.tasks.severity import SeverityImages, SeverityModule, SeverityRunSettings


def test_a_config_of_ones_own_builds_on_another_and_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "below.yaml").write_text("base: brixia/paper\nloop: {epochs: 7}\n")
    (tmp_path / "mine.yaml").write_text("base: below.yaml\nnetwork: {backbone: densenet121}\n")
    merged = read_config(tmp_path / "mine.yaml")
    assert (merged["loop"]["epochs"], merged["loop"]["batch_size"]) == (7, 64)
    assert (merged["network"]["backbone"], merged["network"]["dim"]) == ("densenet121", 768)
    (tmp_path / "below.yaml").write_text("base: mine.yaml\n")
    with pytest.raises(ConfigError, match="leads back to itself"):
        read_config(tmp_path / "mine.yaml")


def test_the_tables_rows_are_configs() -> None:
    names = built_in_configs()
    for depth in (18, 34, 50):
        assert f"brixia/paper_resnet{depth}" in names
        assert f"brixia/paper_resnet{depth}_sn" in names
        rows = [f"{mode}_resnet{depth}" for mode in ("scratch", "finetune", "linear_probe")]
        assert {f"inha/{kind}{row}{sn}" for row in rows for kind in ("", "reference_") for sn in ("", "_sn")} <= set(
            names
        )
    assert {"brixia/bsnet", "brixia/bsnet_ensemble", "brixia/cxr_clip_resnet50", "brixia/modern"} <= set(names)


def test_a_config_is_named_or_a_path() -> None:
    assert built_in_or_path("my/own.yml") == Path("my/own.yml")
    assert built_in_or_path("brixia/paper").parts[-2:] == ("brixia", "paper.yaml")
    with pytest.raises(ConfigError, match=r"'brixia/papr' is unknown; .* brixia/paper, "):
        built_in_or_path("brixia/papr")
    assert default_config("no-such-command") is None


REFERENCE = [f"brixia/reference_resnet{depth}{kind}" for depth in (18, 34, 50) for kind in ("", "_sn")]
CHANNELS = {18: 512, 34: 512, 50: 2048}


def settings_of(name: str, overrides: dict[str, object] | None = None) -> SeverityRunSettings:
    return load_model(SeverityRunSettings, built_in_or_path(name), overrides, read_config)


def learned(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_reference_network_has_the_parameters_of_the_papers_equations_and_no_more(name: str) -> None:
    with torch.device("meta"):  # counted, never run
        network = build_severity(settings_of(name).network, pretrained=False)
    channels = CHANNELS[int(re.findall(r"\d\d", name)[0])]
    d, tokens, grades = 768, 16 * 16, 4
    embedding = (channels + 1) * d + tokens * d
    attention = (d + 1) * 3 * d + (d + 1) * d
    mlp = (d + 1) * 4 * d + (4 * d + 1) * d
    pafe = embedding + attention + mlp + 2 * 2 * d + (d + 1) * grades
    expected = (channels + 1) * grades if name.endswith("_sn") else pafe
    assert learned(network) - learned(network.backbone) == expected
    assert pafe == (8_861_188 if channels == 2048 else 7_681_540)
    assert {part.p for part in network.modules() if isinstance(part, nn.Dropout)} <= {0.0}
    if channels == 512 and name.endswith("_sn"):
        assert expected == 2_052


@pytest.mark.parametrize("depth", [18, 34, 50])
@pytest.mark.parametrize(
    "name",
    [
        "inha/linear_probe_resnet{}",
        "inha/linear_probe_resnet{}_sn",
        "inha/reference_linear_probe_resnet{}",
        "inha/reference_linear_probe_resnet{}_sn",
    ],
)
def test_a_linear_probe_trains_one_linear_layer(name: str, depth: int) -> None:
    settings = settings_of(name.format(depth), {"network.schemes": ["inha"]})
    with torch.device("meta"):
        network = build_severity(settings.network, pretrained=False)
    module = SeverityModule(network, load_scheme("inha"), settings)
    width = CHANNELS[depth] if "reference" in name and name.endswith("_sn") else 768
    assert learned(module) == (width + 1) * 5
    assert width != 768 or learned(module) == 3_845
    assert sum(isinstance(part, nn.Linear) for part in network.scheme_heads["inha"].modules()) == 1
    training = [part for part in module.train().modules() if part.training and list(part.buffers(recurse=False))]
    assert not [part for part in training if isinstance(part, nn.BatchNorm2d)]


@pytest.mark.parametrize("depth", [18, 34, 50])
@pytest.mark.parametrize("mode", ["scratch", "finetune", "linear_probe"])
@pytest.mark.parametrize("kind", ["", "reference_"])
def test_twins_of_table_2_differ_in_the_encoder_and_each_can_start_from_its_row_of_table_1(
    kind: str, mode: str, depth: int
) -> None:
    pafe = settings_of(f"inha/{kind}{mode}_resnet{depth}")
    sn = settings_of(f"inha/{kind}{mode}_resnet{depth}_sn")
    assert (pafe.network.position_aware, sn.network.position_aware) == (True, False)
    own = {"title", "network"}
    assert pafe.model_dump(exclude=own) == sn.model_dump(exclude=own)
    changed = {key for key, value in pafe.network if value != getattr(sn.network, key)}
    assert changed == {"position_aware"} | ({"dim"} if kind else set())
    for row, suffix in ((pafe, ""), (sn, "_sn")):
        source = settings_of(f"brixia/{kind or 'paper_'}resnet{depth}{suffix}")
        assert taken_over(row.network) == taken_over(source.network)


@pytest.mark.parametrize(
    "name", [*REFERENCE[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in REFERENCE[2:])]
)
def test_a_reference_config_trains_a_step(name: str) -> None:
    small = {"network.crop_px": 64, "network.pretrained": "none"}
    settings = settings_of(name, {**small, "data.split.protocol": "holdout"})
    torch.manual_seed(0)
    canvas = np.random.default_rng(0).random((512, 512)).astype(np.float32)
    images = [GradedImage(str(k), Path(), str(k), readings={"a": (0, 1, 2, 3, 0, 1)}) for k in range(3)]
    cached = [SimpleNamespace(canvas=lambda: canvas) for _ in images]
    scheme = load_scheme("brixia")
    items = SeverityImages(images, cached, np.stack([IDENTITY_THETA] * 3), scheme, settings, augmented=True)  # type: ignore[arg-type]
    batch = {key: torch.stack([items[0, k][key] for k in range(3)]) for key in ("image", "target")}
    module = SeverityModule(build_severity(settings.network, pretrained=False), scheme, settings)
    module.log_number = lambda *_: None  # type: ignore[method-assign, assignment]
    loss = module.loss_of(batch, module.network, "train")
    loss.backward()
    assert 0.74 < loss.item() < 1.74  # the range of cross-entropy of probabilities of four grades
    gradients = [parameter.grad for parameter in module.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    head = module.network.scheme_heads["brixia"].classify  # type: ignore[union-attr]
    before = head.weight.detach().clone()
    optimizer = make_optimizer(module.parameters(), module.backbone_parameters(), settings.optimizer)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(gradients)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {1e-5}
    optimizer.step()
    torch.testing.assert_close(head.weight, before - 1e-4 * (head.weight.grad + 1e-5 * before))


DEVIATIONS = Path(__file__).resolve().parents[2] / "docs" / "deviations.md"
SETTINGS_OF = {"segment": SegmentSettings, "align": AlignSettings}


def rows_of_deviations() -> list[list[str]]:
    """The table's cells: number, point, paper, published code, lungsev, switch, config, test."""
    lines = [line for line in DEVIATIONS.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_page_of_deviations_has_every_point_and_names_tests_that_exist() -> None:
    rows = rows_of_deviations()
    assert {len(row) for row in rows} == {8}
    assert sorted({int(row[0]) for row in rows}) == list(range(1, 30))
    for row in rows:
        for test in re.findall(r"`(tests/[^`]+)`", row[7]):
            assert (DEVIATIONS.parents[1] / test).is_file(), test


def test_every_switch_of_the_page_of_deviations_is_a_setting_with_the_stated_value_in_the_stated_config() -> None:
    checked = 0
    for row in rows_of_deviations():
        configs = re.findall(r"`([^`]+)`", row[6])
        for key, value in re.findall(r"`([\w.]+): ([^`]+)`", row[5]):
            assert configs, f"point {row[0]} names no config"
            for config in configs:
                model = SETTINGS_OF.get(config.split("/")[0], SeverityRunSettings)
                found: object = load_model(model, built_in_or_path(config), None, read_config)  # type: ignore[type-var]
                for name in key.split("."):
                    found = getattr(found, name)  # an unknown key is an AttributeError
                expected = yaml.safe_load(value)
                assert found == (tuple(expected) if isinstance(expected, list) else expected), (config, key)
                checked += 1
    assert checked > 40
