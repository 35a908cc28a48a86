"""The feature pyramid of BS-Net (Signoroni et al. 2021): every scale looks for itself, their answers are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungsev.networks.backbone import Backbone
from lungsev.networks.settings import InputRange


class PyramidBackbone(Backbone):
    """Backbone -> feature pyramid (Lin et al. 2017) -> a tower shared by its levels, as RetinaNet's head -> their mean.

    With a linear head behind it, the mean of the levels' features gives the mean of the levels' logits.

    Args:
        out_indices: Levels of the pyramid, finest first.
        channels: Width of the pyramid and of the tower.
        depth: 3x3 convolutions of the tower.
    """

    def __init__(
        self,
        name: str,
        out_indices: Sequence[int],
        stride: int = 16,
        input_range: InputRange = "minus_one_to_one",
        channels: int = 128,
        depth: int = 4,
    ) -> None:
        super().__init__(name, out_indices, stride, input_range)
        widths = self.net.feature_info.channels()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in widths)
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        self.tower = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, image: Tensor) -> Tensor:
        """Image [N, 1, S, S] 0-1 -> [N, channels, S / stride, S / stride]."""
        levels = [lateral(level) for lateral, level in zip(self.lateral, self._levels(image), strict=True)]
        for index in range(len(levels) - 2, -1, -1):
            ratio = self.reductions[index + 1] / self.reductions[index]
            coarser = functional.interpolate(levels[index + 1], scale_factor=ratio, mode="nearest")
            levels[index] = levels[index] + coarser
        answers = [
            self._resize(self.tower(smooth(level)), reduction)
            for smooth, level, reduction in zip(self.smooth, levels, self.reductions, strict=True)
        ]
        return torch.stack(answers).mean(dim=0)
