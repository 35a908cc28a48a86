"""Labels of whole images, for pre-training: one class each, or any number of findings of which some are unknown.

Uncertain findings follow the policies of CheXpert (Irvin et al. 2019): ignored, or counted as absent or as present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

from lungsev.errors import ConfigError
from lungsev.train.console import warn
from lungsev.train.data.datasets import FindingsDataset, FindingsImage, LabelledDataset, LabelledImage
from lungsev.train.data.datasets.contract import ABSENT, PRESENT, UNCERTAIN

Policy = Literal["ignore", "zero", "one"]
AnyLabelled = LabelledImage | FindingsImage
Values = npt.NDArray[np.float32]
POLICIES: dict[str, float] = {"ignore": float("nan"), "zero": 0.0, "one": 1.0}
# What shadows the lung itself, as the published datasets call it; not the pleura, the heart or what is implanted.
OF_THE_LUNGS = (
    "lung opacity",
    "airspace opacity",
    "opacity",
    "pneumonia",
    "consolidation",
    "infiltration",
    "infiltrates",
    "edema",
    "pulmonary edema",
    "atelectasis",
    "alveolar pattern",
    "interstitial pattern",
    "ground glass pattern",
    "ild",
)


@dataclass(frozen=True)
class ImageLabels:
    """Labels of some images.

    Attributes:
        images: Those of which something is known.
        names: Classes or findings, C.
        values: float32 [N, C]: 1 present, 0 absent, NaN unknown; one 1 a row where classes exclude each other.
        exclusive: An image has exactly one class.
    """

    images: tuple[AnyLabelled, ...]
    names: tuple[str, ...]
    values: Values
    exclusive: bool


def labels_of(
    dataset: LabelledDataset | FindingsDataset, findings: Sequence[str], uncertain: Policy, unmentioned: Policy
) -> ImageLabels:
    """Return the labels that are trained.

    Args:
        dataset: Images with one class each, or with findings.
        findings: Names of findings, whatever their case and with `_` or a space; none chooses those of the lungs.
        uncertain: What an uncertain finding counts as.
        unmentioned: What a finding counts as of which nothing is said.

    Raises:
        ConfigError: A finding is not one of the dataset's, or none can be learned.
    """
    if isinstance(dataset, LabelledDataset):
        classes = tuple(sorted({image.finding for image in dataset.images}))
        if findings:
            one = f"images of {dataset.root} have one class each ({', '.join(classes)})"
            raise ConfigError(f"findings: {one}; leave the setting out")
        values = np.array([[image.finding == name for name in classes] for image in dataset.images], dtype=np.float32)
        return ImageLabels(dataset.images, classes, values, exclusive=True)
    chosen = _chosen(dataset, findings)
    code = {PRESENT: 1.0, ABSENT: 0.0, UNCERTAIN: POLICIES[uncertain], None: POLICIES[unmentioned]}
    said = [[code[image.findings.get(name)] for name in chosen] for image in dataset.images]
    every: Values = np.array(said, dtype=np.float32)
    learned = [column for column in range(len(chosen)) if {0.0, 1.0} <= set(every[:, column])]
    if len(learned) < len(chosen):
        names = ", ".join(name for column, name in enumerate(chosen) if column not in learned)
        warn(f"findings of which no image has, or none lacks, the finding, left out: {names}")
    if not learned:
        raise ConfigError(
            f"findings: none of {', '.join(chosen)} is present in some images of {dataset.root} and absent in others; "
            "choose others, or count what is not said as absent: --set unmentioned=zero"
        )
    rows = np.flatnonzero(~np.isnan(every[:, learned]).all(axis=1))
    if len(rows) < len(every):
        warn(f"{len(every) - len(rows)} images of which none of the chosen findings is known, left out")
    kept = tuple(chosen[column] for column in learned)
    return ImageLabels(tuple(dataset.images[row] for row in rows), kept, every[rows][:, learned], exclusive=False)


def subsample(labels: ImageLabels, count: int, seed: int) -> ImageLabels:
    """Choose about `count` images: evenly from the classes, or half of them with one of the findings; 0 keeps all."""
    if not count or count >= len(labels.images):
        return labels
    generator = np.random.default_rng(seed)
    groups = labels.values.argmax(axis=1) if labels.exclusive else (labels.values == 1).any(axis=1)
    kept: list[int] = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        kept += generator.permutation(rows)[: max(1, count // len(np.unique(groups)))].tolist()
    kept.sort()
    return ImageLabels(tuple(labels.images[row] for row in kept), labels.names, labels.values[kept], labels.exclusive)


def label_loss(logits: Tensor, target: Tensor, exclusive: bool, smoothing: float = 0.0) -> Tensor:
    """Return cross-entropy over the labelled images, or binary cross-entropy over the known findings; 0 of none.

    Args:
        logits: [N, C].
        target: [N, C], 1, 0, or NaN for unknown.
        exclusive: As `ImageLabels.exclusive`.
        smoothing: Share of a target spread evenly, over the classes or over present and absent.
    """
    known = ~target.isnan()
    filled = target.nan_to_num()
    if exclusive:
        labelled = known.all(dim=1)
        costs = functional.cross_entropy(logits, filled, label_smoothing=smoothing, reduction="none")
        return (costs * labelled).sum() / labelled.sum().clamp_min(1)
    smooth = filled * (1 - smoothing) + smoothing / 2
    costs = functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    return (costs * known).sum() / known.sum().clamp_min(1)


def measure_labels(logits: npt.NDArray[Any], labels: ImageLabels, rows: Sequence[int]) -> dict[str, Any]:
    """Return accuracy of classes, or the area under the ROC curve of each finding and their mean.

    Args:
        logits: [len(rows), C].
        labels: Of all images.
        rows: Those that are measured.
    """
    values = labels.values[list(rows)]
    people = np.array([labels.images[row].patient for row in rows])
    found: dict[str, Any] = {"images": len(rows), "patients": len(set(people))}
    if labels.exclusive:
        return {**found, "accuracy": float((logits.argmax(axis=1) == values.argmax(axis=1)).mean())}
    per_finding = {
        name: _area(logits[:, column], values[:, column], people) for column, name in enumerate(labels.names)
    }
    areas = [area["auroc"] for area in per_finding.values() if area["auroc"] is not None]
    return {**found, "macro_auroc": float(np.mean(areas)) if areas else None, "findings": per_finding}


def _area(scores: npt.NDArray[Any], truth: Values, people: npt.NDArray[np.str_]) -> dict[str, Any]:
    """Area under the ROC curve over the images whose finding is known; None where all or none have it."""
    from sklearn.metrics import roc_auc_score

    known = ~np.isnan(truth)
    present = int((truth[known] == 1).sum())
    absent = int(known.sum()) - present
    area = float(roc_auc_score(truth[known], scores[known])) if present and absent else None
    return {"auroc": area, "present": present, "absent": absent, "patients": len(set(people[known]))}


def _chosen(dataset: FindingsDataset, findings: Sequence[str]) -> list[str]:
    spelt = {_plain(name): name for name in dataset.findings}
    unknown = [name for name in findings if _plain(name) not in spelt]
    if unknown:
        raise ConfigError(
            f"findings: {', '.join(unknown)} is no finding of {dataset.root}; it has {', '.join(dataset.findings)}"
        )
    chosen = [spelt[_plain(name)] for name in findings] or [spelt[name] for name in OF_THE_LUNGS if name in spelt]
    if not chosen:
        raise ConfigError(
            f"{dataset.root} has no finding of the lungs; choose among {', '.join(dataset.findings)} by "
            "--set 'findings=[NAME, NAME]'"
        )
    return chosen


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().lower()
