"""What decides the shape of the networks: written into every run folder, read back by `checkpoint`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
HeadKind = Literal["linear", "ordinal", "mlp"]
Pretrained = Literal["none", "imagenet"]


class NetworkSettings(BaseModel):
    """Base: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SegmentationSettings(NetworkSettings):
    """Where the lungs are."""

    encoder: str = "tf_efficientnet_lite0"
    decoder_channels: tuple[int, int, int, int, int] = (96, 48, 32, 16, 8)  # narrow: the mask serves the alignment
    size_px: Positive = 256  # divides the canvas
    image_check: bool = True
    pretrained: Pretrained = "imagenet"


class AlignmentSettings(NetworkSettings):
    """From mask to aligned frame."""

    input_px: Positive = 64
    width: Positive = 16
    rotation: bool = False  # theta may turn and shear; otherwise it scales and shifts, and the warp is far faster


class SeveritySettings(NetworkSettings):
    """From the aligned crop to grades."""

    backbone: str = "tf_efficientnet_lite0"
    out_indices: tuple[int, ...] = (3, 4)
    stride: Positive = 16
    neck: Literal["concat", "pyramid"] = "concat"  # pyramid: BS-Net's feature pyramid with a shared tower
    crop_px: Positive = 256
    oversample: Positive = 2  # samples per side and pixel of the crop
    dim: Annotated[int, Field(ge=0)] = 256  # of the tokens; 0: the backbone's features as they are
    position_aware: bool = True  # False: spatial normalisation only
    heads: Positive = 8
    mlp_ratio: Annotated[float, Field(gt=0)] = 4.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    head: HeadKind = "linear"
    hidden: Annotated[int, Field(ge=0)] = 0  # width inside the mlp head; 0: as its input
    mask_attention: bool = False  # features outside the lung mask are dimmed, by how much is learned
    context: bool = False  # show each region the mean of the image beside its own tokens
    flip_tta: bool = False  # grade the flipped crop too and average: twice the backbone's cost
    schemes: tuple[str, ...] = ("brixia",)  # names of built-in schemes or paths of YAML files
    pretrained: Pretrained = "imagenet"


class FusedSettings(NetworkSettings):
    """All three."""

    segmentation: SegmentationSettings = SegmentationSettings()
    alignment: AlignmentSettings = AlignmentSettings()
    severity: SeveritySettings = SeveritySettings()
