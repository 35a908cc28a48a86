"""One trunk with a head per scheme, per set of labels and one for places; and the loss of a mixed batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungsev.networks.severity import SeverityNetwork
from lungsev.schemes import Scheme
from lungsev.train.data.crop_bank import MAPS
from lungsev.train.fitting.fit import TrainingModule
from lungsev.train.fitting.losses import expected_grade, known_mean, known_regions, severity_loss
from lungsev.train.tasks.image_labels import label_loss
from lungsev.train.tasks.joint.settings import JointSettings
from lungsev.train.tasks.segmentation import encoder_stages

LABEL_DROPOUT = 0.2


@dataclass(frozen=True)
class Outputs:
    """What a mixed batch is answered with.

    Attributes:
        grades: Scheme to logits [N, R, G].
        labels: Source to logits [N, C].
        maps: Logits [N, P, s, s].
    """

    grades: dict[str, Tensor]
    labels: dict[str, Tensor]
    maps: Tensor


class JointLearner(nn.Module):
    """A severity network, and beside it what only trains its trunk: it is left out of what is exported."""

    def __init__(self, severity: SeverityNetwork, labels: Mapping[str, int]) -> None:
        super().__init__()
        self.severity = severity
        channels = severity.backbone.channels
        self.label_heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Dropout(LABEL_DROPOUT), nn.Linear(channels, count))
                for name, count in labels.items()
            }
        )
        self.places = nn.Conv2d(channels, len(MAPS), 1)

    def forward(self, image: Tensor) -> Outputs:
        """Crops [N, 1, S, S] 0-1 -> logits of everything."""
        features = self.severity.backbone(image)
        tokens = self.severity.encoded(features)
        scaled = self.severity.scale(features)
        mean = scaled.mean(dim=(2, 3))
        return Outputs(
            {name: head.logits(tokens) for name, head in self.severity.scheme_heads.items()},
            {name: head(mean) for name, head in self.label_heads.items()},
            self.places(scaled),
        )

    def extras(self) -> dict[str, Tensor]:
        """Return the weights of what is not exported."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("severity.")}


@dataclass(frozen=True)
class Taught:
    """What each source teaches, and how much it weighs.

    Attributes:
        grades: Scheme to the weight of each source's grades; 0 for a source without.
        labels: Source to whether its classes exclude each other, and its weight.
        weights: Of each source's maps.
    """

    grades: Mapping[str, tuple[float, ...]]
    labels: Mapping[str, tuple[bool, float]]
    weights: tuple[float, ...]


class JointModule(TrainingModule):
    """Learns of every image what is known of it."""

    def __init__(
        self, network: JointLearner, schemes: Mapping[str, Scheme], taught: Taught, settings: JointSettings
    ) -> None:
        super().__init__(network, settings.optimizer, settings.loop)
        self.settings, self.schemes, self.taught = settings, schemes, taught
        if settings.initial.freeze == "all_but_heads":
            self.freeze_parts(network.severity.trunk())
        self.freeze_parts(encoder_stages(network.severity.backbone.net, settings.freeze_stages))
        if settings.freeze_norms:
            self.frozen += [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the backbone."""
        return list(self.network.severity.backbone.parameters())  # type: ignore[union-attr, arg-type]

    def loss_of(self, batch: dict[str, Any], network: Any, part: str) -> Tensor:
        """Return the weighted sum of all losses, each a mean over the images it is known for."""
        outputs: Outputs = network(batch["image"])
        total = self._grades(outputs, batch, part)
        for name, (exclusive, weight) in self.taught.labels.items():
            logits = outputs.labels[name].float()
            loss = label_loss(logits, batch[f"label.{name}"], exclusive, self.settings.label_smoothing)
            self.log_number(f"{part}/labels_{name}", loss, batch)
            total = total + weight * loss
        maps = map_loss(outputs.maps, batch["maps"], self._per_image(self.taught.weights, batch))
        total = total + self.settings.maps_weight * maps
        if not batch["maps"].isnan().all():
            self.log_number(f"{part}/maps", maps, batch)
        tie = self.settings.tie
        if tie is None:
            return total
        scheme = self.schemes[tie.scheme]
        lungs = tie_loss(outputs.grades[tie.scheme], scheme, batch["lung_totals"], tie.tolerance)
        self.log_number(f"{part}/tie", lungs, batch)
        total = total + tie.weight * lungs
        if tie.teacher_column:
            teacher = total_loss(outputs.grades[tie.scheme], scheme, batch["teacher"], tie.teacher_tolerance)
            total = total + tie.teacher_weight * teacher
        return total

    def _grades(self, outputs: Outputs, batch: dict[str, Any], part: str) -> Tensor:
        """Sum over schemes and sources: each has a mean of its own, so that a large source silences no small one."""
        total = outputs.maps.sum() * 0.0
        for name, weights in self.taught.grades.items():
            logits, target = outputs.grades[name], batch[f"target.{name}"]
            for source, weight in enumerate(weights):
                if weight:
                    own = target * (batch["source"] == source)[:, None, None]
                    total = total + weight * severity_loss(logits, own, self.settings.loss)
            known = known_regions(target)
            distance = (expected_grade(logits.detach().float().softmax(dim=-1)) - expected_grade(target)).abs()
            if known.any():
                self.log_number(f"{part}/mae_{name}", known_mean(distance, known), batch)
        return total

    @staticmethod
    def _per_image(weights: tuple[float, ...], batch: dict[str, Any]) -> Tensor:
        return torch.tensor(weights, device=batch["source"].device)[batch["source"]]


def map_loss(logits: Tensor, maps: Tensor, weights: Tensor) -> Tensor:
    """Return cross-entropy over the known cells: for each kind of map a mean over the images that have it.

    Args:
        logits: [N, P, s, s].
        maps: [N, P, s, s] 0-1, NaN where unknown.
        weights: [N] of the images.
    """
    known = ~maps.isnan()
    costs = functional.binary_cross_entropy_with_logits(logits.float(), maps.nan_to_num(), reduction="none") * known
    per_map = costs.sum(dim=(2, 3)) / known.sum(dim=(2, 3)).clamp_min(1)  # [N, P]
    has = known.any(dim=3).any(dim=2)
    return (((per_map * weights[:, None]).sum(dim=0)) / has.sum(dim=0).clamp_min(1)).sum()


def tie_loss(logits: Tensor, scheme: Scheme, totals: Tensor, tolerance: float) -> Tensor:
    """Return how far the expected sums of the lungs' regions are from what they should be, beyond a tolerance.

    Per region, so that it weighs as an error of grades does; the mean over the known lungs.

    Args:
        logits: [N, R, G].
        scheme: Of the regions.
        totals: [N, 2] of the patient's right and left lung, NaN where unknown.
        tolerance: In points of a lung's sum.
    """
    expected = _expected(logits, scheme)
    sides = torch.tensor(
        [[region.side == side for region in scheme.regions] for side in ("right", "left")],
        dtype=expected.dtype,
        device=expected.device,
    )
    off = (expected @ sides.T - totals.nan_to_num()).abs() - tolerance  # [N, 2]
    return known_mean(off.clamp_min(0.0) / sides.sum(dim=1), ~totals.isnan())


def total_loss(logits: Tensor, scheme: Scheme, totals: Tensor, tolerance: float) -> Tensor:
    """Return how far the expected totals are from a teacher's, beyond a tolerance, per region.

    Args:
        logits: [N, R, G].
        scheme: Of the regions.
        totals: [N], NaN where unknown.
        tolerance: In points of the total.
    """
    expected = _expected(logits, scheme).sum(dim=1)
    off = (expected - totals.nan_to_num()).abs() - tolerance
    return known_mean(off.clamp_min(0.0) / logits.shape[1], ~totals.isnan())


def _expected(logits: Tensor, scheme: Scheme) -> Tensor:
    grades = torch.tensor(scheme.grades, dtype=torch.float32, device=logits.device)
    return logits.float().softmax(dim=-1) @ grades
