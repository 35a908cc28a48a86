"""What a severity network starts from: ImageNet, a file of encoder weights, or another scheme's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lungsev.errors import ConfigError
from lungsev.networks.checkpoint import read_network
from lungsev.networks.settings import FusedSettings

from .console import say
from .settings import Settings


class InitialSettings(Settings):
    """Portability (paper, Table 2): scratch is no source; fine-tuning is a source; linear probing is a source
    and `frozen: all_but_heads`."""

    source: Path | None = None  # severity run whose backbone, encoder and projection are taken over; heads are new
    encoder_weights: Path | None = None  # state dict of the backbone under timm's or torchvision's names
    frozen: Literal["none", "lower", "all_but_heads"] = "none"


def load_initial(network: Any, settings: InitialSettings) -> None:
    """Load what the settings name into a new network.

    Raises:
        ConfigError: A file is missing, damaged, or does not fit the network.
    """
    if settings.source is not None:
        _from_run(network, settings.source)
    if settings.encoder_weights is not None:
        loaded = load_encoder_file(network, settings.encoder_weights)
        say(f"Encoder: {loaded} weights from {settings.encoder_weights.name}")


def _from_run(network: Any, source: Path) -> None:
    _, state = read_network(source, FusedSettings)
    prefix = "severity."
    theirs = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    own = network.state_dict()
    taken = {key: value for key, value in theirs.items() if key in own and ".scheme_heads." not in key}
    wrong = [key for key, value in taken.items() if value.shape != own[key].shape]
    expected = [key for key in own if ".scheme_heads." not in key]
    missing = [key for key in expected if key not in taken]
    if wrong or missing:
        raise ConfigError(
            f"{source} holds another network: {len(missing)} weights are missing and {len(wrong)} have another shape, "
            f"first {(wrong or missing)[0]}; give its settings under network"
        )
    network.load_state_dict(taken, strict=False)
    say(f"Starting from {source}: {len(taken)} weights, new heads")


def load_encoder_file(network: Any, path: Path) -> int:
    """Load a backbone from a file of weights, whatever wrapped them; returns how many were taken.

    CXR-CLIP and its like keep the image encoder under a prefix as `image_encoder.resnet.`; the prefix is found
    by trying. A first layer for three channels is summed to one.

    Raises:
        ConfigError: The file cannot be read, or too little of it fits.
    """
    state = _read_state(path)
    uppers = [member.upper for member in network.members]
    parts = [part for part in (network.lower, *uppers) if any(True for _ in part.parameters())]
    own_names = {name for part in parts for name in _short_names(part)}
    best = _best_prefix(state, own_names)
    taken = 0
    for part in parts:
        names = _short_names(part)
        chosen = {}
        for short, full in names.items():
            value = state.get(best + short)
            if value is None:
                continue
            own = part.state_dict()[full]
            if value.ndim == 4 and own.ndim == 4 and own.shape[1] == 1 and value.shape[1] == 3:
                value = value.sum(dim=1, keepdim=True)
            if value.shape == own.shape:
                chosen[full] = value
        part.load_state_dict(chosen, strict=False)
        taken += len(chosen)
        if len(chosen) < 0.8 * len(names):
            raise ConfigError(
                f"{path} fits the backbone in {len(chosen)} of {len(names)} weights; expected the same architecture "
                f"under timm's or torchvision's names (found names like {next(iter(state), 'none')})"
            )
    return taken


def _short_names(part: Any) -> dict[str, str]:
    """Name inside timm's model -> name inside our part; our wrapper calls it `net`."""
    return {name.removeprefix("net."): name for name in part.state_dict() if not name.endswith("num_batches_tracked")}


def _best_prefix(state: dict[str, Tensor], names: set[str]) -> str:
    """The prefix under which most of the backbone's names are found."""
    candidates = {key[: -len(name)] for name in list(names)[:50] for key in state if key.endswith(name)} | {""}
    return max(sorted(candidates), key=lambda prefix: sum(prefix + name in state for name in names))


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ConfigError(
            f"initial.encoder_weights: {path} does not exist; expected a file of weights (.pt, .pth, .tar)"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        document = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one reason
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{path} is not a file of weights that can be read safely: {reason}") from None
    for key in ("model", "state_dict", "state", "model_state_dict"):
        if isinstance(document, dict) and isinstance(document.get(key), dict):
            document = document[key]
    return {str(key): value for key, value in document.items() if isinstance(value, Tensor)}
