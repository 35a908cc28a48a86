"""The report's tables. Accuracy is of the most likely grade, errors and kappa of the distribution's median."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungsev.grading import total_interval
from lungsev.train.evaluation import metrics
from lungsev.train.evaluation.predictions import Predictions, second_reader
from lungsev.train.evaluation.reporting.load import RunReport, baseline_of

RESAMPLES = 1000
ALL_PAIRS = 4  # runs up to which every pair is tested
MIN_GROUP = 5  # images below which a group's numbers are noise and are not shown

# Lee, Kim and Lee, MICCAI 2024, Table 1: train, test, consensus accuracy and consensus MAE.
PAPER_TABLE_1: dict[tuple[str, bool], str] = {
    ("resnet18", False): "58.9 / 56.9 / 63.0 (0.39)",
    ("resnet18", True): "58.5 / 58.7 / 65.7 (0.37)",
    ("resnet34", False): "61.4 / 58.7 / 63.0 (0.40)",
    ("resnet34", True): "61.0 / 58.5 / 67.1 (0.35)",
    ("resnet50", False): "52.1 / 53.3 / 56.4 (0.52)",
    ("resnet50", True): "51.5 / 49.1 / 55.0 (0.55)",
}
PAPER_BSNET = "- / - / 57.1 (0.42)"
PAPER_CXR_CLIP = "95.1 / 51.3 / 56.2 (0.50)"
# Table 2: test accuracy on Inha ICU.
PAPER_TABLE_2: dict[tuple[str, str], str] = {
    ("resnet18", "scratch"): "27.0",
    ("resnet18", "fine-tuned"): "45.3",
    ("resnet18", "linear probe"): "51.4",
    ("resnet34", "scratch"): "32.9",
    ("resnet34", "fine-tuned"): "52.8",
    ("resnet34", "linear probe"): "51.2",
    ("resnet50", "scratch"): "29.7",
    ("resnet50", "fine-tuned"): "36.4",
    ("resnet50", "linear probe"): "29.7",
}


@dataclass(frozen=True)
class Table:
    """Rows of text; `note` is one sentence below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [f"### {self.title}", "", f"| {' | '.join(self.columns)} |", "|" + "---|" * len(self.columns)]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join([*lines, "", self.note]) + "\n"


def all_tables(runs: Sequence[RunReport]) -> list[Table]:
    """Every table that has rows."""
    tables = [
        runs_table(runs),
        accuracy_table([run for run in runs if run.predictions.scheme.name == "brixia"]),
        portability_table([run for run in runs if run.predictions.scheme.name != "brixia"]),
        agreement_table(runs),
        paired_table(runs),
        intervals_table(runs),
        group_table(runs, "view position"),
        group_table(runs, "finding"),
    ]
    return [table for table in tables if table.rows]


def runs_table(runs: Sequence[RunReport]) -> Table:
    """What was trained on what, and how the images were split."""
    rows = []
    for run in runs:
        split = run.metrics.get("split", {})
        sha = split.get("sha256", "")
        sha = "per fold" if isinstance(sha, list) else str(sha)[:12]
        shared = split.get("shared_patients", 0)
        counts = ", ".join(f"{part} {len(p.names)}" for part, p in run.parts.items())
        protocol = f"{split.get('protocol', '-')}{f' ({shared} patients leak)' if shared else ''}"
        data = ", ".join(run.metrics.get("data", []))
        rows.append((run.label, data, run.predictions.scheme.name, protocol, sha or "-", counts, run.path.name))
    return Table("Runs", ("run", "data", "scheme", "split", "split hash", "images", "folder"), tuple(rows))


def accuracy_table(runs: Sequence[RunReport]) -> Table:
    """The paper's Table 1: accuracy in percent per part, with 95 % bootstrap intervals over images."""
    rows = []
    for run in runs:
        cells = [_accuracy(run.parts.get(part)) for part in ("train", "test", "consensus")]
        rows.append((run.label, *cells, _mae(run.parts.get("consensus") or run.parts.get("test")), _paper_1(run)))
    return Table(
        "Table 1: Brixia",
        ("row", "train accuracy", "test accuracy", "consensus accuracy", "MAE, consensus or else test", "paper*"),
        tuple(rows),
        "Percent of regions, with 95 % bootstrap intervals over images. *Lee et al. 2024 on BrixIA: train / test / "
        "consensus (consensus MAE); other data cannot be compared with it.",
    )


def portability_table(runs: Sequence[RunReport]) -> Table:
    """The paper's Table 2: another scheme, from scratch, fine-tuned or by a linear probe."""
    rows = [
        (
            run.backbone or run.label,
            run.predictions.scheme.name,
            run.start,
            _accuracy(run.parts.get("test")),
            _mae(run.parts.get("test")),
            PAPER_TABLE_2.get((run.backbone.split(".")[0], run.start), "-")
            if run.predictions.scheme.name == "inha"
            else "-",
        )
        for run in runs
    ]
    columns = ("backbone", "scheme", "start", "test accuracy", "test MAE", "paper*")
    return Table(
        "Table 2: portability", columns, tuple(rows), "*Lee et al. 2024 on the private Inha ICU images, test accuracy."
    )


def agreement_table(runs: Sequence[RunReport]) -> Table:
    """Every measure on the measured part, the second reader beside the models."""
    rows = []
    readers_done = set()
    for run in runs:
        predictions = run.predictions
        found = metrics.severity_metrics(predictions.reference, predictions.grades("median"), predictions.scheme.grades)
        likely = metrics.severity_metrics(predictions.reference, predictions.grades(), predictions.scheme.grades)
        ece = metrics.expected_calibration_error(predictions.probabilities, predictions.reference_index)
        rows.append(
            (
                run.label,
                f"{run.measured} ({found.images})",
                f"{100 * likely.accuracy:.1f}",
                *_measures(found),
                f"{ece:.3f}",
            )
        )
        second = second_reader(predictions)
        key = (predictions.scheme.name, predictions.names)
        if second is not None and key not in readers_done:
            readers_done.add(key)
            readers = list(predictions.readings)
            label = f"reader {readers[1]} against {readers[0]}"
            rows.append(
                (label, f"{run.measured} ({second.images})", f"{100 * second.accuracy:.1f}", *_measures(second), "-")
            )
    columns = (
        "who",
        "part (images)",
        "accuracy",
        "MAE",
        "within one",
        "QWK",
        "total MAE",
        "total bias",
        "total r",
        "ECE",
    )
    return Table("Agreement with the reader", columns, tuple(rows), "ECE: expected calibration error of the grades.")


def paired_table(runs: Sequence[RunReport]) -> Table:
    """Pairs of runs on the images both measured, tested by paired bootstrap over images."""
    rows = []
    for first, second in _pairs(runs):
        for part in ("test", "consensus", "validation"):
            a, b = _common(first.parts.get(part), second.parts.get(part))
            if a is None or b is None or (part == "validation" and first.measured != part):
                continue
            accuracy = metrics.paired_bootstrap(metrics.accuracy, a.reference, a.grades(), b.grades(), RESAMPLES)
            mae = metrics.paired_bootstrap(
                metrics.mean_absolute_error, a.reference, a.grades("median"), b.grades("median"), RESAMPLES
            )
            rows.append(
                (
                    f"{second.label} minus {first.label}",
                    f"{part} ({len(a.names)})",
                    f"{100 * accuracy.difference:+.1f} [{100 * accuracy.low:+.1f}, {100 * accuracy.high:+.1f}]",
                    f"{accuracy.p_value:.3f}",
                    f"{mae.difference:+.3f} [{mae.low:+.3f}, {mae.high:+.3f}]",
                    f"{mae.p_value:.3f}",
                )
            )
    columns = ("difference", "part (images)", "accuracy, points", "p", "MAE", "p")
    note = (
        f"Bootstrap over images; p-values are not corrected for their number. Of more than {ALL_PAIRS} runs, each is "
    )
    note += "compared with the first, and with its twin by spatial normalisation alone or from scratch."
    return Table("Paired tests", columns, tuple(rows), note)


def _pairs(runs: Sequence[RunReport]) -> list[tuple[RunReport, RunReport]]:
    every = [(first, second) for index, first in enumerate(runs) for second in runs[index + 1 :]]
    if len(runs) <= ALL_PAIRS:
        return every
    return [(a, b) for a, b in every if a is runs[0] or _is_base(a, b, runs) or _is_base(b, a, runs)]


def _is_base(base: RunReport, run: RunReport, runs: Sequence[RunReport]) -> bool:
    """Spatial normalisation alone for the encoder, or the start from scratch for what Brixia taught first."""
    if baseline_of(run, runs) is base:
        return True
    alike = (base.recipe[:-1], base.position_aware) == (run.recipe[:-1], run.position_aware)
    return alike and base.start == "scratch" != run.start


def intervals_table(runs: Sequence[RunReport]) -> Table:
    """Whether the total's interval holds as often as it says."""
    rows = []
    for run in runs:
        predictions, calibration = run.predictions, run.calibration
        ends = np.array([total_interval(predictions.scheme, p, calibration) for p in predictions.probabilities])
        totals = predictions.reference.sum(axis=1)
        covered = metrics.bootstrap_interval(
            metrics.interval_coverage, totals, ends[:, 0], ends[:, 1], resamples=RESAMPLES
        )
        margin = "not calibrated" if calibration.interval_margin is None else f"{calibration.interval_margin:+.2f}"
        width = f"{(ends[:, 1] - ends[:, 0]).mean():.1f}"
        rows.append((run.label, f"{100 * calibration.coverage:.0f} %", _percent(covered), width, margin))
    columns = ("run", "stated coverage", "found coverage", "mean width, points", "conformal margin")
    return Table("Interval of the total", columns, tuple(rows))


def group_table(runs: Sequence[RunReport], kind: str) -> Table:
    """Compare accuracy and MAE per view position or per finding."""
    rows = []
    for run in runs:
        predictions = run.predictions
        words = predictions.view_positions if kind == "view position" else predictions.findings
        groups = _grouped(words)
        for group, members in groups.items() if len(set(words) - {""}) > 1 else ():
            chosen = predictions.select(members)
            rows.append((run.label, group, str(len(members)), _accuracy(chosen), _mae(chosen)))
    note = f"Groups of fewer than {MIN_GROUP} images are put together, and left out where they are too few even so."
    return Table(f"By {kind}", ("run", kind, "images", "accuracy", "MAE"), tuple(rows), note)


def _grouped(words: Sequence[str]) -> dict[str, list[int]]:
    """Rows by word, small groups together under `others: ...`; rows without a word in none."""
    by_word = {group: [row for row, word in enumerate(words) if word == group] for group in sorted({*words} - {""})}
    small = [group for group, rows in by_word.items() if len(rows) < MIN_GROUP]
    together = sorted(row for group in small for row in by_word[group])
    groups = {group: rows for group, rows in by_word.items() if group not in small}
    return {**groups, f"others: {'; '.join(small)}": together} if len(together) >= MIN_GROUP else groups


def _measures(found: metrics.SeverityMetrics) -> tuple[str, ...]:
    numbers = (found.mae, found.within_one, found.kappa, found.total_mae, found.total_bias, found.total_correlation)
    return tuple("-" if np.isnan(number) else f"{number:.3f}" for number in numbers)


def _accuracy(predictions: Predictions | None) -> str:
    if predictions is None:
        return "-"
    return _percent(_interval(metrics.accuracy, predictions, "argmax"))


def _mae(predictions: Predictions | None) -> str:
    if predictions is None:
        return "-"
    found = _interval(metrics.mean_absolute_error, predictions, "median")
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _interval(statistic: Callable[..., float], predictions: Predictions, decision: str) -> metrics.Interval:
    return metrics.bootstrap_interval(
        statistic, predictions.reference, predictions.grades(decision), resamples=RESAMPLES
    )


def _percent(found: metrics.Interval) -> str:
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _paper_1(run: RunReport) -> str:
    network = run.settings.get("network", {})
    if run.settings.get("title", "").startswith("CXR-CLIP"):
        return PAPER_CXR_CLIP
    if run.settings.get("title") or network.get("mask_attention"):
        return "-"
    if network.get("neck") == "bsnet":
        return PAPER_BSNET if run.settings.get("ensemble", 1) > 1 else "-"
    return PAPER_TABLE_1.get((run.backbone.split(".")[0], bool(run.position_aware)), "-")


def _common(a: Predictions | None, b: Predictions | None) -> tuple[Any, Any]:
    """The images both graded, in one order; (None, None) when there are too few or the schemes differ."""
    if a is None or b is None or a.scheme.name != b.scheme.name:
        return None, None
    rows_b = {name: row for row, name in enumerate(b.names)}
    pairs = [(row, rows_b[name]) for row, name in enumerate(a.names) if name in rows_b]
    if len(pairs) < MIN_GROUP:
        return None, None
    return a.select([pair[0] for pair in pairs]), b.select([pair[1] for pair in pairs])
