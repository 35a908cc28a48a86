"""The box that says how a report's numbers were made."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

import lungsev
from lungsev.train.evaluation.measurement import FEW_PATIENTS
from lungsev.train.evaluation.measures import BINS
from lungsev.train.evaluation.reporting.cells import counted
from lungsev.train.evaluation.reporting.comparisons import Comparisons
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.resampling import COVERAGE, RESAMPLES
from lungsev.train.provenance import source_state

PARTS = {
    "consensus": "images that several readers graded together, by protocol never trained on",
    "test": "images held back from training and from the choice of the epoch",
    "validation": "images that chose the epoch and on which temperature and interval were fitted, where they were",
    "train": "images that were trained on",
}


def method_of(runs: Sequence[RunReport], comparisons: Comparisons) -> list[tuple[str, str]]:
    """Return term and sentence of everything that decides a number on the page."""
    parts = [part for part in PARTS if any(part in run.parts for run in runs)]
    main = "; ".join(
        f"{part}: {', '.join(run.label for run in runs if run.measured == part)}"
        for part in dict.fromkeys(run.measured for run in runs)
    )
    return [
        ("Parts", "; ".join(f"{part}: {PARTS[part]}" for part in parts) + "."),
        ("Part of the figures", f"The consensus where a run has one, else the test part. Here {main}."),
        (
            "Decision",
            "Argmax: the most likely grade, as in the paper; every value is by it unless its head says otherwise. "
            "Median: of the grade's distribution. Expected: its mean, which need not be a grade.",
        ),
        (
            "Reference",
            "The first reader who read the image, in the dataset's order of readers; unread regions count in nothing.",
        ),
        (
            "Brackets",
            f"{100 * COVERAGE:.0f} % percentile bootstrap of {RESAMPLES} resamples of patients, all images of a "
            "patient together, since they are not independent.",
        ),
        (
            "Paired tests",
            f"{counted(len(comparisons), 'test')} on this page, two-sided bootstrap of patients, Holm's correction for "
            "all of them.",
        ),
        ("Seeds", _seeds(runs)),
        ("Calibration", _calibration(runs)),
        (
            "Calibration error",
            f"ECE of the most likely grade in {BINS} equal bins of its probability, in every table and figure.",
        ),
        (
            "Marks",
            f"A value with a mark says little: it is of fewer than {FEW_PATIENTS} patients, its interval is too wide, "
            "or it was fitted on the images it is shown for. The mark is explained below its table.",
        ),
        ("This page", _made_by()),
    ]


def _seeds(runs: Sequence[RunReport]) -> str:
    several = [run for run in runs if len(run.parts[run.measured]) > 1]
    if not several:
        return "One training per row: how much another seed would change a value is not known."
    names = ", ".join(f"{run.label} ({len(run.parts[run.measured])})" for run in several)
    single = len(runs) - len(several)
    others = f" The other {counted(single, 'row')}: one training each." if single else ""
    return (
        f"Trained with several seeds: {names}. Such a value is the mean over seeds, ± the standard deviation between "
        f"them; brackets are of the mean, over patients.{others}"
    )


def _calibration(runs: Sequence[RunReport]) -> str:
    fitted: dict[str, list[str]] = {}
    for run in runs:
        fitted.setdefault(run.predictions.fitted_on or "nothing", []).append(run.label)
    listed = "; ".join(f"{', '.join(labels)}: {part}" for part, labels in fitted.items())
    return f"Temperature and interval were fitted on: {listed}."


def _made_by() -> str:
    """Command, versions and time of the report itself."""
    commit, is_changed = source_state(Path(lungsev.__file__).resolve().parent.parent)
    source = f"commit {commit}{' with uncommitted changes' if is_changed else ''}"
    command = " ".join(["lungsev-train", *(Path(word).name if word.startswith("/") else word for word in sys.argv[1:])])
    made = datetime.now().astimezone().isoformat(timespec="minutes")
    versions = f"lungsev {lungsev.__version__}, {source}, Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{versions}; {made}; {command}. Those of each run are in the last table."
