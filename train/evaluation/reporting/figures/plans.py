"""Which figures a report has, with captions that say part, decision and number of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from lungsev.train.evaluation.measures import BINS
from lungsev.train.evaluation.reporting.figures.confusion import confusion
from lungsev.train.evaluation.reporting.figures.curves import learning_curves
from lungsev.train.evaluation.reporting.figures.embeddings import embeddings
from lungsev.train.evaluation.reporting.figures.regions import mae_by_region
from lungsev.train.evaluation.reporting.figures.reliability import MIN_REGIONS, reliability
from lungsev.train.evaluation.reporting.figures.samples import samples
from lungsev.train.evaluation.reporting.figures.style import MAX_RUNS, sources
from lungsev.train.evaluation.reporting.figures.totals import totals
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.resampling import COVERAGE

INTERVAL = f"{100 * COVERAGE:.0f} % intervals, patients resampled"


@dataclass(frozen=True)
class Plan:
    """A figure to draw.

    Attributes:
        name: Of its files.
        caption: Without the title.
        draw: Returns None of nothing to show.
        radiographs: Whether it shows images of patients.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], Figure | None]
    radiographs: bool = False


def all_plans(runs: Sequence[RunReport]) -> list[Plan]:
    """Return the figures over all runs of each scheme, then those of each run."""
    plans: list[Plan] = []
    for scheme in dict.fromkeys(run.predictions.scheme.name for run in runs):
        same = [run for run in runs if run.predictions.scheme.name == scheme]
        for page, start in enumerate(range(0, len(same), MAX_RUNS), start=1):
            few = same[start : start + MAX_RUNS]
            plans += _over_runs(few, scheme if len(same) <= MAX_RUNS else f"{scheme}-{page}")
    for number, run in enumerate(runs, start=1):
        plans += _of_run(run, f"run{number}")
    return plans


def _over_runs(runs: list[RunReport], prefix: str) -> list[Plan]:
    scheme = runs[0].predictions.scheme.title
    error = sources(runs, [run.measure("mae") for run in runs])
    stating = [run for run in runs if run.states_probabilities]
    calibration = sources(stating, [run.measure("ece") for run in stating])
    return [
        Plan(
            f"{prefix}-mae-by-region",
            f"MAE per region, {scheme}",
            f"Mean absolute error per region, by the most likely grade (argmax), in grades. {_sentence(error)} "
            f"Lines on bars: {INTERVAL}. Numbers above: change against spatial normalisation (SN) alone of the same "
            "backbone on the same images, where it was run; green is better. Black line: a second reader against the "
            "first. (Fig. 3a of the paper.)",
            partial(mae_by_region, runs),
        ),
        Plan(
            f"{prefix}-confusion",
            f"Confusion of grades, {scheme}",
            f"Reader's grade and the most likely grade (argmax): percent of the row, and number of "
            "regions, of several seeds together. "
            f"{_sentence(error)}",
            partial(confusion, runs),
        ),
        Plan(
            f"{prefix}-reliability",
            f"Reliability, {scheme}",
            "Probability of the most likely grade and how often it is the reader's; on the dashed line probabilities "
            f"mean what they say. {_sentence(calibration)} {BINS} equal bins, the same as of the ECE; larger points "
            f"hold more regions, and those of fewer than {MIN_REGIONS} are not drawn but count in the ECE. "
            "Several seeds are pooled for the curve; their ECE is the mean.",
            partial(reliability, runs),
        ),
        Plan(
            f"{prefix}-learning-curves",
            f"Learning curves, {scheme}",
            "Solid: validation part, images as they are, after each epoch. Dashed: train part, as "
            "logged during the epoch, of augmented images and with dropout. Rings: the epoch whose weights "
            "were kept. Rows of several trainings (seeds, folds, ensembles) are drawn as their mean.",
            partial(learning_curves, runs),
        ),
    ]


def _of_run(run: RunReport, prefix: str) -> list[Plan]:
    agreement = sources([run], [run.measure("total_bias")])
    return [
        Plan(
            f"{prefix}-totals",
            f"Totals, {run.label}",
            f"By the most likely grades (argmax), in points. {_sentence(agreement)} Above: total "
            "of model and reader (points are moved a little, so that equal ones are seen). Below: Bland and Altman's "
            "plot; solid line: bias, dashed lines: limits of agreement, bias -/+ 1.96 standard deviations of the "
            f"differences, shaded: {INTERVAL}. Where two readers graded the same images, the second beside the first.",
            partial(totals, run),
        ),
        Plan(
            f"{prefix}-samples",
            f"Images and severity maps, {run.label}",
            f"{_shown_images(run)} from the whole range of totals, and the worst graded one. Green zones "
            "agree with the reader; orange ones do not, the reader's grade in brackets. Below: expected grade by "
            "place, inside the lungs, by one scale for all images. (Fig. 3b of the paper.)",
            partial(samples, run),
            radiographs=True,
        ),
        Plan(
            f"{prefix}-embeddings",
            f"Embeddings of regions, {run.label}",
            f"t-SNE of the embeddings of all regions, {_shown_images(run, every=True)}. Distances between "
            "far groups mean nothing. (Fig. 4 of the paper.)",
            partial(embeddings, run),
        ),
    ]


def _shown_images(run: RunReport, every: bool = False) -> str:
    """Say which images of which part and training the samples are, e.g. `8 of 43 images of the consensus part`."""
    if run.samples is None:
        return ""
    predictions, images = run.samples
    count = len(predictions.names)
    number = f"{count} images" if every else f"{len(images.sample_rows)} of {count} images"
    one = ", first training" if len(run.trainings) > 1 else ""
    return f"{number} of the {run.samples_part} part{one}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
