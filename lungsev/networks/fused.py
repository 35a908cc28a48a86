"""Everything behind one call: canvas in; mask, alignment, grades and maps out. This is what is exported."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from lungsev.networks.alignment import AlignmentNetwork
from lungsev.networks.bsnet import BsNet
from lungsev.networks.segmentation import SegmentationNetwork
from lungsev.networks.severity import SeverityNetwork
from lungsev.networks.warp import AffineWarp, AreaReduction
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX

COVERAGE_SAMPLES = 4  # per side and token


class FusedNetwork(nn.Module):
    """Segmentation on the reduced canvas -> alignment from the mask -> severity of the crop from the full canvas.

    BS-Net takes the canvas itself, reduced to its side, and resamples its features.

    Args:
        severity: Its crop side is the warp's.
        segmentation_px: Side at which the lungs are looked for.
    """

    def __init__(
        self,
        segmentation: SegmentationNetwork,
        alignment: AlignmentNetwork,
        severity: SeverityNetwork | BsNet,
        segmentation_px: int = 256,
        oversample: int = 2,
    ) -> None:
        super().__init__()
        self.segmentation = segmentation
        self.alignment = alignment
        self.severity = severity
        self.reduce = AreaReduction(CANVAS_SIZE_PX, segmentation_px)
        self.warp: AffineWarp | None = None
        self.warp_mask: AffineWarp | None = None
        if isinstance(severity, SeverityNetwork):
            self.warp = AffineWarp(severity.crop_px, oversample)
            if severity.mask_attention is not None:
                self.warp_mask = AffineWarp(severity.token_side, COVERAGE_SAMPLES)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Find the lungs of images [N, 1, 512, 512] 0-1, bone bright; align and grade them.

        Returns:
            lung_mask [N, C, M, M] 0-1, of both lungs or of each; theta [N, 2, 3], or [N, 2, 2, 3] where each lung has
            its frame (see `lungsev.geometry`); image_check [N, K] when the network has it; for each scheme
            probabilities.<scheme> [N, R, G] and severity_map.<scheme> [N, 16, 16].
        """
        mask, theta, deepest = self.locate(image)
        outputs = {"lung_mask": mask, "theta": theta}
        if self.segmentation.image_check is not None:
            outputs["image_check"] = self.segmentation.image_check(deepest).float().softmax(dim=-1)
        for name, (probabilities, severity_map) in self.grade(image, mask, theta, not self.alignment.rotation).items():
            outputs[f"probabilities.{name}"] = probabilities
            outputs[f"severity_map.{name}"] = severity_map
        return outputs

    def locate(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Lung mask, theta, and the segmentation's deepest features."""
        mask_logits, deepest = self.segmentation.with_features(self.reduce(image))
        mask = mask_logits.float().sigmoid()
        return mask, self.alignment(mask.to(image.dtype)), deepest

    def grade(
        self, image: Tensor, mask: Tensor, theta: Tensor, upright: bool = False
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """What the severity network says of an image under any alignment; arguments as `severity_inputs`."""
        graded: dict[str, tuple[Tensor, Tensor]] = self.severity(*self.severity_inputs(image, mask, theta, upright))
        return graded

    def region_embeddings(self, image: Tensor, mask: Tensor, theta: Tensor, scheme: str) -> Tensor:
        """What the head of a scheme reads of each region [N, R, D]; arguments as `severity_inputs`."""
        return self.severity.region_embeddings(scheme, *self.severity_inputs(image, mask, theta))

    def severity_inputs(self, image: Tensor, mask: Tensor, theta: Tensor, upright: bool = False) -> tuple[Any, ...]:
        """Return the arguments of the severity network.

        They are the crop, with the lungs' share of each token's cell where the network asks for it; for BS-Net the
        reduced canvas, mask and theta.

        Args:
            image: [N, 1, 512, 512] 0-1.
            mask: [N, C, M, M] 0-1.
            theta: [N, 2, 3] or [N, 2, 2, 3].
            upright: theta is known not to turn.
        """
        if self.warp is None:
            canvas = functional.avg_pool2d(image, CANVAS_SIZE_PX // self.severity.crop_px)
            return canvas, mask.amax(dim=1, keepdim=True).to(image.dtype), theta, upright
        crop = self.warp.upright(image, theta) if upright else self.warp(image, theta)
        if self.warp_mask is None:
            return crop, None
        lungs = mask.amax(dim=1, keepdim=True).to(image.dtype)
        return crop, self.warp_mask.upright(lungs, theta) if upright else self.warp_mask(lungs, theta)
