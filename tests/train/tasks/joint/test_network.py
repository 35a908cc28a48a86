"""Losses of a mixed batch count what is known, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from lungsev.schemes import load_scheme
from lungsev.train.tasks.joint.network import map_loss, tie_loss, total_loss

BRIXIA = load_scheme("brixia")
NAN = math.nan


def sure_of(*grades: int) -> torch.Tensor:
    """Logits [1, 6, 4] of a network that is sure."""
    return 50.0 * torch.nn.functional.one_hot(torch.tensor([grades]), 4).float()


@pytest.mark.parametrize(
    ("totals", "tolerance", "cost"),
    [
        ((6.0, 3.0), 0.0, 0.0),
        ((9.0, 3.0), 0.0, 0.5),  # one lung is off by 3 points, a point for each of its zones, the other by none
        ((9.0, NAN), 0.0, 1.0),
        ((9.0, NAN), 1.5, 0.5),
        ((NAN, NAN), 0.0, 0.0),
    ],
)
def test_a_lungs_zones_are_drawn_to_what_is_known_of_the_lung(
    totals: tuple[float, float], tolerance: float, cost: float
) -> None:
    logits = sure_of(2, 2, 2, 1, 1, 1).requires_grad_()
    loss = tie_loss(logits, BRIXIA, torch.tensor([totals]), tolerance)
    assert loss.item() == pytest.approx(cost, abs=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


def test_a_teachers_total_counts_beyond_its_tolerance_for_the_images_that_have_one() -> None:
    logits = torch.cat([sure_of(3, 3, 3, 3, 3, 3), sure_of(0, 0, 0, 0, 0, 0)])
    assert total_loss(logits, BRIXIA, torch.tensor([10.0, NAN]), 2.0).item() == pytest.approx(1.0, abs=1e-5)
    assert total_loss(logits, BRIXIA, torch.tensor([17.0, 2.0]), 2.0).item() == pytest.approx(0.0, abs=1e-5)


def test_cells_of_unknown_places_cost_nothing_and_each_image_counts_by_its_weight() -> None:
    maps = torch.full((3, 2, 2, 2), NAN)
    maps[0, 0], maps[1, 0, 0, 0] = 1.0, 0.0
    logits = torch.zeros(3, 2, 2, 2, requires_grad=True)
    loss = map_loss(logits, maps, torch.tensor([1.0, 0.5, 1.0]))
    assert loss.item() == pytest.approx(math.log(2) * 1.5 / 2, abs=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[1, 0, 1].abs().sum() == 0
    assert logits.grad[:, 1].abs().sum() == 0
    assert map_loss(torch.zeros(1, 2, 2, 2), maps[2:], torch.ones(1)).item() == 0
