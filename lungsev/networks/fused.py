"""Everything behind one call: canvas in; mask, alignment, grades and maps out. This is what is exported."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from lungsev.networks.alignment import AlignmentNetwork
from lungsev.networks.segmentation import SegmentationNetwork
from lungsev.networks.severity import SeverityNetwork
from lungsev.networks.warp import AffineWarp
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX

COVERAGE_SAMPLES = 4  # per side and token


class FusedNetwork(nn.Module):
    """Segmentation on the reduced canvas -> alignment from the mask -> severity of the crop from the full canvas.

    Args:
        severity: Its crop side is the warp's.
        segmentation_px: Side at which the lungs are looked for; divides the canvas.
    """

    def __init__(
        self,
        segmentation: SegmentationNetwork,
        alignment: AlignmentNetwork,
        severity: SeverityNetwork,
        segmentation_px: int = 256,
        oversample: int = 2,
    ) -> None:
        super().__init__()
        if CANVAS_SIZE_PX % segmentation_px:
            raise ValueError(f"segmentation_px {segmentation_px} does not divide the canvas of {CANVAS_SIZE_PX}")
        self.segmentation = segmentation
        self.alignment = alignment
        self.severity = severity
        self.segmentation_px = segmentation_px
        self.warp = AffineWarp(severity.crop_px, oversample)
        self.warp_mask = (
            AffineWarp(severity.token_side, COVERAGE_SAMPLES) if severity.mask_attention is not None else None
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Find the lungs of images [N, 1, 512, 512] 0-1, bone bright; align and grade them.

        Returns:
            lung_mask [N, 1, M, M] 0-1; theta [N, 2, 3]; image_check [N, K] when the network has it; for each scheme
            probabilities.<scheme> [N, R, G] and severity_map.<scheme> [N, 16, 16].
        """
        mask, theta, deepest = self.locate(image)
        outputs = {"lung_mask": mask, "theta": theta}
        if self.segmentation.image_check is not None:
            outputs["image_check"] = self.segmentation.image_check(deepest).float().softmax(dim=-1)
        crop, coverage = self.aligned(image, mask, theta, upright=not self.alignment.rotation)
        for name, (probabilities, severity_map) in self.severity(crop, coverage).items():
            outputs[f"probabilities.{name}"] = probabilities
            outputs[f"severity_map.{name}"] = severity_map
        return outputs

    def locate(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Lung mask [N, 1, M, M], theta [N, 2, 3], and the segmentation's deepest features."""
        small = functional.avg_pool2d(image, CANVAS_SIZE_PX // self.segmentation_px)
        mask_logits, deepest = self.segmentation.with_features(small)
        mask = mask_logits.float().sigmoid()
        return mask, self.alignment(mask.to(image.dtype)), deepest

    def grade(self, image: Tensor, mask: Tensor, theta: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """What the severity network says of an image under any alignment, also one that turns."""
        graded: dict[str, tuple[Tensor, Tensor]] = self.severity(*self.aligned(image, mask, theta))
        return graded

    def aligned(
        self, image: Tensor, mask: Tensor, theta: Tensor, upright: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the crop, and the lungs' share of each token's cell where the severity network asks for it.

        Args:
            image: [N, 1, 512, 512] 0-1.
            mask: [N, 1, M, M] 0-1.
            theta: [N, 2, 3].
            upright: theta is known not to turn.
        """
        crop = self.warp.upright(image, theta) if upright else self.warp(image, theta)
        if self.warp_mask is None:
            return crop, None
        lungs = mask.to(image.dtype)
        return crop, self.warp_mask.upright(lungs, theta) if upright else self.warp_mask(lungs, theta)
