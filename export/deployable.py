"""The module that is traced: the fused network with a fixed batch of one and its outputs in a fixed order."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Deployable(nn.Module):
    """Wraps a fused network for tracing.

    Args:
        network: image [N, 1, S, S] -> dict of the outputs named in the bundle contract.
        size_px: S.
    """

    def __init__(self, network: nn.Module, size_px: int) -> None:
        super().__init__()
        self.network = network.eval()
        self.size_px = size_px
        with torch.inference_mode():
            outputs: dict[str, Tensor] = self.network(self.example())
        self.output_shapes: dict[str, tuple[int, ...]] = {name: tuple(v.shape) for name, v in outputs.items()}

    @property
    def output_names(self) -> list[str]:
        return list(self.output_shapes)

    def example(self) -> Tensor:
        """An input of the right shape: float32 [1, 1, S, S]."""
        return torch.linspace(0.0, 1.0, self.size_px**2).reshape(1, 1, self.size_px, self.size_px)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """image [1, 1, S, S] -> the outputs in the order of `output_names`, float32."""
        outputs: dict[str, Tensor] = self.network(image)
        return tuple(outputs[name].float() for name in self.output_shapes)
