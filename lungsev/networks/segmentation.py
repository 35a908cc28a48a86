"""U-Net++ that finds the lungs, with any timm encoder, and the check of what it was shown."""

from __future__ import annotations

from collections.abc import Sequence

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from lungsev.networks.backbone import timm_name
from lungsev.networks.image_check import ImageCheckHead


class SegmentationNetwork(nn.Module):
    """U-Net++ over [N, 1, M, M]; the image check, when there is one, reads the same encoder."""

    def __init__(
        self,
        encoder: str,
        decoder_channels: Sequence[int] = (96, 64, 32, 24, 16),
        image_check: bool = True,
    ) -> None:
        super().__init__()
        self.net = smp.UnetPlusPlus(
            encoder_name=f"tu-{timm_name(encoder)}",
            encoder_weights=None,
            encoder_depth=5,
            decoder_channels=tuple(decoder_channels),
            in_channels=1,
            classes=1,
        )
        self.image_check = ImageCheckHead(self.net.encoder.out_channels[-1]) if image_check else None

    def forward(self, image: Tensor) -> Tensor:
        """Image [N, 1, M, M] 0-1 -> logits of the lung mask [N, 1, M, M]."""
        return self.with_features(image)[0]

    def with_features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image [N, 1, M, M] 0-1 -> mask logits [N, 1, M, M], deepest features [N, C, M/32, M/32]."""
        features = self.encode(image)
        return self.net.segmentation_head(self.net.decoder(features)), features[-1]

    def encode(self, image: Tensor) -> list[Tensor]:
        """Features of every level, finest first; the image is scaled to [-1, 1]."""
        return list(self.net.encoder(image * 2 - 1))

    def load_encoder(self, state: dict[str, torch.Tensor]) -> None:
        """Load timm weights into the encoder; what only a classifier needs is left out.

        Raises:
            RuntimeError: A weight of the encoder is missing or has another shape.
        """
        own = self.net.encoder.model.state_dict()
        self.net.encoder.model.load_state_dict({key: value for key, value in state.items() if key in own}, strict=True)
