"""The feature pyramid: the mean of what its levels say, coarse levels told to finer ones."""

from __future__ import annotations

import torch

from lungsev.networks.pyramid import PyramidBackbone


def pyramid() -> PyramidBackbone:
    torch.manual_seed(0)
    return PyramidBackbone("mobilenetv3_small_050", (3, 4), stride=16, channels=8, depth=1).eval()


def test_features_have_the_width_of_the_pyramid_on_the_grid_of_the_stride() -> None:
    with torch.no_grad():
        features = pyramid()(torch.rand(2, 1, 64, 64))
    assert features.shape == (2, 8, 4, 4)
    assert (features >= 0).all()  # the tower ends in a ReLU


def test_the_answer_is_the_mean_over_the_levels() -> None:
    network = pyramid()
    with torch.no_grad():
        for smooth, bias in zip(network.smooth, (1.0, 4.0), strict=True):
            smooth.weight.zero_()
            smooth.bias.fill_(bias)
        tower = network.tower[0]
        torch.nn.init.dirac_(tower.weight)
        tower.bias.zero_()
        features = network(torch.rand(1, 1, 64, 64))
    torch.testing.assert_close(features, torch.full((1, 8, 4, 4), 2.5))


def test_a_finer_level_hears_the_coarser_one_and_not_the_other_way_round() -> None:
    network = pyramid()
    image = torch.rand(1, 1, 64, 64)
    seen: list[torch.Tensor] = []
    for smooth in network.smooth:
        smooth.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        for change in (0.0, 1.0), (0.0, 0.0), (1.0, 0.0):
            for lateral, bias in zip(network.lateral, change, strict=True):
                lateral.weight.zero_()
                lateral.bias.fill_(bias)
            network(image)
    means = [float(level.mean()) for level in seen]
    assert [means[:2], means[2:4], means[4:]] == [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
