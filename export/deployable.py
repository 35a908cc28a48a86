"""The module to trace: the fused network with a batch of one and its outputs in a fixed order."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Deployable(nn.Module):
    """A fused network wrapped for tracing.

    Args:
        network: Module from image [N, 1, S, S] to a dict of the outputs that the bundle contract names.
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
        """Names of the outputs, in order."""
        return list(self.output_shapes)

    def example(self) -> Tensor:
        """Return an input of the right shape: float32 [1, 1, S, S]."""
        return torch.linspace(0.0, 1.0, self.size_px**2).reshape(1, 1, self.size_px, self.size_px)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map an image [1, 1, S, S] to the outputs in the order of `output_names`, float32."""
        outputs: dict[str, Tensor] = self.network(image)
        return tuple(outputs[name].float() for name in self.output_shapes)
