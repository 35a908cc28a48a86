"""Who trains, who is held back. Images of one patient never fall on two sides, unless the protocol says so aloud.

- `pafe`: the split of the published code, to compare with its tables: consensus images are dropped by FILE NAME,
  so other images of their patients stay in training (93 of 150 on the real BrixIA).
- `leak_free`: every image of a consensus patient leaves training.
- `kfold`: k folds grouped by patient, balanced by severity; fold k is the test part.
- `holdout`: one seeded split by patient.
- `column`: as the dataset's own column or a file says; see `stated_splits`.
- `all`: everything trains except a small validation part; for a model that ships after it was measured by kfold.

The validation part chooses the epoch; the calibration part, patients of its own taken from those who would train,
fits temperature and interval. Without one the validation part does both, and states its intervals too narrow.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from lungsev.errors import DatasetError
from lungsev.system import write_atomically

Name = Literal["pafe", "leak_free", "kfold", "holdout", "all"]
PARTS = ("train", "validation", "calibration", "test", "consensus")
MIN_CALIBRATION = 8  # patients; with fewer, a temperature or a margin is noise
CALIBRATION_SHARE = 0.1


class Splittable(Protocol):
    """What a split needs to know of an image."""

    @property
    def name(self) -> str:
        """Return the name, unique in its dataset."""

    @property
    def patient(self) -> str:
        """Return the patient, who is never on two sides of a split."""


@dataclass(frozen=True)
class Split:
    """Image names of each part, in the dataset's order.

    Attributes:
        protocol: As `leak_free` or `kfold-5 fold 0`.
        dropped: Images that are in no part, and why.
        shared_patients: Patients with images both in training and in a part that is measured.
    """

    protocol: str
    seed: int
    parts: Mapping[str, tuple[str, ...]]
    dropped: Mapping[str, int]
    shared_patients: int

    @property
    def sha256(self) -> str:
        """Hash of who is where; the same images split the same way have the same hash."""
        text = json.dumps({part: sorted(names) for part, names in sorted(self.parts.items())}, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "protocol": self.protocol,
            "seed": self.seed,
            "sha256": self.sha256,
            "counts": {part: len(names) for part, names in self.parts.items()},
            "dropped": dict(self.dropped),
            "shared_patients": self.shared_patients,
            "parts": {part: list(names) for part, names in self.parts.items()},
        }

    def save(self, path: Path) -> None:
        """Write the split as JSON."""
        write_atomically(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=True))

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a saved split.

        Raises:
            DatasetError: It cannot be read, or was edited after it was hashed.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            parts = {part: tuple(names) for part, names in data["parts"].items()}
            split = cls(data["protocol"], data["seed"], parts, data["dropped"], data["shared_patients"])
            stated = data["sha256"]
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f"cannot read the split {path}: {error}") from None
        if split.sha256 != stated:
            raise DatasetError(f"{path} was changed after it was written: its parts do not match its hash")
        return split


def split_images(
    images: Sequence[Splittable],
    protocol: Name,
    seed: int = 42,
    folds: int = 5,
    fold: int = 0,
    validation: float = 0.15,
    test: float = 0.15,
    calibration: float | None = 0.0,
) -> Split:
    """Split by patient.

    Args:
        images: All images.
        protocol: How to split.
        seed: Of the random choice of patients.
        folds: Of protocol `kfold`.
        fold: The fold that is tested.
        validation: Share of the patients that are not tested; of all patients for `all`.
        test: Share of the patients, for `holdout`.
        calibration: Share of the patients who would train. None: a tenth for `kfold` and `holdout`, if that is enough
            patients to calibrate on, and none for the other protocols.

    Raises:
        DatasetError: There are too few patients for the parts asked for.
    """
    if protocol in ("pafe", "leak_free"):
        parts, dropped = _published(images, seed, leak_free=protocol == "leak_free")
        label: str = protocol
    elif protocol == "kfold":
        parts, dropped = _kfold(images, seed, folds, fold, validation), {}
        label = f"kfold-{folds} fold {fold}"
    else:
        held = 0.0 if protocol == "all" else test
        parts, dropped = _holdout(images, seed, validation, held), {}
        label = protocol
    if calibration is None and protocol in ("kfold", "holdout"):
        calibration = enough_to_calibrate(images, parts["train"])
    if calibration:
        parts = with_calibration(images, parts, calibration, seed + 2)
    return complete_split(images, label, seed, parts, dropped)


def complete_split(
    images: Sequence[Splittable],
    label: str,
    seed: int,
    parts: Mapping[str, tuple[str, ...]],
    dropped: Mapping[str, int],
) -> Split:
    """Return the split of some parts, with the patients that training shares with what is measured.

    Raises:
        DatasetError: Nothing is left to train on.
    """
    patient_of = {image.name: image.patient for image in images}
    train = {patient_of[name] for name in parts.get("train", ())}
    measured = {patient_of[name] for part in ("test", "consensus") for name in parts.get(part, ())}
    if not train:
        raise DatasetError(f"protocol {label} leaves no image to train on, of {len(images)}")
    return Split(label, seed, {p: n for p, n in parts.items() if n}, dropped, len(train & measured))


def describe_protocols(images: Sequence[Splittable]) -> dict[str, dict[str, int]]:
    """Protocol -> images of each part, patients on both sides, images left out; those that are possible here."""
    table: dict[str, dict[str, int]] = {}
    consensus = any(getattr(image, "subset", "") == "consensus" for image in images)
    protocols: tuple[Name, ...] = ("pafe", "leak_free", "kfold", "holdout") if consensus else ("kfold", "holdout")
    for protocol in protocols:
        try:
            split = split_images(images, protocol)
        except DatasetError:
            continue
        table |= split_row(split)
    return table


def split_row(split: Split) -> dict[str, dict[str, int]]:
    """Protocol -> images of each part, patients on both sides, images left out."""
    parts = {part: len(names) for part, names in split.parts.items()}
    row = {**parts, "patients across": split.shared_patients, "dropped": sum(split.dropped.values())}
    return {split.protocol: row}


def by_finding(images: Sequence[Splittable], split: Split, findings: Sequence[str]) -> Split:
    """Move every patient without one of the findings to the test part: portability from one illness to others.

    An image of several findings, e.g. `COVID-19, ARDS`, has each of them. One of unknown finding is in no part, as it
    could be of either kind. Images of a patient with both kinds follow those with one of the findings.

    Raises:
        DatasetError: No image has one of the findings.
    """
    wanted = {finding.lower() for finding in findings}
    inside = {image.patient for image in images if wanted & _findings(image)}
    if not inside:
        known = ", ".join(sorted({getattr(image, "finding", "") or "none" for image in images}))
        raise DatasetError(f"no image has the finding {' or '.join(findings)}; this dataset has {known}")
    patient_of = {image.name: image.patient for image in images}
    parts = {
        part: tuple(name for name in split.parts.get(part, ()) if patient_of[name] in inside)
        for part in ("train", "validation", "calibration")
    }
    # Tested patients with the finding stay out: what is measured is the step to the other findings.
    others = [image for image in images if image.patient not in inside]
    parts["test"] = tuple(image.name for image in others if _findings(image))
    unknown = len(others) - len(parts["test"])
    tested = len(images) - unknown - sum(map(len, parts.values()))
    reasons = {"images with the finding that were in the test part": tested, "images of unknown finding": unknown}
    dropped = {reason: count for reason, count in reasons.items() if count}
    label = f"{split.protocol}, trained on {' and '.join(findings)} only"
    return Split(label, split.seed, {p: n for p, n in parts.items() if n}, dropped, 0)


def _findings(image: Splittable) -> set[str]:
    whole = getattr(image, "finding", "").strip().lower()
    return {whole, *(part.strip() for part in whole.split(","))} - {""}


def _published(
    images: Sequence[Splittable], seed: int, leak_free: bool
) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    """30 % of the subjects set aside, 30 % of those for the test (METHOD: PAFE's code, seed 42)."""
    from sklearn.model_selection import train_test_split

    consensus = [image for image in images if getattr(image, "subset", "") == "consensus"]
    names = {image.name for image in consensus}
    patients = {image.patient for image in consensus} if leak_free else set()
    pool = [image for image in images if image.name not in names and image.patient not in patients]
    subjects = list(dict.fromkeys(image.patient for image in pool))
    if len(subjects) < 7:
        raise DatasetError(f"found {len(subjects)} patients outside the consensus images, expected at least 7 to split")
    train, rest = train_test_split(subjects, test_size=0.3, random_state=seed)
    validation, test = train_test_split(rest, test_size=0.3, random_state=seed)
    parts = _by_patient(pool, {"train": train, "validation": validation, "test": test})
    parts["consensus"] = tuple(image.name for image in consensus)
    left_out = len(images) - len(pool) - len(consensus)
    return parts, {"other images of consensus patients": left_out} if left_out else {}


def _kfold(images: Sequence[Splittable], seed: int, folds: int, fold: int, share: float) -> dict[str, tuple[str, ...]]:
    if not 0 <= fold < folds:
        raise DatasetError(f"fold {fold} does not exist, expected 0-{folds - 1}")
    groups = _balanced_groups(images, folds, seed)
    rest = [patient for index, group in enumerate(groups) if index != fold for patient in group]
    kept = set(rest)
    others = [image for image in images if image.patient in kept]
    train, validation = cut(others, share, seed + 1)
    return _by_patient(images, {"train": train, "validation": validation, "test": groups[fold]})


def _holdout(images: Sequence[Splittable], seed: int, validation: float, test: float) -> dict[str, tuple[str, ...]]:
    rest, held = cut(images, test, seed)
    kept = set(rest)
    train, checked = cut([image for image in images if image.patient in kept], validation, seed + 1)
    return _by_patient(images, {"train": train, "validation": checked, "test": held})


def enough_to_calibrate(images: Sequence[Splittable], train: Sequence[str]) -> float:
    """Return the usual share of a calibration part, or 0 where it would hold too few patients."""
    names = set(train)
    patients = {image.patient for image in images if image.name in names}
    return CALIBRATION_SHARE if round(len(patients) * CALIBRATION_SHARE) >= MIN_CALIBRATION else 0.0


def with_calibration(
    images: Sequence[Splittable], parts: Mapping[str, tuple[str, ...]], share: float, seed: int
) -> dict[str, tuple[str, ...]]:
    """Take the calibration part's patients out of training."""
    names = set(parts["train"])
    training = [image for image in images if image.name in names]
    train, calibration = cut(training, share, seed)
    return {**parts, **_by_patient(training, {"train": train, "calibration": calibration})}


def cut(images: Sequence[Splittable], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Patients in two sets; the second holds about `share` of them, spread over severity."""
    if share <= 0:
        return list(dict.fromkeys(image.patient for image in images)), []
    patients = len({image.patient for image in images})
    # With few patients one of them is already more than the share; a part without any measures nothing.
    groups = _balanced_groups(images, max(2, min(round(1 / share), patients)), seed)
    return [patient for group in groups[1:] for patient in group], groups[0]


def _balanced_groups(images: Sequence[Splittable], count: int, seed: int) -> list[list[str]]:
    """Patients dealt to `count` groups so that each gets about as many images of each severity."""
    members: dict[str, list[Splittable]] = defaultdict(list)
    for image in images:
        members[image.patient].append(image)
    if len(members) < count:
        raise DatasetError(
            f"found {len(members)} patients, expected at least {count} for {count} groups; add patients, or ask "
            "for fewer folds or smaller parts (data.split.folds, .validation, .test)"
        )
    order = np.random.default_rng(seed).permutation(sorted(members))
    ranked = sorted(order, key=lambda patient: _mean_total(members[patient]))
    groups: list[list[str]] = [[] for _ in range(count)]
    sizes = [0] * count
    for start in range(0, len(ranked), count):
        # Of each run of equally ill patients, the one with most images goes to the smallest group.
        run = sorted(ranked[start : start + count], key=lambda patient: -len(members[patient]))
        targets = sorted(range(count), key=lambda group: (sizes[group], group))
        for patient, group in zip(run, targets, strict=False):
            groups[group].append(str(patient))
            sizes[group] += len(members[patient])
    return groups


def _mean_total(images: Sequence[Splittable]) -> float:
    return float(np.mean([getattr(image, "estimated_total", getattr(image, "total", 0.0)) for image in images]))


def _by_patient(images: Sequence[Splittable], patients: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    part_of = {patient: part for part, members in patients.items() for patient in members}
    return {part: tuple(f.name for f in images if part_of.get(f.patient) == part) for part in patients}
