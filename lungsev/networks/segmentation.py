"""U-Net++ or U-Net that finds the lungs, with any timm encoder, and the check of what it was shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from lungsev.networks.backbone import timm_name
from lungsev.networks.image_check import ImageCheckHead
from lungsev.quality.gate import FIRST_CLASSES

Decoder = Literal["unetplusplus", "unet"]


class SegmentationNetwork(nn.Module):
    """A network over [N, 1, M, M]; the image check, when there is one, reads the same encoder.

    Args:
        encoder: timm's name.
        decoder_channels: From the deepest level to the finest.
        image_check: Add the image check.
        decoder: `unetplusplus`, or `unet`, which needs half the operations.
        sides: A mask of the patient's right lung and one of the left, C = 2; otherwise one of both, C = 1.
        encoder_options: What timm needs besides to build the encoder, as `img_size`.
        check_classes, check_grid: As `ImageCheckHead` has them.
    """

    def __init__(
        self,
        encoder: str,
        decoder_channels: Sequence[int] = (96, 64, 32, 24, 16),
        image_check: bool = True,
        decoder: Decoder = "unetplusplus",
        sides: bool = False,
        check_classes: int = FIRST_CLASSES,
        check_grid: int = 2,
        encoder_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        architecture = smp.UnetPlusPlus if decoder == "unetplusplus" else smp.Unet
        self.net = architecture(
            encoder_name=f"tu-{timm_name(encoder)}",
            encoder_weights=None,
            encoder_depth=5,
            decoder_channels=tuple(decoder_channels),
            in_channels=1,
            classes=2 if sides else 1,
            **(encoder_options or {}),
        )
        deepest = self.net.encoder.out_channels[-1]
        self.image_check = ImageCheckHead(deepest, check_classes, check_grid) if image_check else None

    def forward(self, image: Tensor) -> Tensor:
        """Image [N, 1, M, M] 0-1 -> logits of the lung masks [N, C, M, M]."""
        return self.with_features(image)[0]

    def with_features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Image [N, 1, M, M] 0-1 -> mask logits [N, C, M, M], deepest features [N, C, M/32, M/32]."""
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
