"""Built-in configs are found by name, and a config of one's own builds on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.errors import ConfigError
from lungsev.train.configs import built_in_configs, built_in_or_path, default_config, read_config


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
        assert {f"inha/{mode}_resnet{depth}" for mode in ("scratch", "finetune", "linear_probe")} <= set(names)
    assert {"brixia/bsnet", "brixia/bsnet_ensemble", "brixia/cxr_clip_resnet50", "brixia/modern"} <= set(names)


def test_a_config_is_named_or_a_path() -> None:
    assert built_in_or_path("my/own.yml") == Path("my/own.yml")
    assert built_in_or_path("brixia/paper").parts[-2:] == ("brixia", "paper.yaml")
    with pytest.raises(ConfigError, match=r"'brixia/papr' is unknown; .* brixia/paper, "):
        built_in_or_path("brixia/papr")
    assert default_config("no-such-command") is None
