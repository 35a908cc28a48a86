"""Any timm backbone as a feature extractor for one-channel images, in two parts that can be trained apart."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungsev.errors import ConfigError

StateDict = dict[str, Tensor]


def timm_name(name: str) -> str:
    """The name, when timm knows it.

    Raises:
        ConfigError: Unknown to the installed timm.
    """
    if not timm.is_model(name.split(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; do you mean {' or '.join(near)}?" if near else "; timm.list_models() names those it knows"
        raise ConfigError(f"backbone {name!r} is unknown to timm {timm.__version__}{hint}")
    return name


class LowerBackbone(nn.Module):
    """The stages that all members of an ensemble share; with no shared stage only the scaling to [-1, 1]."""

    def __init__(self, name: str, stages: int = 0) -> None:
        super().__init__()
        self.stages = nn.Identity() if stages == 0 else nn.ModuleDict(_staged(_create(name, None), name, 0, stages))

    def forward(self, image: Tensor) -> Tensor:
        """image [N, 1, S, S] 0-1 -> features of the last shared stage, or the image scaled to [-1, 1]."""
        x = image * 2 - 1
        if isinstance(self.stages, nn.Identity):
            return x
        for part in self.stages.values():
            x = part(x)
        return x

    def load_weights(self, state: StateDict) -> None:
        """Load timm's weights of the shared stages. Raises RuntimeError when one is missing."""
        _load(self.stages, state)


class UpperBackbone(nn.Module):
    """Feature maps of chosen levels, brought to one stride and concatenated.

    Args:
        name: timm's name.
        out_indices: Levels of timm's feature pyramid that are used.
        stride: Stride of the output; coarser levels are enlarged bilinearly, finer ones average-pooled.
        shared_stages: Stages that the lower part has already done. Only backbones made of `conv_stem`, `bn1`
            and `blocks`, as the EfficientNets of timm, can be cut.
    """

    def __init__(
        self, name: str, out_indices: Sequence[int] = (3, 4), stride: int = 16, shared_stages: int = 0
    ) -> None:
        super().__init__()
        net: Any = _create(name, tuple(out_indices))
        self.stride = stride
        self.reductions = tuple(net.feature_info.reduction())
        self.channels = sum(net.feature_info.channels())
        self.taps = tuple(net.feature_info.module_name()) if shared_stages else ()
        # Any: timm's own network, or its later stages by name
        self.net: Any = nn.ModuleDict(_staged(net, name, shared_stages, None)) if shared_stages else net
        done = [tap for tap in self.taps if tap.replace(".", "_") not in self.net]
        if done:
            raise ConfigError(f"out_indices of {name} use {', '.join(done)}, which lies among the shared stages")

    def forward(self, shared: Tensor) -> Tensor:
        """Output of the lower part -> [N, channels, S / stride, S / stride]."""
        levels = [self._resize(level, r) for level, r in zip(self._levels(shared), self.reductions, strict=True)]
        return torch.cat(levels, dim=1) if len(levels) > 1 else levels[0]

    def load_weights(self, state: StateDict) -> None:
        """Load timm's weights; those of a classifier are left out. Raises RuntimeError when one is missing."""
        _load(self.net, state)

    def _levels(self, x: Tensor) -> list[Tensor]:
        if not self.taps:
            return list(self.net(x))
        levels = []
        for name, part in self.net.items():
            x = part(x)
            if name.replace("_", ".") in self.taps:
                levels.append(x)
        return levels

    def _resize(self, level: Tensor, reduction: int) -> Tensor:
        if reduction > self.stride:
            factor = float(reduction // self.stride)
            return functional.interpolate(level, scale_factor=factor, mode="bilinear", align_corners=False)
        if reduction < self.stride:
            return functional.avg_pool2d(level, self.stride // reduction)
        return level


class WholeBackbone(LowerBackbone):
    """A lower part that is the whole backbone: its members differ in what follows only."""

    def __init__(self, name: str, out_indices: Sequence[int] = (3, 4), stride: int = 16) -> None:
        super().__init__(name, 0)
        self.levels = UpperBackbone(name, out_indices, stride)
        self.channels = self.levels.channels

    def forward(self, image: Tensor) -> Tensor:
        """image [N, 1, S, S] 0-1 -> [N, channels, S / stride, S / stride]."""
        return self.levels(super().forward(image))

    def load_weights(self, state: StateDict) -> None:
        """Load timm's weights; those of a classifier are left out. Raises RuntimeError when one is missing."""
        self.levels.load_weights(state)


class PassOn(UpperBackbone):
    """The upper part of a member whose lower part is a WholeBackbone: nothing is left to do."""

    def __init__(self, channels: int, stride: int) -> None:
        nn.Module.__init__(self)
        self.channels = channels
        self.stride = stride

    def forward(self, shared: Tensor) -> Tensor:
        """As it came."""
        return shared

    def load_weights(self, state: StateDict) -> None:
        """There are none."""


def timm_state(lower: LowerBackbone, upper: UpperBackbone) -> StateDict:
    """Weights of both parts under timm's names, as `load_weights` takes them."""
    state: StateDict = {}
    for part in (lower, upper):
        for key, value in part.state_dict().items():
            for prefix in ("levels.", "stages.", "net."):
                key = key.removeprefix(prefix)
            state[key.replace("blocks_", "blocks.", 1)] = value.detach().clone()
    return state


def _create(name: str, out_indices: tuple[int, ...] | None) -> Any:
    return timm.create_model(timm_name(name), pretrained=False, in_chans=1, features_only=True, out_indices=out_indices)


def _staged(net: Any, name: str, first: int, stop: int | None) -> dict[str, nn.Module]:
    """Stages `first` to `stop` of an EfficientNet by name; the stem comes with stage 0."""
    if not all(hasattr(net, part) for part in ("conv_stem", "bn1", "blocks")):
        raise ConfigError(f"shared_stages needs a backbone of timm's EfficientNet family, found {name}; set it to 0")
    parts: dict[str, nn.Module] = {"conv_stem": net.conv_stem, "bn1": net.bn1} if first == 0 else {}
    for index in range(len(net.blocks))[first:stop]:
        parts[f"blocks_{index}"] = net.blocks[index]
    return parts


def _load(module: nn.Module, state: StateDict) -> None:
    """timm's `blocks.3.0.bn1.weight` is `blocks_3.0.bn1.weight` in a part."""
    renamed = {key.replace("blocks.", "blocks_", 1): value for key, value in state.items()}
    own = module.state_dict()
    source = renamed if any(key.startswith("blocks_") for key in own) else state
    module.load_state_dict({key: value for key, value in source.items() if key in own}, strict=True)
