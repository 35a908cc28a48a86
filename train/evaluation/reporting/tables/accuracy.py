"""Table 1 of the paper: accuracy on the train, test and consensus parts, and the consensus MAE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lungsev.train.evaluation.measurement import Measurement
from lungsev.train.evaluation.measures import MEASURES
from lungsev.train.evaluation.reporting.cells import Cell, Table
from lungsev.train.evaluation.reporting.published import table_1
from lungsev.train.evaluation.reporting.run_report import RunReport

NOTE = (
    "Augmented train: as logged in the kept epoch while training, on augmented images in training mode, which is how "
    "the reference code measures it. Train: after training, on the images as they are. MAE (argmax) is the paper's. "
    "*Lee, Kim and Lee 2024 on BrixIA: train / test / consensus accuracy (consensus MAE by argmax), train measured "
    "while training; other data cannot be compared with it."
)


def accuracy_table(runs: Sequence[RunReport]) -> Table:
    """Runs of the Brixia scheme; the MAE is of the consensus part, or says which. Columns without a value go."""
    rows = []
    for run in runs:
        if run.predictions.scheme.name != "brixia":
            continue
        error_part = run.held_out[0]
        cells: tuple[Cell, ...] = (
            _while_training(run),
            *(run.measure("accuracy", part) if part in run.parts else "-" for part in ("train", "test", "consensus")),
            run.measure("mae", error_part),
            run.measure("mae", error_part, "median"),
        )
        rows.append((run.label, run.data, *cells, table_1(run)))
    columns = ("run", "data", "", "", "", "", "", "", "paper*")
    filled = [place for place, head in enumerate(columns) if head or any(row[place] != "-" for row in rows)]
    kept = tuple(tuple(row[place] for place in filled) for row in rows)
    return Table("table-1", "Table 1: Brixia", tuple(columns[place] for place in filled), kept, NOTE)


def _while_training(run: RunReport) -> Cell:
    """Accuracy of the kept epoch as it was logged; `-` where it was not, or each fold trained on other images."""
    logged = [
        training.history[training.kept].get("train/accuracy") for training in run.trainings if training.kept is not None
    ]
    values = [value for value in logged if value is not None]
    if not values or len(values) < len(run.trainings) or "train" not in run.parts:
        return "-"
    entry, images = MEASURES["accuracy"], run.parts["train"][0]
    seeds = len(run.parts["train"])
    by_seed = np.array(values).reshape(seeds, -1).mean(axis=1) if len(values) % seeds == 0 else np.array(values)
    return Measurement(
        measure="accuracy",
        value=float(by_seed.mean()),
        unit=entry.unit,
        part="augmented train",
        decision="argmax",
        images=len(images.names),
        patients=len(set(images.patients)),
        interval=None,
        seeds=seeds,
        sd=float(by_seed.std(ddof=1)) if seeds > 1 else None,
        title=entry.title,
        digits=entry.digits,
    )
