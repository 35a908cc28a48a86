"""Networks to and from `network.pt` of a run folder: weights and settings, nothing that runs code when loaded.

What was shared (`lungsev.networks.hub`) is read in the same way.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from torch import nn

from lungsev.errors import ConfigError
from lungsev.networks.alignment import AlignmentNetwork
from lungsev.networks.build import build_alignment, build_fused, build_segmentation
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.hub import is_hub_folder, read_hub_network
from lungsev.networks.segmentation import SegmentationNetwork
from lungsev.networks.settings import (
    AlignmentSettings,
    FusedSettings,
    NetworkSettings,
    SegmentationSettings,
    SeveritySettings,
)
from lungsev.system import atomic_file

NETWORK_FILE = "network.pt"

KINDS: dict[str, type[NetworkSettings]] = {
    "segmentation": SegmentationSettings,
    "alignment": AlignmentSettings,
    "severity": SeveritySettings,
    "fused": FusedSettings,
}

Settings = TypeVar("Settings", bound=NetworkSettings)
Network = TypeVar("Network", bound=nn.Module)


def save_checkpoint(
    run: Path,
    settings: NetworkSettings,
    network: nn.Module,
    segmentation_settings: SegmentationSettings | None = None,
    segmentation: nn.Module | None = None,
) -> Path:
    """Write a run's network.pt, whole or not at all.

    Args:
        run: Run folder.
        settings: Of the network; its class says what kind of network it is.
        network: Its weights are written.
        segmentation_settings: Of `segmentation`.
        segmentation: The network an alignment was trained for, stored with it.
    """
    parts = {_kind_of(type(settings)): _part(settings, network)}
    if segmentation is not None and segmentation_settings is not None:
        parts["segmentation"] = _part(segmentation_settings, segmentation)
    path = run / NETWORK_FILE
    with atomic_file(path) as file:
        torch.save({"parts": parts}, file)
    return path


def load_network(run: Path | str) -> FusedNetwork:
    """The fused network of a severity run, in eval mode.

    Args:
        run: Run folder, its network.pt, or a folder that `lungsev-train export-hub` wrote.

    Raises:
        ConfigError: There is no such network, or it is not a fused one.
    """
    settings, state = read_network(Path(run), FusedSettings)
    return _loaded(build_fused(settings, pretrained=False), state, Path(run))


def load_segmentation(run: Path) -> tuple[SegmentationNetwork, SegmentationSettings]:
    """The segmentation of a segment or align run, in eval mode. Raises ConfigError as `load_network`."""
    settings, state = read_network(run, SegmentationSettings)
    return _loaded(build_segmentation(settings, pretrained=False), state, run), settings


def load_alignment(run: Path) -> tuple[AlignmentNetwork, AlignmentSettings]:
    """The network of an alignment run, in eval mode. Raises ConfigError as `load_network`."""
    settings, state = read_network(run, AlignmentSettings)
    return _loaded(build_alignment(settings), state, run), settings


def read_network(run: Path, expected: type[Settings]) -> tuple[Settings, dict[str, torch.Tensor]]:
    """Settings and weights of a run's network.

    Raises:
        ConfigError: There is no such file, it is damaged or holds another kind of network.
    """
    path = run if run.is_file() or is_hub_folder(run) else run / NETWORK_FILE
    parts = _read(path)
    wanted = _kind_of(expected)
    if wanted not in parts:
        found = ", ".join(parts) or "none"
        raise ConfigError(f"{path} holds networks of kind {found}, expected {wanted}; give the run of that command")
    try:
        return expected.model_validate(parts[wanted]["settings"]), parts[wanted]["state"]
    except (ValidationError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{path} was written by another release of lungsev ({first}); train it again") from None


def _part(settings: NetworkSettings, network: nn.Module) -> dict[str, Any]:
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    return {"settings": settings.model_dump(mode="json"), "state": state}


def _kind_of(cls: type[NetworkSettings]) -> str:
    return next(name for name, known in KINDS.items() if known is cls)


def _read(path: Path) -> dict[str, Any]:
    if is_hub_folder(path):
        settings, state = read_hub_network(path)
        return {"fused": {"settings": settings, "state": state}}
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; expected the network of a finished run")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{path} is damaged or no network of lungsev: {reason}") from None
    if not isinstance(document, dict) or not isinstance(document.get("parts"), dict):
        raise ConfigError(f"{path} is no network of lungsev")
    return document["parts"]


def _loaded(network: Network, state: dict[str, torch.Tensor], run: Path) -> Network:
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        line = str(error).splitlines()[-1].strip()
        raise ConfigError(f"the weights of {run} do not fit its own settings: {line}; train it again") from None
    return network.eval()
