"""What was trained on what, how the images were split, and by what each run was made."""

from __future__ import annotations

from collections.abc import Sequence

from lungsev.train.evaluation.reporting.cells import Table, counted
from lungsev.train.evaluation.reporting.run_report import MEASURED, RunReport

FIRST = ("command", "commit", "started_at")  # columns of their own; the rest of `made_by` shares one


def runs_table(runs: Sequence[RunReport]) -> Table:
    """Return data, scheme and split of each run."""
    rows = []
    for run in runs:
        split = run.metrics.get("split", {})
        sha, shared = split.get("sha256", ""), split.get("shared_patients", 0)
        sha = "per fold" if isinstance(sha, list) else str(sha)[:12]
        parts = "; ".join(
            f"{part}: {counted(len(each[0].names), 'image')} of {counted(len(set(each[0].patients)), 'patient')}"
            for part, each in ((part, run.parts[part]) for part in reversed(MEASURED) if part in run.parts)
        )
        protocol = f"{split.get('protocol', '-')}{f' ({shared} patients leak)' if shared else ''}"
        rows.append((run.label, run.data, run.predictions.scheme.name, protocol, sha or "-", parts, _kept(run)))
    columns = ("run", "data", "scheme", "split", "split hash", "parts", "kept epoch")
    return Table("runs", "Runs", columns, tuple(rows))


def provenance_table(runs: Sequence[RunReport]) -> Table:
    """Return command, commit, versions and device, as each run wrote them down."""
    rows = []
    for run in runs:
        first = tuple(str(run.made_by.get(key, "-")) for key in FIRST)
        others = "; ".join(
            f"{key} {value}" for key, value in run.made_by.items() if key not in FIRST and value is not None
        )
        seed = run.settings.get("loop", {}).get("seed", "-")
        seeds = ", ".join(run.metrics.get("seeds", [])) or str(seed)
        rows.append((run.label, run.path.name, *first, seeds, others or "-"))
    columns = ("run", "folder", "command", "commit", "started", "seed", "versions and device")
    return Table("provenance", "How each run was made", columns, tuple(rows))


def _kept(run: RunReport) -> str:
    """Return e.g. `12 of 30, best validation loss`, of every training of the run."""
    found = [
        f"{training.kept + 1} of {len(training.history)}, "
        + ("best validation loss" if training.keep == "best" else "last")
        for training in run.trainings
        if training.kept is not None
    ]
    return "; ".join(dict.fromkeys(found)) or "-"
