"""Networks from settings."""

from __future__ import annotations

from lungsev.errors import ConfigError
from lungsev.networks.alignment import AlignmentNetwork
from lungsev.networks.backbone import LowerBackbone, PassOn, UpperBackbone, WholeBackbone
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.pretrained import imagenet_state
from lungsev.networks.pyramid import PyramidBackbone
from lungsev.networks.segmentation import SegmentationNetwork
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings
from lungsev.networks.severity import SeverityMember, SeverityNetwork
from lungsev.schemes import load_scheme


def build_segmentation(settings: SegmentationSettings, pretrained: bool = True) -> SegmentationNetwork:
    """A network to train.

    Args:
        pretrained: False skips the ImageNet weights, for a network whose own weights come next.

    Raises:
        ConfigError: An unknown encoder, or its ImageNet weights are not there.
    """
    network = SegmentationNetwork(settings.encoder, settings.decoder_channels, settings.image_check)
    if pretrained and settings.pretrained == "imagenet":
        network.load_encoder(imagenet_state(settings.encoder))
    return network


def build_alignment(settings: AlignmentSettings) -> AlignmentNetwork:
    """A network at the identity."""
    return AlignmentNetwork(settings.input_px, settings.width, settings.rotation)


def build_severity(settings: SeveritySettings, pretrained: bool = True) -> SeverityNetwork:
    """A network to train, its members alike but for their random parts; arguments as `build_segmentation`."""
    schemes = [load_scheme(name) for name in settings.schemes]
    lower, uppers = build_backbone(settings, pretrained)
    kinds = (settings.head,) if isinstance(settings.head, str) else settings.head
    members = [
        SeverityMember(
            upper,
            schemes,
            crop_px=settings.crop_px,
            dim=settings.dim,
            position_aware=settings.position_aware,
            heads=settings.heads,
            mlp_ratio=settings.mlp_ratio,
            dropout=settings.dropout,
            head=kinds[index % len(kinds)],
            hidden=settings.hidden,
            context=settings.context,
            mask_attention=settings.mask_attention,
        )
        for index, upper in enumerate(uppers)
    ]
    return SeverityNetwork(lower, members, settings.crop_px, schemes, settings.mirror)


def build_backbone(settings: SeveritySettings, pretrained: bool = True) -> tuple[LowerBackbone, list[UpperBackbone]]:
    """The shared part and one upper part for each member; arguments as `build_segmentation`."""
    name, taps, stride, stages = settings.backbone, settings.out_indices, settings.stride, settings.shared_stages
    lower: LowerBackbone
    uppers: list[UpperBackbone]
    if settings.neck == "pyramid":
        if stages != 0:
            raise ConfigError("neck: pyramid needs shared_stages: 0, since every level of the backbone is its own")
        lower, uppers = LowerBackbone(name, 0), [PyramidBackbone(name, taps, stride) for _ in range(settings.members)]
    elif stages == "all":
        lower = whole = WholeBackbone(name, taps, stride)
        uppers = [PassOn(whole.channels, stride) for _ in range(settings.members)]
    else:
        lower = LowerBackbone(name, stages)
        uppers = [UpperBackbone(name, taps, stride, stages) for _ in range(settings.members)]
    if pretrained and settings.pretrained == "imagenet":
        state = imagenet_state(name)
        lower.load_weights(state)
        for upper in uppers:
            upper.load_weights(state)
    return lower, uppers


def build_fused(settings: FusedSettings, pretrained: bool = True) -> FusedNetwork:
    """All three in one; arguments as `build_segmentation`."""
    return FusedNetwork(
        build_segmentation(settings.segmentation, pretrained),
        build_alignment(settings.alignment),
        build_severity(settings.severity, pretrained),
        segmentation_px=settings.segmentation.size_px,
        oversample=settings.severity.oversample,
    )
