"""A small but real run, and the bundle exported from it once for all tests of this room."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from lungsev.export.bundle_from_run import Exported, ExportOptions, bundle_from_run
from lungsev.export.deployable import Deployable
from lungsev.export.onnx_from_network import onnx_from_network
from lungsev.networks.build import build_fused
from lungsev.networks.checkpoint import save_checkpoint
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings

SETTINGS = FusedSettings(
    segmentation=SegmentationSettings(
        encoder="test_efficientnet", decoder_channels=(16, 8, 8, 8, 8), size_px=128, pretrained="none"
    ),
    alignment=AlignmentSettings(width=4),
    severity=SeveritySettings(
        backbone="test_efficientnet", crop_px=128, dim=32, heads=2, mlp_ratio=2.0, flip_tta=True, pretrained="none"
    ),
)


def make_network(settings: FusedSettings = SETTINGS) -> FusedNetwork:
    """Random weights, lived-in normalisation and an alignment that depends on the image."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = build_fused(settings, pretrained=False)
    with torch.no_grad():
        network.alignment.theta.weight.normal_(0, 0.05)
        network.train()
        for _ in range(3):
            network(torch.rand(2, 1, 512, 512))
    return network.eval()


def write_run(folder: Path, network: FusedNetwork) -> Path:
    folder.mkdir(parents=True)
    save_checkpoint(folder, SETTINGS, network)
    config = {"settings": {"data": {"root": "/home/someone/images", "batch": 4}}, "made_by": {"commit": "0123abcd"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    metrics = {
        "brixia": {"mae": 0.5},
        "data": ["images of somewhere"],
        "calibration": {"brixia": {"decision": "median"}},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "splits.json").write_text(json.dumps({"train": ["a"], "test": ["b"]}))
    return folder


@pytest.fixture(scope="session")
def published_network() -> FusedNetwork:
    """A network with every choice of the paper's published code: an alignment that turns, attention, norms, pooling."""
    choices = {
        "input_range": "zero_to_one",
        "attention_scale": "after_softmax_by_model_dim",
        "position_std": 1.0,
        "final_norm": False,
        "pooling": "cells",
    }
    alignment = AlignmentSettings(width=4, kind="convolutions", rotation=True)
    severity = SETTINGS.severity.model_copy(update=choices)
    return make_network(SETTINGS.model_copy(update={"alignment": alignment, "severity": severity}))


@pytest.fixture(scope="session")
def turning_graph(published_network: FusedNetwork) -> bytes:
    """The FP32 graph of a network whose alignment may turn the image: one with GridSample."""
    return onnx_from_network(Deployable(published_network, 512))


@pytest.fixture(scope="session")
def network_of() -> Callable[[AlignmentSettings, SeveritySettings], FusedNetwork]:
    """Make a network of other settings behind the small segmentation."""

    def make(alignment: AlignmentSettings, severity: SeveritySettings) -> FusedNetwork:
        return make_network(SETTINGS.model_copy(update={"alignment": alignment, "severity": severity}))

    return make


@pytest.fixture(scope="session")
def small_network() -> FusedNetwork:
    return make_network()


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, small_network: FusedNetwork) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "brixia" / "20260101-000000", small_network)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, small_run: Path) -> Exported:
    return bundle_from_run(small_run, tmp_path_factory.mktemp("exported") / "bundle", ExportOptions(half=True))
