"""`lungsev-train change`: measures a bundle's repeatability on graded courses and writes it into the bundle.

Every image is scored by the bundle, as at the bedside, or its predictions are taken from files: those of a run's folds,
where the bundle was trained on these images. The figures are nested: each patient's changes are judged with what was
chosen and fitted on other patients. What is written into the bundle is fitted to all of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lungsev
from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.bundle.rewriting import rewrite_bundle
from lungsev.change import Repeatability, model_severity
from lungsev.errors import BundleError, DatasetError
from lungsev.report import SeverityReport
from lungsev.report_change import source_of
from lungsev.scores.severity import compared_zones
from lungsev.train.console import say, track, warn
from lungsev.train.data.datasets import GradedDataset, GradedImage, load_graded
from lungsev.train.data.day_offsets import day_of
from lungsev.train.data.splits import Split
from lungsev.train.evaluation.change.courses import CourseImage, courses_of
from lungsev.train.evaluation.change.figures import figures
from lungsev.train.evaluation.change.lines import lines_of
from lungsev.train.evaluation.change.nested import fit_change, judge_nested
from lungsev.train.evaluation.change.stored import load_stored, stored_images

_SECOND_TRUTH = {"ralo": "ralo_opacity"}  # scheme -> one whose grades are added for a second way to count points
_MAIN = "brixia"


def measure_change(
    data: Path,
    bundle: Path | None = None,
    scheme: str | None = None,
    threads: int | None = None,
    predictions: Sequence[Path] = (),
    split: Path | None = None,
) -> dict[str, Any]:
    """Measure a bundle's repeatability in one scheme, write it into the bundle and return all figures.

    Args:
        data: Folder of a dataset of graded courses with times or days, e.g. RALO.
        bundle: Folder or .zip; its manifest, card and checksums are replaced, its graphs are not touched. None: the
            predictions are measured, and nothing is written.
        scheme: Whose total is shown; None is Brixia where it is scored, else the first.
        threads: CPU threads of the bundle's network; None is all cores.
        predictions: Files of the dataset's images, any number of schemes and folds; none: the bundle scores them.
        split: A run's splits.json of this dataset: only its test part is measured, whose patients did not train.

    Raises:
        DatasetError: The folder has no courses of graded images, or the scheme is not scored.
        BundleError: The bundle is damaged or cannot be written.
        LungsevError: A file of predictions cannot be read.
    """
    opened = _opened(bundle) if bundle is not None else None
    stored = load_stored(predictions) if predictions else {}
    shown, scored = _shown_scheme(stored, opened, scheme)
    dataset = load_graded(data)
    for problem in dataset.problems:
        warn(problem)
    dated, truths = _dated(dataset, split), _truths(dataset)
    if stored:
        decision = opened.manifest.scheme_calibration(shown).decision if opened else "argmax"
        kept = {name: predicted for name, predicted in stored.items() if name in scored}
        images = stored_images(dated, truths, kept, shown, decision)
    else:
        assert bundle is not None
        images = _scored_images(dated, truths, bundle, shown, threads)
    say(f"{len(images)} images scored; {len(dated) - len(images)} left out (no total, or the same picture twice)")
    found = _measured(images, dataset, shown)
    for line in lines_of(found):
        say(line)
    if opened is None or bundle is None:
        return {"scheme": shown, **found}
    parameters = Repeatability(
        **{**found["parameters"], "evidence": tuple(map(tuple, found["parameters"]["evidence"]))}
    )
    written = _write(opened, bundle, shown, parameters, found)
    say(f"Done: {bundle} says how repeatable it is; checksum {written.sha256[:8]}")
    return {"bundle": str(bundle), "scheme": shown, **found}


def _shown_scheme(stored: Collection[str], opened: Bundle | None, scheme: str | None) -> tuple[str, list[str]]:
    """Return the scheme whose total is shown, and those that may be evidence: of the bundle, if there is one."""
    own = [known.name for known in opened.manifest.schemes] if opened else [*stored]
    names = [name for name in stored or own if name in own]
    if not own:
        raise DatasetError("nothing to measure: expected a bundle (--bundle) or files of predictions (--predictions)")
    shown = scheme or (_MAIN if _MAIN in names else (names or own)[0])
    if shown not in own:
        who = "the bundle does not score" if opened else "the predictions are not of scheme"
        raise DatasetError(f"{who} {shown}; {'it scores' if opened else 'they are of'} {', '.join(own)}")
    if shown not in names:
        raise DatasetError(f"the predictions are not of scheme {shown}; they are of {', '.join(stored)}")
    return shown, names


def _opened(bundle: Path) -> Bundle:
    if not bundle.exists():  # a name is of a bundle in a zoo, whose index holds its checksum
        raise BundleError(f"there is no bundle at {bundle}, which would be rewritten; expected its folder or .zip")
    return read_bundle(bundle)


def _measured(images: Sequence[CourseImage], dataset: GradedDataset, shown: str) -> dict[str, Any]:
    """Everything that is measured, in plain JSON types: parameters of all patients, figures of nested folds."""
    courses, truth = courses_of(images), dataset.scheme.name
    fitted = fit_change(courses, truth, shown)
    judged, folds = judge_nested(courses, truth, shown)
    return {
        "data": dataset.name,
        "parameters": asdict(fitted.repeatability),
        "points_per_grade": round(fitted.process.points_per_grade, 4),
        "reader_variance": round(fitted.process.reader_variance, 4),
        "compared": fitted.compared,
        "fit": {"patients": len(courses), "images": sum(map(len, courses)), "pairs": fitted.process.pairs},
        "folds": folds,
        "test": figures(judged, dataset.scheme.total_max / 4),
    }


def _dated(dataset: GradedDataset, split: Path | None) -> list[GradedImage]:
    """Images whose day is known; of the split's test part, if there is a split."""
    dated = [image for image in dataset.images if day_of(image) is not None]
    if not dated:
        raise DatasetError(
            f"{dataset.root} has no image with date and time or with a day, which a course needs; give a dataset that "
            "has them (RALO)"
        )
    if split is None:
        return dated
    tested = set(Split.load(split).parts.get("test", ()))
    held_out = [image for image in dated if image.name in tested]
    if not held_out:
        raise DatasetError(
            f"the test part of {split} names no image of {dataset.root}; expected the splits.json of a run on this "
            "dataset (of a joint run: sources/NAME/splits.json)"
        )
    say(f"Measured on the test part of {split.name}: {len(held_out)} of {len(dated)} images")
    return held_out


def _scored_images(
    dated: Sequence[GradedImage],
    truths: dict[str, dict[str, tuple[float, ...]]],
    bundle: Path,
    shown: str,
    threads: int | None,
) -> list[CourseImage]:
    """Score every image; those without a score of all regions, and pictures that occur twice, are left out."""
    reports: list[SeverityReport] = []
    with lungsev.load(bundle, threads=threads, allow_unsigned=True) as model:
        reports += [model.score(image.path) for image in track(dated, "Scoring", len(dated))]
    pictures = Counter(report.image.pixel_sha256 for report in reports)
    images = []
    for image, report in zip(dated, reports, strict=True):
        day = day_of(image)
        if report.status != "scored" or pictures[report.image.pixel_sha256] > 1 or day is None:
            continue
        totals = {name: model_severity(score, source_of(report)) for name, score in report.scores.items()}
        if any(compared_zones(total) is not None for total in totals.values()):
            continue  # a sum of some regions is no total
        images.append(
            CourseImage(
                image.name,
                image.patient,
                day,
                totals[shown],
                {name: (total.mean, total.variance) for name, total in totals.items()},
                tuple(zone for _, zone in totals[shown].parts),
                {truth: known.get(image.name, ()) for truth, known in truths.items()},
            )
        )
    return images


def _truths(dataset: GradedDataset) -> dict[str, dict[str, tuple[float, ...]]]:
    """Each reader's total by truth and image; images that not all readers graded are missing."""
    truths = {dataset.scheme.name: _totals(dataset)}
    if second := _SECOND_TRUTH.get(dataset.scheme.name):
        more = _totals(load_graded(dataset.root, scheme=second))
        truths[f"{dataset.scheme.name} + {second}"] = {
            name: tuple(a + b for a, b in zip(totals, more[name], strict=True))
            for name, totals in truths[dataset.scheme.name].items()
            if name in more
        }
    return truths


def _totals(dataset: GradedDataset) -> dict[str, tuple[float, ...]]:
    readers = dataset.readers
    return {
        image.name: tuple(sum(image.readings[reader]) for reader in readers)
        for image in dataset.images
        if all(reader in image.readings and not math.isnan(sum(image.readings[reader])) for reader in readers)
    }


def _write(opened: Bundle, target: Path, scheme: str, repeatability: Repeatability, found: dict[str, Any]) -> Bundle:
    manifest = opened.manifest
    calibration = manifest.scheme_calibration(scheme).model_copy(update={"change": repeatability})
    summary = {name: value for name, value in found.items() if name not in ("parameters", "folds")}
    measured = {**manifest.metrics.get("change", {}), scheme: summary}
    changed = manifest.model_copy(
        update={
            "calibration": {**manifest.calibration, scheme: calibration},
            "metrics": {**manifest.metrics, "change": measured},
        }
    )
    return rewrite_bundle(opened, target, changed)
