"""What decides the shape of the networks: written into every run folder, read back by `checkpoint`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lungsev.quality.gate import FIRST_CLASSES

Positive = Annotated[int, Field(ge=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
HeadKind = Literal["linear", "ordinal", "mlp"]
InputRange = Literal["minus_one_to_one", "zero_to_one"]
AttentionScale = Literal["head_dim", "after_softmax_by_model_dim"]
Pooling = Literal["area", "cells"]


class NetworkSettings(BaseModel):
    """Base: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SegmentationSettings(NetworkSettings):
    """Where the lungs are."""

    encoder: str = "tf_efficientnet_lite0"
    decoder: Literal["unetplusplus", "unet"] = "unetplusplus"  # unet: half the operations
    decoder_channels: tuple[int, int, int, int, int] = (96, 48, 32, 16, 8)  # narrow: the mask serves the alignment
    size_px: Annotated[int, Field(ge=32, le=512, multiple_of=32)] = 256
    sides: bool = False  # a mask for each lung, the patient's right one first; False: one of both
    image_check: bool = True
    image_check_classes: Positive = FIRST_CLASSES  # of lungsev.quality.gate.IMAGE_CHECK_CLASSES, in their order
    image_check_grid: Positive = 2  # cells per side that the image check sees the features in
    pretrained: Literal["none", "imagenet"] = "imagenet"

    @model_validator(mode="after")
    def _grid_divides_the_deepest_features(self) -> SegmentationSettings:
        deepest = self.size_px // 32
        if self.image_check and deepest % self.image_check_grid:
            raise ValueError(
                f"image_check_grid: {self.image_check_grid} does not divide the {deepest} cells per side that size_px "
                f"{self.size_px} leaves"
            )
        return self


class AlignmentSettings(NetworkSettings):
    """From mask to aligned frame."""

    input_px: Positive = 64
    width: Positive = 16
    kind: Literal["edges", "convolutions"] = "edges"  # convolutions: two and a fully connected part, without edges
    rotation: bool = False  # theta may turn and shear; otherwise it scales and shifts, and the warp is far faster
    frames: Literal["common", "lungs"] = "common"  # lungs: each lung has a frame; common: both in one, as in the paper

    @model_validator(mode="after")
    def _lungs_stand_upright(self) -> AlignmentSettings:
        if self.frames == "lungs" and (self.rotation or self.kind != "edges"):
            raise ValueError("frames: lungs needs kind: edges and rotation: false")
        return self


class BsNetSettings(NetworkSettings):
    """What BS-Net has besides its encoder; the defaults are the published code's."""

    pyramid_width: Positive = 64  # channels of the finest level of a region's box; the coarsest of four has 512
    classifier_width: Positive = 8
    classifier_depth: Positive = 3  # 3x3 convolutions before the last
    freeze_encoder: bool = True  # the encoder keeps its weights and its normalisation's statistics


# All that BS-Net reads of a severity network's settings; the rest must be left as it is.
BSNET_USES = (
    "backbone",
    "out_indices",
    "input_range",
    "neck",
    "crop_px",
    "position_aware",
    "schemes",
    "pretrained",
    "bsnet",
)


class SeveritySettings(NetworkSettings):
    """From the aligned crop to grades; `docs/deviations.md` has the paper's and the published code's values."""

    backbone: str = "tf_efficientnet_lite0"
    out_indices: tuple[int, ...] | None = None  # levels of timm; None: the deepest of `stride` and of twice that
    stride: Positive = 16
    input_range: InputRange = "minus_one_to_one"  # that the backbone gets; zero_to_one: the image as it is
    neck: Literal["concat", "bsnet"] = "concat"  # bsnet: BS-Net, which aligns features and grades each region by itself
    crop_px: Positive = 256  # of the aligned crop; of the whole canvas for BS-Net, and then a divisor of 512
    oversample: Positive = 2  # samples per side and pixel of the crop
    dim: Annotated[int, Field(ge=0)] = 256  # of the tokens; 0: the backbone's features as they are
    position_aware: bool = True  # False: spatial normalisation only
    heads: Positive = 8
    mlp_ratio: Annotated[float, Field(gt=0)] = 4.0
    attention_scale: AttentionScale = "head_dim"  # what attention is divided by the root of, before its softmax
    position_std: Annotated[float, Field(gt=0)] = 0.02  # of the positional embedding's random start
    final_norm: bool = True  # layer normalisation of the tokens before they are pooled
    dropout: Dropout = 0.1  # in the encoder, and of the pooled features
    pooling: Pooling = "area"  # cells: only the cells of a 16 x 16 grid that remain when box edges are cut to integers
    head: HeadKind = "linear"
    hidden: Annotated[int, Field(ge=0)] = 0  # width inside the mlp head; 0: as its input
    hidden_dropout: Dropout = 0.2  # inside the mlp head
    mask_attention: bool = False  # features outside the lung mask are dimmed, by how much is learned
    context: bool = False  # show each region the mean of the image beside its own tokens
    flip_tta: bool = False  # grade the flipped crop too and average: twice the backbone's cost
    schemes: tuple[str, ...] = ("brixia",)  # names of built-in schemes or paths of YAML files
    # torchvision_v1, torchvision_v2: torchvision's IMAGENET1K_V1 and _V2; imagenet: timm's default for the backbone
    pretrained: Literal["none", "imagenet", "torchvision_v1", "torchvision_v2"] = "imagenet"
    bsnet: BsNetSettings = BsNetSettings()

    @model_validator(mode="after")
    def _bsnet_leaves_nothing_unused(self) -> SeveritySettings:
        own = self.bsnet != BsNetSettings()
        if self.neck != "bsnet":
            if own:
                raise ValueError("bsnet has settings, but only neck: bsnet uses them")
            return self
        if self.position_aware:
            raise ValueError("neck: bsnet has no position-aware encoder; set position_aware: false")
        for name, field in type(self).model_fields.items():
            if name not in BSNET_USES and getattr(self, name) != field.default:
                raise ValueError(f"neck: bsnet does not use {name}; leave it out")
        return self


class FusedSettings(NetworkSettings):
    """All three."""

    segmentation: SegmentationSettings = SegmentationSettings()
    alignment: AlignmentSettings = AlignmentSettings()
    severity: SeveritySettings = SeveritySettings()
