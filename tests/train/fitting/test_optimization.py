"""How weights move: which learn at what rate, and what their average remembers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lungsev.train.fitting.optimization import WarmedAverage, learning_rate_factor, make_optimizer
from lungsev.train.settings import OptimizerSettings


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    rates = [learning_rate_factor(step, total=12, warmup=2, schedule="cosine") for step in range(13)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[7] == pytest.approx(0.505)
    assert rates[12] == pytest.approx(0.01)
    assert learning_rate_factor(11, total=12, warmup=2, schedule="constant") == 1.0


def test_the_backbone_learns_slower_and_biases_are_not_decayed() -> None:
    backbone, head = nn.Linear(2, 2), nn.Linear(2, 2)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    settings = OptimizerSettings(lr=0.1, weight_decay=0.5, backbone_lr_factor=0.2)
    parameters = [*backbone.parameters(), *head.parameters(), *frozen.parameters()]
    optimizer = make_optimizer(parameters, backbone.parameters(), settings)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    assert found == {
        id(head.weight): (0.1, 0.5),
        id(head.bias): (0.1, 0.0),
        id(backbone.weight): (pytest.approx(0.02), 0.5),
        id(backbone.bias): (pytest.approx(0.02), 0.0),
    }
    assert isinstance(make_optimizer(parameters, (), OptimizerSettings(name="sgd")), torch.optim.SGD)


def test_a_young_average_forgets_its_start_and_an_old_one_keeps_its_decay() -> None:
    average = WarmedAverage(0.99)
    young, old = [torch.zeros(1)], [torch.zeros(1)]
    average(young, [torch.ones(1)], 0)
    average(old, [torch.ones(1)], 10_000)
    assert float(young[0]) == pytest.approx(0.9)
    assert float(old[0]) == pytest.approx(0.01)
    counts = [torch.tensor(3)]
    average(counts, [torch.tensor(8)], 5)
    assert int(counts[0]) == 8


def test_with_norms_and_biases_decayed_a_step_is_that_of_torchs_own_sgd() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
    theirs = copy.deepcopy(ours)
    settings = OptimizerSettings(name="sgd", lr=0.1, weight_decay=0.3, momentum=0.9, decay_norms_and_biases=True)
    optimizers = (
        make_optimizer(ours.parameters(), ours[0].parameters(), settings),
        torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=0.3),
    )
    image = torch.rand(4, 1, 4, 4)
    for _ in range(3):
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            network(image).square().mean().backward()
            optimizer.step()
    for own, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, reference)
