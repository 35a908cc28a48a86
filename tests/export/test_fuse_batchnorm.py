from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from lungsev.export.fuse_batchnorm import NORMS, fuse_batchnorm

EXAMPLE = torch.linspace(0, 3, 2 * 64).reshape(1, 2, 8, 8)


class Branch(nn.Module):
    """conv -> norm, and what else reads the convolution or the normalisation."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv, self.norm = nn.Conv2d(2, 4, 3, bias=kind == "bias"), nn.BatchNorm2d(4)
        self.other = nn.ReLU() if kind == "another reader" else nn.BatchNorm2d(4)
        self.third = nn.Conv2d(2, 4, 3)

    def forward(self, image: Tensor) -> Tensor:
        made = self.conv(image)
        result: Tensor = self.norm(made)
        if self.kind == "used twice":
            result = result + self.norm(self.conv(image.flip(-1)))
        if self.kind in ("another reader", "two normalisations"):
            result = result + self.other(made)
        if self.kind == "two sources":
            result = result + self.norm(self.third(image))
        return result


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("plain", 0),
        ("bias", 0),
        ("used twice", 0),
        ("another reader", 1),
        ("two normalisations", 2),
        ("two sources", 1),
    ],
)
def test_only_a_normalisation_of_one_convolution_that_nothing_else_reads_is_fused(kind: str, left: int) -> None:
    torch.manual_seed(0)
    network = Branch(kind)
    if kind != "two normalisations" and kind != "another reader":
        network.other = nn.Identity()
    with torch.no_grad():
        for norm in (module for module in network.modules() if isinstance(module, NORMS)):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.2, 3)
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
        network.eval()
        before = copy.deepcopy(network).double()(EXAMPLE.double())
        fuse_batchnorm(network, EXAMPLE)
        after = network(EXAMPLE)
    assert sum(isinstance(module, NORMS) for module in network.modules()) == left
    torch.testing.assert_close(after.double(), before, rtol=1e-6, atol=2e-6)


def test_the_activation_inside_a_normalisation_stays() -> None:
    layers = pytest.importorskip("timm.layers")
    network = layers.ConvNormAct(2, 4, 3).eval()
    with torch.no_grad():
        network.bn.running_mean.fill_(0.5)
        before = network(EXAMPLE)
        fuse_batchnorm(network, EXAMPLE)
        after = network(EXAMPLE)
    assert not any(isinstance(module, NORMS) for module in network.modules())
    assert after.min() == 0
    torch.testing.assert_close(after, before)
