"""Networks are saved whole, and loaded only where they are what was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lungsev.errors import ConfigError
from lungsev.networks.build import build_alignment, build_segmentation
from lungsev.networks.checkpoint import (
    NETWORK_FILE,
    load_alignment,
    load_network,
    load_segmentation,
    read_network,
    save_checkpoint,
)
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings

TINY = FusedSettings(
    segmentation=SegmentationSettings(
        encoder="mobilenetv3_small_050", decoder_channels=(16, 8, 8, 8, 8), size_px=128, pretrained="none"
    ),
    alignment=AlignmentSettings(width=4),
)


def test_an_alignment_run_holds_its_segmentation_too(tmp_path: Path) -> None:
    segmentation = build_segmentation(TINY.segmentation)
    alignment = build_alignment(TINY.alignment)
    save_checkpoint(tmp_path, TINY.alignment, alignment, TINY.segmentation, segmentation)
    loaded, settings = load_segmentation(tmp_path)
    assert settings == TINY.segmentation
    assert torch.equal(loaded.net.segmentation_head[0].weight, segmentation.net.segmentation_head[0].weight)
    assert load_alignment(tmp_path)[1] == TINY.alignment


def test_the_wrong_run_is_named_with_what_it_holds(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, TINY.alignment, build_alignment(TINY.alignment))
    with pytest.raises(ConfigError, match="kind alignment, expected fused"):
        load_network(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a network", b"PK\x03\x04 cut"])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "network.pt").write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        load_network(tmp_path)


def test_a_missing_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_network(tmp_path / "none")


def test_a_folder_and_its_file_are_the_same_run(tmp_path: Path) -> None:
    network = build_alignment(TINY.alignment)
    path = save_checkpoint(tmp_path, TINY.alignment, network)
    assert path == tmp_path / NETWORK_FILE
    for run in (tmp_path, path):
        settings, state = read_network(run, AlignmentSettings)
        assert settings == TINY.alignment
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not load_alignment(tmp_path)[0].training


def test_weights_that_do_not_fit_their_settings_are_one_line(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, AlignmentSettings(width=8), build_alignment(TINY.alignment))
    with pytest.raises(ConfigError, match="do not fit its own settings") as caught:
        load_alignment(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", [{}, {"settings": {"colour": "red"}, "state": {}}])
def test_settings_of_another_release_are_said(tmp_path: Path, part: dict[str, object]) -> None:
    torch.save({"parts": {"alignment": part}}, tmp_path / NETWORK_FILE)
    with pytest.raises(ConfigError, match="another release of lungsev"):
        load_alignment(tmp_path)


def test_a_file_of_something_else_is_no_network(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, tmp_path / NETWORK_FILE)
    with pytest.raises(ConfigError, match="is no network of lungsev"):
        load_alignment(tmp_path)
