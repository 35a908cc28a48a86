"""Any timm backbone as a feature extractor for one-channel images."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungsev.errors import ConfigError
from lungsev.networks.settings import InputRange

StateDict = dict[str, Tensor]


def timm_name(name: str) -> str:
    """Return the name when timm knows it.

    Raises:
        ConfigError: Unknown to the installed timm.
    """
    if not timm.is_model(name.split(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; do you mean {' or '.join(near)}?" if near else "; timm.list_models() names those it knows"
        raise ConfigError(f"backbone {name!r} is unknown to timm {timm.__version__}{hint}")
    return name


class Backbone(nn.Module):
    """Feature maps of chosen levels, brought to one stride and concatenated.

    Args:
        name: timm's name; a tag of weights after a point is allowed.
        out_indices: Levels of timm's feature pyramid that are used.
        stride: Stride of the output; coarser levels are enlarged bilinearly, finer ones average-pooled.
        input_range: That the network is shown: `minus_one_to_one`, or `zero_to_one`, the image as it is.
    """

    def __init__(
        self,
        name: str,
        out_indices: Sequence[int] = (3, 4),
        stride: int = 16,
        input_range: InputRange = "minus_one_to_one",
    ) -> None:
        super().__init__()
        net: Any = timm.create_model(
            timm_name(name), pretrained=False, in_chans=1, features_only=True, out_indices=tuple(out_indices)
        )
        self.net = net
        self.stride = stride
        self.input_range = input_range
        self.reductions = tuple(net.feature_info.reduction())
        self.channels = sum(net.feature_info.channels())

    def forward(self, image: Tensor) -> Tensor:
        """Image [N, 1, S, S] 0-1 -> [N, channels, S / stride, S / stride]."""
        levels = [self._resize(level, r) for level, r in zip(self.levels(image), self.reductions, strict=True)]
        return torch.cat(levels, dim=1) if len(levels) > 1 else levels[0]

    def load_weights(self, state: StateDict) -> None:
        """Load timm's weights; those of a classifier are left out. Raises RuntimeError when one is missing."""
        own = self.net.state_dict()
        self.net.load_state_dict({key: value for key, value in state.items() if key in own}, strict=True)

    def timm_state(self) -> StateDict:
        """Return the weights under timm's names, as `load_weights` takes them."""
        return {key: value.detach().clone() for key, value in self.net.state_dict().items()}

    def levels(self, image: Tensor) -> list[Tensor]:
        """Image [N, 1, S, S] 0-1 -> feature maps of the chosen levels as they are, finest first."""
        return list(self.net(image if self.input_range == "zero_to_one" else image * 2 - 1))

    def _resize(self, level: Tensor, reduction: int) -> Tensor:
        if reduction > self.stride:
            factor = float(reduction // self.stride)
            return functional.interpolate(level, scale_factor=factor, mode="bilinear", align_corners=False)
        if reduction < self.stride:
            return functional.avg_pool2d(level, self.stride // reduction)
        return level
