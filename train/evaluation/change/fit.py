"""Fit of a model's repeatability, by maximum likelihood, to consecutive images that readers graded too.

A pair has three or more measurements of one true change: the model's and each reader's, on the reader's own scale. The
true change is normal, with the drift's variance, or in a share of the pairs with that of a step besides (see
`lungsev.change`). That tells the model's noise from true change: readers see only the latter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lungsev.errors import DatasetError
from lungsev.train.evaluation.change.courses import Pair

_FEWEST_PAIRS = 50
_ITERATIONS = 300
_FARTHEST = 12.0  # logarithms and logits are no larger: without steps, say, the variance of a step could be anything


@dataclass(frozen=True)
class FittedProcess:
    """What the fit found.

    Attributes:
        shared_error, drift_per_day, step_share, step_variance: As in `lungsev.change.Repeatability`.
        points_per_grade: Points of the model's total to one point of the readers' scale.
        reader_variance: Of one reader's change between two images, in points of the reader's scale, squared.
        pairs: How many pairs it was fitted to.
    """

    shared_error: float
    drift_per_day: float
    step_share: float
    step_variance: float
    points_per_grade: float
    reader_variance: float
    pairs: int


def fit_process(pairs: Sequence[Pair], truth: str) -> FittedProcess:
    """Fit drift, steps and the model's noise.

    Raises:
        DatasetError: Too few pairs that readers graded.
    """
    graded = [pair for pair in pairs if pair.reader_changes(truth)]
    most = max((len(pair.reader_changes(truth)) for pair in graded), default=0)
    graded = [pair for pair in graded if len(pair.reader_changes(truth)) == most]
    if len(graded) < _FEWEST_PAIRS:
        raise DatasetError(
            f"pairs of consecutive graded images: found {len(graded)}, expected at least {_FEWEST_PAIRS}; "
            "give a dataset with courses: patients with several images, and their times"
        )
    moved = _column([pair.after.total.mean - pair.before.total.mean for pair in graded])
    spread = _column([pair.after.total.variance + pair.before.total.variance for pair in graded])
    days = _column([max(pair.hours, 0.0) / 24 for pair in graded])
    readers = torch.tensor([pair.reader_changes(truth) for pair in graded], dtype=torch.float64)
    start = torch.tensor([-0.7, -0.4, 0.1, -0.5, -1.5, 1.7], dtype=torch.float64)

    def loss(theta: Tensor) -> Tensor:
        drift, per_grade, reader, step = (theta[i].exp() for i in (0, 2, 3, 5))
        share = torch.sigmoid(theta[4])
        noise = torch.cat([(1 - torch.sigmoid(theta[1])) * spread, reader.expand_as(readers)], dim=1)
        loading = torch.cat([torch.ones_like(moved), (1 / per_grade).expand_as(readers)], dim=1)
        seen = torch.cat([moved, readers], dim=1)
        still = _log_likelihood(seen, loading, noise, drift * days[:, 0])
        stepped = _log_likelihood(seen, loading, noise, drift * days[:, 0] + step)
        return -torch.logaddexp(still + (1 - share).log(), stepped + share.log()).mean()

    theta = _minimise(loss, start)
    return FittedProcess(
        shared_error=_sigmoid(theta[1]),
        drift_per_day=math.exp(theta[0]),
        step_share=_sigmoid(theta[4]),
        step_variance=math.exp(theta[5]),
        points_per_grade=math.exp(theta[2]),
        reader_variance=math.exp(theta[3]),
        pairs=len(graded),
    )


def fit_regions(pairs: Sequence[Pair], process: FittedProcess) -> tuple[float, float]:
    """Return one region's shared error, and its drift and steps as a share of the total's.

    Of a region's squared differences the same part is noise as of the total's. (Fitted to the regions alone, the rare
    large errors of the model would count as steps: no reader graded the regions.)
    """
    changed = sum(
        process.drift_per_day * max(pair.hours, 0.0) / 24 + process.step_share * process.step_variance for pair in pairs
    )
    noise = sum((1 - process.shared_error) * (pair.before.total.variance + pair.after.total.variance) for pair in pairs)
    both = [zones for pair in pairs for zones in zip(pair.before.zones, pair.after.zones, strict=True)]
    square = sum((after.mean - before.mean) ** 2 for before, after in both)
    variance = sum(before.variance + after.variance for before, after in both)
    noise_share = noise / (noise + changed)
    shared_error = min(max(1 - noise_share * square / variance, 0.0), 0.999)
    return shared_error, (1 - noise_share) * square / changed * len(pairs) / len(both)


def _log_likelihood(seen: Tensor, loading: Tensor, noise: Tensor, change: Tensor) -> Tensor:
    """Of measurements [N, M] of one change each, of variance [N]; noise is independent. Constants are left out."""
    precision = (loading**2 / noise).sum(1)
    scale = 1 + change * precision
    fit = (loading * seen / noise).sum(1)
    square = (seen**2 / noise).sum(1) - change * fit**2 / scale
    return -0.5 * (square + noise.log().sum(1) + scale.log())


def _minimise(loss: Callable[[Tensor], Tensor], start: Tensor) -> list[float]:
    theta = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([theta], max_iter=_ITERATIONS, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(theta.clamp(-_FARTHEST, _FARTHEST))
        value.backward()
        return value

    optimizer.step(closure)
    return [float(value) for value in theta.detach().clamp(-_FARTHEST, _FARTHEST)]


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))
