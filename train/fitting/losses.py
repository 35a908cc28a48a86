"""What a prediction costs. Every part can be switched and weighed in the config.

Logits are [N, R, G], targets are distributions over grades [N, R, G]: a reader's grade, a mean of readers
between two grades, or a mixture of two images are all written so. A region whose grade is unknown is a row of zeros:
every loss is a mean over the known regions of all images, and 0 where none is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lungsev.train.settings import Settings, Share

Weight = Annotated[float, Field(ge=0.0)]


class SeverityLossSettings(Settings):
    """Weights of the parts; 0 leaves a part out."""

    cross_entropy: Weight = 1.0
    # probabilities: the published code's, whose network ends in a softmax and whose loss takes another of it
    cross_entropy_of: Literal["logits", "probabilities"] = "logits"
    expected_l1: Weight = 0.0  # |expected grade - reader's expected grade|
    expected_l2: Weight = 0.0
    kappa: Weight = 0.0  # 1 - quadratic weighted kappa of the batch, on soft counts
    corn: Weight = 0.0  # conditional ordinal (Shi et al. 2023) on the distribution's own conditionals
    total_l1: Weight = 0.0  # |expected total - reader's total|, per region
    label_smoothing: Share = 0.0  # share of each target spread evenly over all grades
    ordinal_smoothing: Share = 0.0  # share of each target given to the neighbouring grades


def severity_loss(logits: Tensor, target: Tensor, settings: SeverityLossSettings) -> Tensor:
    """Return the weighted sum of the parts.

    Args:
        logits: [N, R, G].
        target: [N, R, G], each row a distribution, or zeros for an unknown region.
        settings: Weights of the parts.
    """
    logits = logits.float()
    smooth = smoothed(target, settings.label_smoothing, settings.ordinal_smoothing)
    expected, reader, known = expected_grade(logits.softmax(dim=-1)), expected_grade(target), known_regions(target)
    total = logits.sum() * 0.0  # of a batch without any known region: no gradient, but a graph
    if settings.cross_entropy:
        scores = logits.softmax(dim=-1) if settings.cross_entropy_of == "probabilities" else logits
        total = total + settings.cross_entropy * soft_cross_entropy(scores, smooth)
    if settings.expected_l1:
        total = total + settings.expected_l1 * known_mean((expected - reader).abs(), known)
    if settings.expected_l2:
        total = total + settings.expected_l2 * known_mean((expected - reader).square(), known)
    if settings.kappa:
        total = total + settings.kappa * kappa_loss(logits.softmax(dim=-1), target)
    if settings.corn:
        total = total + settings.corn * corn_loss(logits, smooth)
    if settings.total_l1:
        off = (expected.sum(dim=1) - reader.sum(dim=1)).abs() / logits.shape[1]
        total = total + settings.total_l1 * known_mean(off, known.all(dim=1))
    return total


def known_regions(target: Tensor) -> Tensor:
    """Tell which regions have a grade: distributions [..., G], or zeros for unknown -> bool [...]."""
    return target.sum(dim=-1) > 0


def known_mean(values: Tensor, known: Tensor) -> Tensor:
    """Return the mean of the known values; 0 where there is none. Shapes are equal."""
    return (values * known).sum() / known.sum().clamp_min(1)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-sum over grades of target * log softmax(logits); [N, R, G] each."""
    return known_mean(-(target * logits.log_softmax(dim=-1)).sum(dim=-1), known_regions(target))


def expected_grade(probabilities: Tensor) -> Tensor:
    """Mean position on the scale of grades, 0 to G - 1: [..., G] -> [...]."""
    steps = torch.arange(probabilities.shape[-1], dtype=probabilities.dtype, device=probabilities.device)
    return probabilities @ steps


def kappa_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    """1 - quadratic weighted kappa over soft counts (de la Torre, Puig and Valls 2018), [N, R, G] each."""
    grades = probabilities.shape[-1]
    known = known_regions(target)[..., None]
    p, t = (probabilities * known).reshape(-1, grades), target.reshape(-1, grades)
    steps = torch.arange(grades, dtype=p.dtype, device=p.device)
    weights = (steps[:, None] - steps[None, :]).square()
    observed = (weights * (t.T @ p)).sum()
    expected = (weights * torch.outer(t.sum(dim=0), p.sum(dim=0))).sum() / known.sum().clamp_min(1)
    return observed / expected.clamp_min(1e-6)


def corn_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of each conditional P(grade > k | grade >= k), k = 0 .. G - 2.

    CORN trains the conditionals of an ordinal scale; here they are read off the softmax, so that the network
    keeps one distribution as its output. Each conditional counts by the target's share at grades >= k.
    """
    log_p = logits.log_softmax(dim=-1)
    above = torch.stack([log_p[..., k:].logsumexp(dim=-1) for k in range(log_p.shape[-1])], dim=-1)  # log P(>= k)
    target_above = target.flip(-1).cumsum(-1).flip(-1)
    goes_on = above[..., 1:] - above[..., :-1]
    stops = log_p[..., :-1] - above[..., :-1]
    cost = -(target_above[..., 1:] * goes_on + target[..., :-1] * stops).sum(dim=-1)
    return known_mean(cost, known_regions(target))


def smoothed(target: Tensor, even: float, neighbours: float) -> Tensor:
    """Spread a share of each distribution, evenly or to the grades beside it; rows still sum to 1, or to 0."""
    if neighbours:
        down = functional.pad(target[..., 1:], (0, 1)) + functional.pad(target[..., :1], (0, target.shape[-1] - 1))
        up = functional.pad(target[..., :-1], (1, 0)) + functional.pad(target[..., -1:], (target.shape[-1] - 1, 0))
        target = (1 - neighbours) * target + neighbours / 2 * (down + up)
    return (1 - even) * target + even / target.shape[-1] * known_regions(target)[..., None] if even else target


def target_distribution(
    readings: Sequence[Sequence[float]], grades: Sequence[int], weights: Sequence[float] | None = None
) -> npt.NDArray[np.float32]:
    """Readers' grades as one distribution per region.

    A grade between two of the scheme's is shared by them in proportion, so that its mean is kept. A region's readers
    are those who graded it; their weights are scaled to 1.

    Args:
        readings: Per reader one grade per region, NaN where there is none.
        grades: Of the scheme, ascending.
        weights: Of the readers; None counts them alike.

    Returns:
        float32 [R, G]; zeros for a region that no reader graded.
    """
    scale, read = np.asarray(grades, dtype=np.float64), np.asarray(readings, dtype=np.float64)
    share = np.ones(len(read)) if weights is None else np.asarray(weights, dtype=np.float64)
    known = ~np.isnan(read)
    weight = share[:, None] * known
    weight /= np.maximum(weight.sum(axis=0), np.finfo(np.float64).tiny)
    position = np.interp(np.where(known, read, scale[0]), scale, np.arange(len(scale)))
    beside = np.abs(position[..., None] - np.arange(len(scale)))  # [readers, R, G] in steps of the scale
    return np.einsum("nr,nrg->rg", weight, np.clip(1.0 - beside, 0.0, None)).astype(np.float32)


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice, [N, C, M, M] each; Dice per image, so that small lungs count."""
    logits = logits.float()
    cross = functional.binary_cross_entropy_with_logits(logits, mask)
    p = logits.sigmoid()
    overlap = (p * mask).sum(dim=(1, 2, 3))
    size = p.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    return cross + (1 - (2 * overlap + 1) / (size + 1)).mean()


def aligned_mask_error(aligned: Tensor, reference: Tensor) -> Tensor:
    """Mean squared difference of masks resampled into the frame, [N, 1, M, M] each: the published objective."""
    return (aligned.float() - reference.float()).square().mean()


def corner_distance(theta: Tensor, reference: Tensor) -> Tensor:
    """Distance of the corners of frames under two alignments, in the canvas's half-sides.

    Args:
        theta: One frame [N, 2, 3] or those of both lungs [N, 2, 2, 3], each of which has half the square.
        reference: In the same form.

    Returns:
        [N, 4] or [N, 8].
    """
    if theta.dim() == 4:
        halves = [_corners(theta[:, i] - reference[:, i], x0, x0 + 1) for i, x0 in enumerate((-1.0, 0.0))]
        return torch.cat(halves, dim=1)
    return _corners(theta - reference, -1.0, 1.0)


def _corners(difference: Tensor, x0: float, x1: float) -> Tensor:
    corners = difference.new_tensor([[x0, -1.0, 1.0], [x1, -1.0, 1.0], [x1, 1.0, 1.0], [x0, 1.0, 1.0]])
    return (difference @ corners.T).square().sum(dim=1).add(1e-12).sqrt()
