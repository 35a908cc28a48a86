"""Any timm backbone as a feature extractor for one-channel images."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import lru_cache
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
        out_indices: Levels of timm's feature pyramid that are used; None takes those of `default_levels`.
        stride: Stride of the output; coarser levels are enlarged bilinearly, finer ones average-pooled.
        input_range: That the network is shown: `minus_one_to_one`, or `zero_to_one`, the image as it is.
        size_px: Side of the images; some transformers can be built for one size only.

    Attributes:
        reductions: Stride of each level, rounded.
        options: What `timm.create_model` needed besides, for weights that depend on it.

    Raises:
        ConfigError: Unknown to timm, or it gives no feature maps of such images.
    """

    def __init__(
        self,
        name: str,
        out_indices: Sequence[int] | None = None,
        stride: int = 16,
        input_range: InputRange = "minus_one_to_one",
        size_px: int = 256,
    ) -> None:
        super().__init__()
        chosen = default_levels(name, stride, size_px) if out_indices is None else tuple(out_indices)
        self.net, levels, self.options = _create(name, chosen, size_px)
        self.stride = stride
        self.input_range = input_range
        channels = self.net.feature_info.channels()
        self._rows_first = tuple(
            _ends_in_channels(self.net, level, c) for level, c in zip(levels, channels, strict=True)
        )
        self.reductions = tuple(_reductions(self.net, levels, size_px))
        self.channels = sum(channels)

    def forward(self, image: Tensor) -> Tensor:
        """Image [N, 1, S, S] 0-1 -> [N, channels, S / stride, S / stride]."""
        side = image.shape[-1] // self.stride
        levels = [self._resize(level, r, side) for level, r in zip(self.levels(image), self.reductions, strict=True)]
        return torch.cat(levels, dim=1) if len(levels) > 1 else levels[0]

    def load_weights(self, state: StateDict) -> None:
        """Load timm's weights; those of a classifier are left out. Raises RuntimeError when one is missing."""
        names = self.timm_names()
        self.net.load_state_dict({own: state[key] for own, key in names.items() if key in state}, strict=True)

    def timm_state(self) -> StateDict:
        """Return the weights under timm's names, as `load_weights` takes them."""
        names = self.timm_names()
        return {names[key]: value.detach().clone() for key, value in self.net.state_dict().items()}

    def timm_names(self) -> dict[str, str]:
        """Return each weight's name in `net`, which may be `stages_0.x` or `model.x`, and in timm's whole network."""
        own = self.net.state_dict()
        kind = type(self.net).__name__
        if kind == "FeatureGetterNet":
            return {key: key.removeprefix("model.") for key in own}
        if kind in ("FeatureListNet", "FeatureDictNet"):
            return {key: re.sub(r"^(\w+?)_(\d+)\.", r"\1.\2.", key) for key in own}
        return {key: key for key in own}

    def levels(self, image: Tensor) -> list[Tensor]:
        """Image [N, 1, S, S] 0-1 -> feature maps [N, C, h, w] of the chosen levels as they are, finest first."""
        levels = self.net(image if self.input_range == "zero_to_one" else image * 2 - 1)
        return [
            level.permute(0, 3, 1, 2).contiguous() if last else level
            for level, last in zip(levels, self._rows_first, strict=True)
        ]

    def _resize(self, level: Tensor, reduction: int, side: int) -> Tensor:
        found = level.shape[-1]
        if found == side:
            return level
        if found * reduction != side * self.stride or max(reduction, self.stride) % min(reduction, self.stride):
            return functional.interpolate(level, size=(side, side), mode="bilinear", align_corners=False)
        if reduction > self.stride:
            factor = float(reduction // self.stride)
            return functional.interpolate(level, scale_factor=factor, mode="bilinear", align_corners=False)
        return functional.avg_pool2d(level, self.stride // reduction)


@lru_cache(maxsize=64)
def default_levels(name: str, stride: int, size_px: int = 256) -> tuple[int, ...]:
    """Return the levels of a backbone that suit a stride: the deepest of that stride, and of twice that stride.

    A network without either, as a transformer with patches of 14 pixels, gives its last level.

    Raises:
        ConfigError: As `Backbone`.
    """
    with torch.random.fork_rng(devices=[]):  # the weights drawn next do not depend on who asked for the levels
        net, levels, _ = _create(name, None, size_px)
    indices = net.feature_info.out_indices
    deepest = dict(zip(_reductions(net, levels, size_px), indices, strict=True))
    chosen = [deepest[reduction] for reduction in (stride, 2 * stride) if reduction in deepest]
    return tuple(map(int, chosen or indices[-1:]))


def _create(name: str, out_indices: tuple[int, ...] | None, size_px: int) -> tuple[Any, list[Tensor], dict[str, Any]]:
    """Build a network, let it see one image, and return it with the levels it gave and the options it needed."""
    known = timm_name(name)
    chosen: dict[str, Any] = {} if out_indices is None else {"out_indices": out_indices}
    reason = ""
    tries: tuple[dict[str, Any], ...] = ({}, {"img_size": size_px}, {"img_size": size_px, "dynamic_img_pad": True})
    for options in tries:
        state = torch.get_rng_state()
        try:
            net: Any = timm.create_model(known, pretrained=False, in_chans=1, features_only=True, **chosen, **options)
            levels = _probe(net, size_px)
        except ConfigError:
            raise
        except Exception as error:  # timm's networks refuse in dozens of ways
            torch.set_rng_state(state)  # a try that failed draws no weights
            reason = reason or f"{type(error).__name__}: {(str(error).strip() or 'no reason').splitlines()[0][:160]}"
            continue
        return net, levels, options
    raise ConfigError(
        f"backbone {name} gives no feature maps of {'' if out_indices is None else f'levels {list(out_indices)} of '}"
        f"images of {size_px} px ({reason}); choose another backbone, other out_indices, or another size"
    )


def _probe(net: Any, size_px: int) -> list[Tensor]:
    """Return the levels of one image, of which each must be a map of features."""
    training = net.training
    with torch.no_grad():
        levels = list(net.eval()(torch.zeros(1, 1, size_px, size_px)))
    net.train(training)
    channels = net.feature_info.channels()
    shapes = [tuple(level.shape) for level in levels]
    if len(shapes) != len(channels) or any(
        len(shape) != 4 or count not in (shape[1], shape[3]) for shape, count in zip(shapes, channels, strict=True)
    ):
        raise ValueError(f"found outputs of the shapes {shapes} for {channels} channels")
    return levels


def _reductions(net: Any, levels: Sequence[Tensor], size_px: int) -> list[int]:
    """Return the stride of each level: the one that timm states where it fits the level's size, else their ratio."""
    info = net.feature_info
    found = []
    for level, stated, count in zip(levels, info.reduction(), info.channels(), strict=True):
        side = int(level.shape[1 if _ends_in_channels(net, level, count) else 2])
        fits = side in (size_px // stated, -(-size_px // stated))
        found.append(int(stated) if fits else round(size_px / side))
    return found


def _ends_in_channels(net: Any, level: Tensor, channels: int) -> bool:
    """Tell whether a level is [N, h, w, C], as Swin and its like give it, and not [N, C, h, w]."""
    if channels == level.shape[1] == level.shape[3]:
        return str(getattr(net, "output_fmt", "")).endswith("NHWC")
    return channels == level.shape[3]
