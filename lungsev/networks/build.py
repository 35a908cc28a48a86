"""Builds networks from their settings."""

from __future__ import annotations

import torch

from lungsev.errors import ConfigError
from lungsev.networks.alignment import AlignmentNetwork, ConvolutionAlignment, EdgeAlignment, LungFrames
from lungsev.networks.backbone import Backbone, timm_name
from lungsev.networks.bsnet import BsNet
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.pretrained import imagenet_state
from lungsev.networks.segmentation import SegmentationNetwork
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings
from lungsev.networks.severity import SeverityNetwork
from lungsev.schemes import load_scheme


def build_segmentation(settings: SegmentationSettings, pretrained: bool = True) -> SegmentationNetwork:
    """Return a network to train.

    Args:
        settings: Of the network.
        pretrained: False skips the ImageNet weights, for a network whose own weights come next.

    Raises:
        ConfigError: An unknown encoder or one of other levels, or its ImageNet weights are not there.
    """
    network = _segmentation_of(settings)
    if pretrained and settings.pretrained == "imagenet":
        network.load_encoder(imagenet_state(settings.encoder))
    return network


def _segmentation_of(settings: SegmentationSettings) -> SegmentationNetwork:
    """Build the network and let it see one image: timm's networks refuse in dozens of ways."""
    encoder, size_px = timm_name(settings.encoder), settings.size_px
    reason = ""
    tries: tuple[dict[str, int], ...] = ({}, {"img_size": size_px})
    for options in tries:
        state = torch.get_rng_state()
        try:
            network = SegmentationNetwork(
                encoder,
                settings.decoder_channels,
                settings.image_check,
                settings.decoder,
                settings.sides,
                settings.image_check_classes,
                settings.image_check_grid,
                options,
            ).eval()
            with torch.no_grad():
                network(torch.zeros(1, 1, size_px, size_px))
            return network.train()
        except Exception as error:
            torch.set_rng_state(state)
            reason = reason or f"{type(error).__name__}: {(str(error).strip() or 'no reason').splitlines()[0][:160]}"
    raise ConfigError(
        f"encoder {settings.encoder} does not segment images of {size_px} px ({reason}); choose an encoder whose "
        "levels have strides of 2 or 4 to 32, or another size_px"
    )


def build_alignment(settings: AlignmentSettings) -> AlignmentNetwork:
    """Return a network that starts at the identity."""
    if settings.frames == "lungs":
        return LungFrames(settings.input_px, settings.width)
    kind = ConvolutionAlignment if settings.kind == "convolutions" else EdgeAlignment
    return kind(settings.input_px, settings.width, settings.rotation)


def build_severity(settings: SeveritySettings, pretrained: bool = True) -> SeverityNetwork | BsNet:
    """Return a network to train; arguments and errors as `build_segmentation`."""
    backbone = build_backbone(settings, pretrained)
    schemes = [load_scheme(name) for name in settings.schemes]
    if settings.neck == "bsnet":
        sizes = settings.bsnet
        return BsNet(
            backbone, schemes, settings.crop_px, sizes.pyramid_width, sizes.classifier_width, sizes.classifier_depth
        )
    return SeverityNetwork(
        backbone,
        schemes,
        crop_px=settings.crop_px,
        dim=settings.dim,
        position_aware=settings.position_aware,
        heads=settings.heads,
        mlp_ratio=settings.mlp_ratio,
        dropout=settings.dropout,
        head=settings.head,
        hidden=settings.hidden,
        context=settings.context,
        mask_attention=settings.mask_attention,
        flip_tta=settings.flip_tta,
        attention_scale=settings.attention_scale,
        position_std=settings.position_std,
        final_norm=settings.final_norm,
        hidden_dropout=settings.hidden_dropout,
        pooling=settings.pooling,
    )


def build_backbone(settings: SeveritySettings, pretrained: bool = True) -> Backbone:
    """Return the backbone of a severity network; arguments and errors as `build_segmentation`."""
    backbone = Backbone(
        settings.backbone, settings.out_indices, settings.stride, settings.input_range, settings.crop_px
    )
    if pretrained and settings.pretrained != "none":
        if settings.pretrained != "imagenet":
            raise ConfigError(
                f"pretrained: {settings.pretrained} is loaded by the commands that train grades only; expected "
                "imagenet or none"
            )
        backbone.load_weights(imagenet_state(settings.backbone))
    return backbone


def build_fused(settings: FusedSettings, pretrained: bool = True) -> FusedNetwork:
    """Return all three in one; arguments and errors as `build_segmentation`."""
    return FusedNetwork(
        build_segmentation(settings.segmentation, pretrained),
        build_alignment(settings.alignment),
        build_severity(settings.severity, pretrained),
        segmentation_px=settings.segmentation.size_px,
        oversample=settings.severity.oversample,
    )
