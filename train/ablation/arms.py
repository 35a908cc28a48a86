"""The arms of a table, read from the run folders of its rows, and the decision on each dataset they were trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungsev.config import read_yaml
from lungsev.errors import ConfigError, LungsevError
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings
from lungsev.train.ablation.cost import added_share
from lungsev.train.ablation.decision import Decision, DecisionSettings, Trained, decide
from lungsev.train.console import say, warn
from lungsev.train.data.splits import Split
from lungsev.train.evaluation.predictions import Predictions, join
from lungsev.train.fitting.device import device_of
from lungsev.train.runs import Run
from lungsev.train.tasks.table_settings import RowSettings, TableSettings, lungs_document

# What arms may differ in: what makes an arm, and the rate that is chosen for it. All else must be the same.
OF_AN_ARM = ("title", "network.dim", "network.heads", "network.position_aware", "network.context", "optimizer.lr")
NOT_DECISIVE = ("data.cache", "data.workers", "loop.threads", "loop.keep_checkpoints", "loop.loggers", "seeds")
Cost = Callable[[FusedSettings, FusedSettings], float]


@dataclass(frozen=True)
class Arm:
    """What was trained of a row.

    Attributes:
        settings: As its first seed's config.yaml has them.
        device: That it was trained on.
    """

    name: str
    trained: Trained
    settings: Mapping[str, Any]
    device: str


@dataclass(frozen=True)
class DatasetDecision:
    """The decision on one dataset.

    Attributes:
        dataset: Its layout, and the scheme where it has several.
        facts: What all arms have in common: crop, epochs, precision, start and devices.
        cautions: Why the decision says less than it seems to.
    """

    dataset: str
    decision: Decision
    facts: Mapping[str, Any]
    cautions: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return what is printed."""
        first, *others = self.decision.lines()
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.facts.items())
        cost = ", ".join(f"{100 * share:+.1f} % against {name}" for name, share in self.decision.cost.items())
        return [
            f"{self.dataset}: {first}",
            *(f"  {line}" for line in others),
            f"  {facts}" + (f"; time of the network {cost}" if cost else ""),
            *(f"  note: {caution}" for caution in self.cautions),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "dataset": self.dataset,
            **self.decision.to_dict(),
            **self.facts,
            "cautions": list(self.cautions),
        }


def decide_table(
    table: TableSettings, out: Path, seeds: int | None = None, cost: Cost | None = None
) -> list[DatasetDecision]:
    """Apply a table's rule to its rows' runs, on every dataset of which all rows are finished.

    Args:
        table: With a decision.
        out: Folder of the rows.
        seeds: How many of each row count; None: as many as the table trains.
        cost: Share of the second network's time that the first takes longer; None measures it here.

    Raises:
        ConfigError: The table decides nothing, or its arms differ in more than an arm may.
        LungsevError: No dataset's rows are all finished.
    """
    if table.decision is None:
        raise ConfigError(f"{table.title} has no rule to decide by; expected `decision:` in its YAML file")
    found, missing = [], []
    for dataset, rows in _by_dataset(table).items():
        try:
            arms = [_load_arm(row, out / row.name, seeds or table.seeds) for row in rows]
        except LungsevError as error:
            missing.append(f"{dataset}: {error}")
            continue
        found.append(_decide(dataset, arms, table, table.decision, cost or _measured_cost(arms)))
    if not found:
        raise LungsevError(f"nothing to decide on in {out}: {'; '.join(missing)}; train the rows by the same command")
    for reason in missing:
        warn(f"not decided, {reason}")
    return found


def _by_dataset(table: TableSettings) -> dict[str, list[RowSettings]]:
    """Dataset, with its scheme where a row sets one, to the rows that are arms."""
    groups: dict[str, list[RowSettings]] = {}
    for row in table.rows:
        if row.arm:
            scheme = row.set.get("scheme")
            name = row.dataset or "data"
            groups.setdefault(f"{name} ({scheme})" if scheme else name, []).append(row)
    return groups


def _load_arm(row: RowSettings, folder: Path, seeds: int) -> Arm:
    """Read a row's predictions.

    Raises:
        LungsevError: A seed of it is not finished.
    """
    runs = [Run(folder / f"seed-{number}") for number in range(seeds)] if seeds > 1 else [Run(folder)]
    if seeds == 1 and (folder / "seed-0").is_dir():
        runs = [Run(folder / "seed-0")]
    for run in runs:
        if not (run.path / "predictions-test.json").is_file():
            raise LungsevError(f"{row.name} is not finished, {run.path} holds no predictions-test.json")
    document = read_yaml(runs[0].path / "config.yaml", own=True)
    settings = dict(document["settings"])
    trained = Trained(
        row.name,
        float(settings["optimizer"]["lr"]),
        tuple(_validation(run) for run in runs),
        tuple(Predictions.load(run.path / "predictions-test.json") for run in runs),
    )
    return Arm(row.arm, trained, settings, str(dict(document.get("made_by", {})).get("device", "unknown")))


def _validation(run: Run) -> Predictions:
    """Predictions of the validation part, or of those of all folds."""
    names = run.metrics().get("folds", [])
    folders = [run.path / name for name in names] or [run.path]
    return join([Predictions.load(folder / "predictions-validation.json") for folder in folders])


def _decide(dataset: str, arms: list[Arm], table: TableSettings, rule: DecisionSettings, cost: Cost) -> DatasetDecision:
    _require_alike(arms)
    by_name: dict[str, list[Trained]] = {}
    for arm in arms:
        by_name.setdefault(arm.name, []).append(arm.trained)
    networks = _networks(arms, table)
    shares = {
        other: cost(networks[rule.arm], networks[other])
        for other in rule.against
        if rule.arm in networks and other in networks
    }
    settings = arms[0].settings
    start = settings["initial"]["encoder_weights"]
    facts = {
        "crop_px": settings["network"]["crop_px"],
        "epochs": settings["loop"]["epochs"],
        "precision": settings["loop"]["precision"],
        "start": Path(start).name if start else settings["network"]["pretrained"],
        "device": " and ".join(sorted({arm.device for arm in arms})),
    }
    seen = seen_by_start(Path(start), arms[0].trained.test[0].names) if start else 0
    count = len(arms[0].trained.test[0].names)
    cautions = (f"the start was trained on {seen} of the {count} test images",) if seen else ()
    return DatasetDecision(dataset, decide(by_name, rule, shares), facts, cautions)


def _require_alike(arms: list[Arm]) -> None:
    """Raise ConfigError where two rows differ in a setting that makes no arm."""
    first, *others = arms
    expected = _flat(first.settings)
    for arm in others:
        own = _flat(arm.settings)
        for key in sorted(expected.keys() | own.keys()):
            if expected.get(key) != own.get(key):
                raise ConfigError(
                    f"rows {first.trained.row} and {arm.trained.row} differ in {key} (found {expected.get(key)} and "
                    f"{own.get(key)}); expected arms that differ in {', '.join(OF_AN_ARM)} only"
                )


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Dotted keys to values, without those that arms may differ in or that decide nothing."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        dotted = f"{above}{key}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{dotted}.")
        elif dotted not in (*OF_AN_ARM, *NOT_DECISIVE):
            flat[dotted] = value
    return flat


def _networks(arms: list[Arm], table: TableSettings) -> dict[str, FusedSettings]:
    """Return each arm's whole network: behind the lungs of the table, or of the model that ships."""
    lungs = {stage: lungs_document(table, stage).get("network", {}) for stage in ("segment", "align")}
    segmentation = SegmentationSettings.model_validate(lungs["segment"])
    alignment = AlignmentSettings.model_validate(lungs["align"])
    return {
        arm.name: FusedSettings(
            segmentation=segmentation,
            alignment=alignment,
            severity=SeveritySettings.model_validate(arm.settings["network"]),
        )
        for arm in arms
    }


def _measured_cost(arms: list[Arm]) -> Cost:
    device = device_of(str(arms[0].settings["loop"]["accelerator"]))

    def cost(one: FusedSettings, other: FusedSettings) -> float:
        say(f"Timing the network with and without on {device.type}")
        return added_share(one, other, device)

    return cost


def seen_by_start(start: Path, names: tuple[str, ...]) -> int:
    """Count the images that a joint run, whose backbone the arms start from, was trained on.

    Args:
        start: Its folder; what is no joint run says of no image that it was trained on it.
        names: Of the images that are measured.
    """
    file = start / "metrics.json"
    if not file.is_file():
        return 0
    metrics = json.loads(file.read_text(encoding="utf-8"))
    trained = metrics.get("split", {}).get("sources", {})
    splits = [Split.load(start / "sources" / key / "splits.json") for key in trained]
    own = [split for split in splits if set(names) <= {name for part in split.parts.values() for name in part}]
    return max((len(set(names) & set(split.parts.get("train", ()))) for split in own), default=0)
