"""A shared network is read back bit for bit, and refused with a reason where it is not whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from tiny_networks import TINY_FUSED

from lungsev.errors import ConfigError
from lungsev.networks import load_network
from lungsev.networks.build import build_fused
from lungsev.networks.checkpoint import read_network, save_checkpoint
from lungsev.networks.hub import write_hub_network
from lungsev.networks.settings import FusedSettings
from lungsev.schemes import load_scheme


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    save_checkpoint(folder, TINY_FUSED, build_fused(TINY_FUSED, pretrained=False))
    return folder


@pytest.fixture
def shared(run: Path, tmp_path: Path) -> Path:
    write_hub_network(tmp_path, *read_network(run, FusedSettings))
    return tmp_path


def test_a_shared_network_gives_the_same_outputs_bit_for_bit(run: Path, shared: Path) -> None:
    image = torch.rand(1, 1, 512, 512, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        before, after = load_network(run)(image), load_network(str(shared))(image)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not load_network(shared).training


def test_a_scheme_of_one_s_own_travels_with_the_network(run: Path, tmp_path: Path) -> None:
    scheme = load_scheme("brixia").model_copy(update={"name": "mine", "title": "My own"})
    own = tmp_path / "elsewhere" / "mine.yaml"
    own.parent.mkdir()
    own.write_text(yaml.safe_dump(scheme.model_dump(mode="json")))
    severity = TINY_FUSED.severity.model_copy(update={"schemes": ("brixia", str(own))})
    settings = TINY_FUSED.model_copy(update={"severity": severity})
    folder = tmp_path / "shared"
    folder.mkdir()
    write_hub_network(folder, settings, build_fused(settings, pretrained=False).state_dict())
    own.unlink()
    assert str(own.parent) not in (folder / "config.json").read_text()
    assert list(load_network(folder).severity.scheme_heads) == ["brixia", "mine"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format_version": 2}, "has format version 2 and preprocessing version"),
        ({"preprocessing_version": "1"}, "preprocessing version 1, this lungsev reads"),
        ({"settings": None}, "is damaged or no config of lungsev"),
        ({"settings": {"severity": {"schemes": [], "backbone": 1}}}, "was written by another release"),
    ],
)
def test_another_release_s_or_a_damaged_config_is_refused(
    shared: Path, change: dict[str, object], problem: str
) -> None:
    document = json.loads((shared / "config.json").read_text())
    (shared / "config.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(ConfigError, match=problem):
        load_network(shared)


@pytest.mark.parametrize(
    ("content", "advice"),
    [(b"cut", "download it again"), (b"version https://git-lfs.github.com/spec/v1\noid", "run `git lfs pull`")],
)
def test_weights_that_are_not_whole_say_what_to_do(shared: Path, content: bytes, advice: str) -> None:
    (shared / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match=advice):
        load_network(shared)


def test_weights_of_another_network_are_refused(shared: Path) -> None:
    document = json.loads((shared / "config.json").read_text())
    document["settings"]["severity"]["dim"] = 24
    (shared / "config.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="do not fit its own settings"):
        load_network(shared)
