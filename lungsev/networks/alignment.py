"""The spatial transformer that finds the aligned frame on the canvas from a lung mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# An edge is where this many rows or columns (of the fine mask) that hold any lung have been passed, or where
# this share of the lungs' area has: the first is exact, the second deaf to specks.
EDGE_LINES = (0.5, 2.0)
EDGE_SHARES = (0.01, 0.05)
SHARPNESS = 6.0

# Pixels of the fine mask below which there are no lungs to speak of: the edges of next to nothing would otherwise
# be decided by rounding.
NEXT_TO_NOTHING = 1.0


# How far the frame of a lung may lie outside its mask, or inside of where EDGE_SHARES[-1] of it has been passed.
EDGE_MARGIN = 0.03


class AlignmentNetwork(nn.Module):
    """A network that reads theta off the soft lung mask. It sees the mask only, never the image.

    Subclasses implement `elements`, and end in a linear layer `theta` that starts at the identity.

    Args:
        input_px: Side of the mask that its convolutions see.
        rotation: False keeps the two elements of theta that turn and shear at zero, as the upright box around the
            lungs has them (docs/decisions/0004); True leaves all six to the network.
    """

    free: Tensor
    theta: nn.Linear

    def __init__(self, input_px: int, rotation: bool) -> None:
        super().__init__()
        if input_px % 16:
            raise ValueError(f"input_px must be a multiple of 16, found {input_px}")
        self.input_px = input_px
        self.rotation = rotation
        free = torch.ones(2, 3) if rotation else torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
        self.register_buffer("free", free, persistent=False)

    def forward(self, mask: Tensor) -> Tensor:
        """Mask [N, 1, M, M] probability 0-1, M a multiple of 2 * input_px -> theta [N, 2, 3] float32."""
        return self.elements(mask).float().reshape(-1, 2, 3) * self.free

    def elements(self, mask: Tensor) -> Tensor:
        """Mask [N, 1, M, M] -> the six elements of theta [N, 6], row by row."""
        raise NotImplementedError


class EdgeAlignment(AlignmentNetwork):
    """A small CNN, and the mask's edges beside it.

    The edges are the upright frame, but for what is wrong with the mask: a linear path passes them on, and the CNN
    says what to change.

    Args:
        masks: Channels of the mask, C; each has its edges.
    """

    def __init__(self, input_px: int = 64, width: int = 16, rotation: bool = False, masks: int = 1) -> None:
        super().__init__(input_px, rotation)
        layers: list[nn.Module] = []
        channels = masks
        for stage in range(4):
            out = width * 2 ** min(stage, 2)
            layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        self.features = nn.Sequential(*layers)
        self.edges = MaskEdges(2 * input_px)
        edges = 4 * (len(EDGE_LINES) + len(EDGE_SHARES)) * masks
        self.hidden = nn.Linear(channels * (input_px // 16) ** 2 + edges, 64)
        self.theta = identity_layer(64 + edges)

    def elements(self, mask: Tensor) -> Tensor:
        """Masks [N, C, M, M] -> [N, 6]."""
        fine = functional.avg_pool2d(mask, mask.shape[-1] // (2 * self.input_px))
        edges = self.edges(fine).to(mask.dtype)
        features = self.features(functional.avg_pool2d(fine, 2)).flatten(1)
        hidden = functional.relu(self.hidden(torch.cat([features, edges], dim=1)))
        return self.theta(torch.cat([hidden, edges], dim=1))


class LungFrames(EdgeAlignment):
    """A frame for each lung, by one network that reads either lung's box off its mask and the other's beside it.

    It sees the left lung mirrored, so that every lung looks like a right one. Once trained, it stays by the mask that
    it was given: a box that ends far from the lung is moved to the lung's edge.

    Args:
        input_px: Side of the masks that its convolutions see.
        width: Channels of its first convolution.
    """

    columns: Tensor
    mirror: Tensor
    halves: Tensor

    def __init__(self, input_px: int = 96, width: int = 16) -> None:
        super().__init__(input_px, width, masks=2)
        self.register_buffer("columns", torch.arange(2 * input_px - 1, -1, -1), persistent=False)
        mirror = torch.tensor([[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], [[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]]])
        self.register_buffer("mirror", mirror, persistent=False)
        # The box of a lung is one half of the aligned square: [-1, 0] and [0, 1] to [-1, 1].
        halves = [[[2.0, 0.0, side], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] for side in (1.0, -1.0)]
        self.register_buffer("halves", torch.tensor(halves), persistent=False)

    def forward(self, mask: Tensor) -> Tensor:
        """Masks of the right and left lung [N, 2, M, M] 0-1, M a multiple of 2 * input_px -> theta [N, 2, 2, 3]."""
        fine = functional.avg_pool2d(mask, mask.shape[-1] // (2 * self.input_px))
        left_first = torch.cat([fine[:, 1:], fine[:, :1]], dim=1).index_select(3, self.columns)
        pairs = torch.stack([fine, left_first], dim=1).reshape(-1, 2, *fine.shape[2:])
        boxes = super().forward(pairs)
        if not self.training:
            boxes = self._beside_lung(boxes, pairs[:, :1])
        return boxes.reshape(-1, 2, 2, 3) * self.mirror @ self.halves

    def _beside_lung(self, boxes: Tensor, mask: Tensor) -> Tensor:
        """Boxes [N, 2, 3] and their lungs' masks [N, 1, P, P] -> [N, 2, 3]; without a lung they stay as they are."""
        scale, shift = boxes[:, [0, 1], [0, 1]], boxes[:, :, 2]
        edges = self.edges(mask).reshape(len(boxes), 2, -1)  # [N, axis, first and last by lines, then by shares]
        lines, shares = len(EDGE_LINES), len(EDGE_SHARES)
        outer, inner = edges[..., [0, lines]], edges[..., [2 * lines + shares - 1, 2 * (lines + shares) - 1]]
        first = torch.clamp(shift - scale, outer[..., 0] - EDGE_MARGIN, inner[..., 0] + EDGE_MARGIN)
        last = torch.clamp(shift + scale, inner[..., 1] - EDGE_MARGIN, outer[..., 1] + EDGE_MARGIN)
        bounded = torch.stack([last - first, last + first], dim=-1) / 2
        found = torch.cat([torch.diag_embed(bounded[..., 0]), bounded[..., 1:]], dim=-1)
        has_lung = mask.float().sum(dim=(1, 2, 3), keepdim=True)[..., 0] > NEXT_TO_NOTHING
        return torch.where(has_lung, found, boxes)


class ConvolutionAlignment(AlignmentNetwork):
    """Two convolutions and a fully connected part, as the published code's spatial transformer has them.

    Kernel sizes, pooling and the width of the hidden layer are this project's.
    """

    def __init__(self, input_px: int = 64, width: int = 16, rotation: bool = False) -> None:
        super().__init__(input_px, rotation)
        self.features = nn.Sequential(
            *(nn.Conv2d(1, width, 7, padding=3), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(width, 2 * width, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()),
        )
        self.hidden = nn.Linear(2 * width * (input_px // 4) ** 2, 32)
        self.theta = identity_layer(32)

    def elements(self, mask: Tensor) -> Tensor:
        """Mask [N, 1, M, M] -> [N, 6]."""
        features = self.features(functional.avg_pool2d(mask, mask.shape[-1] // self.input_px)).flatten(1)
        return self.theta(functional.relu(self.hidden(features)))


def identity_layer(channels: int) -> nn.Linear:
    """Return a layer [N, channels] -> [N, 6] that says the identity whatever it is given."""
    layer = nn.Linear(channels, 6)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
    return layer


class MaskEdges(nn.Module):
    """Where the mask begins and ends in both directions, in [-1, 1], differentiable."""

    upto: Tensor
    lines: Tensor
    shares: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.register_buffer("upto", torch.ones(side, side).triu(), persistent=False)
        self.register_buffer("lines", torch.tensor(EDGE_LINES).reshape(1, -1, 1), persistent=False)
        self.register_buffer("shares", torch.tensor(EDGE_SHARES).reshape(1, -1, 1), persistent=False)

    def forward(self, mask: Tensor) -> Tensor:
        """Masks [N, C, M, M] -> [N, C * 4 * (lines + shares)] float32 throughout."""
        return torch.cat([self._edges(plane) for plane in mask.float().unbind(dim=1)], dim=1)

    def _edges(self, plane: Tensor) -> Tensor:
        """Mask [N, M, M] -> [N, 4 * (lines + shares)]."""
        edges = []
        for across in (1, 2):
            highest, area = plane.amax(dim=across), plane.sum(dim=across)
            edges += [
                *self._both_ends(highest, self.lines),
                *self._both_ends(area / (area.sum(dim=1, keepdim=True) + NEXT_TO_NOTHING), self.shares),
            ]
        return torch.cat(edges, dim=1)

    def _both_ends(self, profile: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
        """Ends of profiles [N, M] where their sum from outside reaches each limit: [N, limits] each."""
        before = (profile @ self.upto).unsqueeze(1)
        after = before[..., -1:] - before + profile.unsqueeze(1)
        first, last = (torch.sigmoid((limits - c) * (SHARPNESS / limits)).mean(dim=2) for c in (before, after))
        return 2 * first - 1, 1 - 2 * last
