"""Losses agree with their references and prefer the better answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from torch import nn
from torch.nn import functional

from lungsev.train.fitting import losses
from lungsev.train.fitting.losses import SeverityLossSettings, severity_loss

GRADES = (0, 1, 2, 3)


def one_hot(grades: list[list[int]]) -> torch.Tensor:
    return functional.one_hot(torch.tensor(grades), 4).float()


def test_soft_cross_entropy_is_torchs() -> None:
    logits = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 4, (5, 6), generator=torch.Generator().manual_seed(1))
    expected = functional.cross_entropy(logits.reshape(-1, 4), target.reshape(-1), label_smoothing=0.2)
    smooth = losses.smoothed(functional.one_hot(target, 4).float(), 0.2, 0.0)
    assert losses.soft_cross_entropy(logits, smooth) == pytest.approx(float(expected), rel=1e-5)


def test_cross_entropy_of_probabilities_is_torchs_after_a_softmax_of_its_own() -> None:
    """What the published code computes: CrossEntropyLoss of a network that already ends in a softmax."""
    ours = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    grades = torch.randint(0, 4, (5, 6), generator=torch.Generator().manual_seed(1))
    settings = SeverityLossSettings(cross_entropy_of="probabilities")
    loss = severity_loss(ours, one_hot(grades.tolist()), settings)
    output = theirs.softmax(dim=-1)
    expected = torch.stack([nn.CrossEntropyLoss()(output[:, region], grades[:, region]) for region in range(6)]).mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    sure = severity_loss(one_hot([[0]]) * 50, one_hot([[0]]), settings)
    assert float(sure) == pytest.approx(np.log(1 + 3 / np.e), rel=1e-5)  # 0.744, which no network can go below


def test_kappa_loss_of_sure_answers_is_one_minus_kappa() -> None:
    generator = np.random.default_rng(0)
    reference = generator.integers(0, 4, (40, 6))
    predicted = np.clip(reference + generator.integers(-1, 2, (40, 6)), 0, 3)
    loss = losses.kappa_loss(one_hot(predicted.tolist()), one_hot(reference.tolist()))
    assert float(loss) == pytest.approx(
        1 - cohen_kappa_score(reference.ravel(), predicted.ravel(), weights="quadratic"), abs=1e-5
    )


@pytest.mark.parametrize("part", ["cross_entropy", "expected_l1", "expected_l2", "kappa", "corn", "total_l1"])
def test_each_part_prefers_the_nearer_grade_and_can_be_learned(part: str) -> None:
    chosen = SeverityLossSettings(**{"cross_entropy": 0.0, part: 1.0})
    target = one_hot([[0, 3], [3, 0], [1, 2]])
    # Not the mirror image: a total may be right while its regions are wrong.
    near, far = one_hot([[1, 3], [3, 1], [1, 3]]) * 6, one_hot([[3, 3], [3, 3], [3, 3]]) * 6
    right = target * 6
    values = [float(severity_loss(logits, target, chosen)) for logits in (right, near, far)]
    if part == "cross_entropy":
        assert values[0] < values[1]
    else:
        assert values[0] < values[1] < values[2]
    logits = torch.zeros_like(target).add(torch.tensor([0.1, 0.0, -0.1, 0.05])).requires_grad_()
    severity_loss(logits, target, chosen).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_corn_of_a_sure_grade_is_the_sum_of_its_conditionals() -> None:
    probabilities = torch.tensor([[[0.5, 0.25, 0.15, 0.1]]])
    # P(>0) = .5; P(>1 | >0) = .5; grade 1 goes on at 0 and stops at 1.
    expected = -(np.log(0.5) + np.log(0.25 / 0.5))
    assert float(losses.corn_loss(probabilities.log(), one_hot([[1]]))) == pytest.approx(expected, rel=1e-5)


def test_two_readers_make_one_distribution_and_half_grades_keep_their_mean() -> None:
    target = losses.target_distribution([(0, 3), (1, 3)], GRADES)
    assert target.tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0, 1]]
    between = losses.target_distribution([(2.25,)], GRADES)
    assert between @ np.arange(4) == pytest.approx([2.25])
    inha = losses.target_distribution([(5,)], (1, 2, 3, 4, 5))
    assert inha.tolist() == [[0, 0, 0, 0, 1]]
    weighted = losses.target_distribution([(0,), (1,)], GRADES, weights=[3, 1])
    assert weighted.tolist() == [[0.75, 0.25, 0, 0]]


def test_smoothing_keeps_rows_that_sum_to_one() -> None:
    smooth = losses.smoothed(one_hot([[0, 1], [2, 3]]), 0.1, 0.2)
    assert torch.allclose(smooth.sum(dim=-1), torch.ones(2, 2))
    assert smooth[0, 0, 1] > smooth[0, 0, 3]


def test_corner_distance_is_zero_for_the_same_frame_and_the_shift_for_a_moved_one() -> None:
    theta = torch.eye(3)[None, :2]
    moved = theta.clone()
    moved[0, 0, 2] += 0.25
    assert float(losses.corner_distance(theta, theta).max()) < 1e-5
    assert torch.allclose(losses.corner_distance(moved, theta), torch.full((1, 4), 0.25), atol=1e-5)


def test_mask_loss_is_least_for_the_mask_itself() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    right, wrong = (mask * 2 - 1) * 8, (1 - mask * 2) * 8
    assert float(losses.mask_loss(right, mask)) < 0.05 < float(losses.mask_loss(wrong, mask))


PARTS = ("cross_entropy", "expected_l1", "expected_l2", "kappa", "corn", "total_l1")


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(PARTS), st.floats(0.0, 0.3))
def test_an_unknown_region_neither_counts_nor_learns(seed: int, part: str, smoothing: float) -> None:
    generator = np.random.default_rng(seed)
    chosen = SeverityLossSettings(
        **{"cross_entropy": 0.0, part: 1.0, "label_smoothing": smoothing, "ordinal_smoothing": smoothing}
    )
    known = torch.from_numpy(generator.random((5, 3)) < 0.6)
    known[0] = True
    target = torch.from_numpy(generator.dirichlet(np.ones(4), (5, 3))).float() * known[..., None]
    logits = torch.from_numpy(generator.normal(size=(5, 3, 4))).float().requires_grad_()
    loss = severity_loss(logits, target, chosen)
    loss.backward()
    assert logits.grad is not None
    counts = known.all(dim=1)[:, None].expand_as(known) if part == "total_l1" else known
    assert not logits.grad[~counts].any()
    if part == "total_l1":
        alone = severity_loss(logits[known.all(dim=1)], target[known.all(dim=1)], chosen)
    else:  # the known regions as images of one region each
        alone = severity_loss(logits[known][:, None], target[known][:, None], chosen)
    assert float(loss.detach()) == pytest.approx(float(alone.detach()), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("part", PARTS)
def test_a_batch_without_a_known_region_costs_nothing_and_has_finite_gradients(part: str) -> None:
    logits = torch.randn(3, 2, 4, requires_grad=True)
    chosen = SeverityLossSettings(**{"cross_entropy": 0.0, part: 1.0, "label_smoothing": 0.1, "ordinal_smoothing": 0.1})
    loss = severity_loss(logits, torch.zeros(3, 2, 4), chosen)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


def test_readers_who_lack_regions_are_weighed_among_those_who_graded_them() -> None:
    nan = float("nan")
    target = losses.target_distribution([(0, nan, nan), (2, 1, nan), (2, nan, nan)], GRADES, weights=[0.5, 0.25, 0.25])
    assert target.tolist() == [[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
