"""`lungsev-train change`: measures a bundle's repeatability on graded courses and writes it into the bundle.

Every image is scored by the bundle, as at the bedside. Half the patients are fitted on, and choose the probability from
which on a change is called; the figures are those of the other half.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import lungsev
from lungsev.bundle.archive import Bundle, read_bundle, write_bundle
from lungsev.bundle.card import write_card
from lungsev.bundle.contents import GRAPH_FILES, OPTIONAL_FILES
from lungsev.change import Repeatability
from lungsev.errors import BundleError, DatasetError
from lungsev.inference.parity import Parity
from lungsev.report import SeverityReport
from lungsev.report_change import standing_region_severities, standing_severity
from lungsev.train.console import say, track, warn
from lungsev.train.data.datasets import GradedDataset, load_graded
from lungsev.train.evaluation.change.courses import Course, CourseImage, consecutive_pairs, courses_of, is_fit_patient
from lungsev.train.evaluation.change.figures import choose_threshold, figures
from lungsev.train.evaluation.change.fit import fit_process, fit_regions

MARGIN = 0.5  # points: the smallest true change that counts, half of what a total can show
_SECOND_TRUTH = {"ralo": "ralo_opacity"}  # scheme -> one whose grades are added for a second way to count points


def measure_change(data: Path, bundle: Path, scheme: str | None = None, threads: int | None = None) -> dict[str, Any]:
    """Measure a bundle's repeatability in one scheme, write it into the bundle and return all figures.

    Args:
        data: Folder of a dataset of graded courses with times, e.g. RALO.
        bundle: Folder or .zip; its manifest, card and checksums are replaced, its graphs are not touched.
        scheme: Of the bundle; None is Brixia where it has it, else its first.
        threads: CPU threads of the bundle's network; None is all cores.

    Raises:
        DatasetError: The folder has no courses of graded images, or the bundle no such scheme.
        BundleError: The bundle is damaged or cannot be written.
    """
    if not bundle.exists():  # a name is of a bundle in a zoo, whose index holds its checksum
        raise BundleError(f"there is no bundle at {bundle}, which would be rewritten; expected its folder or .zip")
    opened = read_bundle(bundle)
    names = [known.name for known in opened.manifest.schemes]
    scheme = scheme or ("brixia" if "brixia" in names else names[0])
    if scheme not in names:
        raise DatasetError(f"the bundle does not score {scheme}; it scores {', '.join(names)}")
    dataset = load_graded(data)
    for problem in dataset.problems:
        warn(problem)
    courses = courses_of(_scored_images(dataset, bundle, scheme, threads))
    fit = [course for course in courses if is_fit_patient(course[0].patient)]
    test = [course for course in courses if not is_fit_patient(course[0].patient)]
    repeatability, process = _fit(fit, dataset.scheme.name)
    found = {
        "data": dataset.name,
        "parameters": asdict(repeatability),
        "points_per_grade": round(process["points_per_grade"], 4),
        "reader_variance": round(process["reader_variance"], 4),
        "fit": figures(fit, repeatability),
        "test": figures(test, repeatability),
    }
    for line in lines_of(found):
        say(line)
    written = _write(opened, bundle, scheme, repeatability, found)
    say(f"Done: {bundle} says how repeatable it is; checksum {written.sha256[:8]}")
    return {"bundle": str(bundle), "scheme": scheme, **found}


def lines_of(found: dict[str, Any]) -> Iterator[str]:
    """Yield the figures as a table of lines."""
    parameters, test = found["parameters"], found["test"]
    yield "Repeatability: " + ", ".join(f"{name} {value:.4g}" for name, value in parameters.items())
    yield f"Test part: {test['patients']} patients, {test['images']} images, {test['pairs']} consecutive pairs"
    for title, part in (("Called changed", "same_day_called"), ("Agreed change found", "agreed_found")):
        for name, row in test[part].items():
            if row["rate"] is not None:
                low, high = row["interval"]
                yield (
                    f"  {title}, {name}: {row['rate']:.1%} ({low:.1%} to {high:.1%}) of {row['pairs']} pairs "
                    f"of {row['patients']} patients"
                )
    for truth, rows in test["reliability"].items():
        yield f"  Probability against the readers' mean, {truth}: pairs, mean probability, same way, other way"
        for row in rows:
            yield (
                f"    {row['from']:.2f}-{row['to']:.2f}: {row['pairs']:4d}  {row['probability']:.2f}  "
                f"{row['same_way']:.2f}  {row['other_way']:.2f}"
            )
    yield "  Called from: one day, pair alone; one day, in its course; agreed change found"
    for row in test["trade_off"]:
        shares = (row[name] for name in ("same_day_pair_alone", "same_day_in_course", "agreed_found_every_two"))
        yield f"    {row['call_from']:.2f}: " + "  ".join("-" if share is None else f"{share:.1%}" for share in shares)


def _scored_images(dataset: GradedDataset, bundle: Path, scheme: str, threads: int | None) -> list[CourseImage]:
    """Score every dated image; those without a score or a time, and pictures that occur twice, are left out."""
    dated = [image for image in dataset.images if image.taken_at is not None]
    if not dated:
        raise DatasetError(
            f"{dataset.root} has no image with date and time, which a course needs; give a dataset that has them (RALO)"
        )
    truths = _truths(dataset)
    reports: list[SeverityReport] = []
    with lungsev.load(bundle, threads=threads) as model:
        reports += [model.score(image.path) for image in track(dated, "Scoring", len(dated))]
    pictures = Counter(report.image.pixel_sha256 for report in reports)
    images = []
    for image, report in zip(dated, reports, strict=True):
        if report.status != "scored" or pictures[report.image.pixel_sha256] > 1:
            continue
        assert image.taken_at is not None
        total, zones = standing_severity(report, scheme), standing_region_severities(report, scheme)
        readings = {truth: totals.get(image.name, ()) for truth, totals in truths.items()}
        images.append(CourseImage(image.name, image.patient, image.taken_at, total, tuple(zones.values()), readings))
    left_out = len(dataset.images) - len(images)
    say(f"{len(images)} images scored; {left_out} left out (no score, no time, or the same picture twice)")
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


def _fit(courses: list[Course], truth: str) -> tuple[Repeatability, dict[str, float]]:
    pairs = consecutive_pairs(courses)
    process = fit_process(pairs, truth)
    region_shared_error, region_process = fit_regions(pairs, process)
    values = {
        "shared_error": process.shared_error,
        "drift_per_day": process.drift_per_day,
        "step_share": process.step_share,
        "step_variance": process.step_variance,
        "region_shared_error": region_shared_error,
        "region_process": region_process,
        "margin": MARGIN,
    }
    rounded = {name: float(f"{value:.4g}") for name, value in values.items()}
    provisional = Repeatability(**rounded, call_from=0.99)
    return Repeatability(**rounded, call_from=choose_threshold(courses, provisional)), asdict(process)


def _write(opened: Bundle, target: Path, scheme: str, repeatability: Repeatability, found: dict[str, Any]) -> Bundle:
    manifest = opened.manifest
    calibration = manifest.scheme_calibration(scheme).model_copy(update={"change": repeatability})
    summary = {**found, "fit": {name: found["fit"][name] for name in ("patients", "images", "pairs")}}
    del summary["parameters"]  # they are the calibration's
    measured = {**manifest.metrics.get("change", {}), scheme: summary}
    changed = manifest.model_copy(
        update={
            "calibration": {**manifest.calibration, scheme: calibration},
            "metrics": {**manifest.metrics, "change": measured},
        }
    )
    graphs = {precision: opened.graph_bytes(precision) for precision in opened.precisions}
    extra = {
        name: opened.file_bytes(name)
        for name in set(OPTIONAL_FILES) - set(GRAPH_FILES.values())
        if opened.has_file(name)
    }
    return write_bundle(target, changed, graphs, write_card(changed, _parities(opened)), extra)


def _parities(bundle: Bundle) -> list[Parity]:
    """The comparisons that the bundle's graphs passed, for its card."""
    if not bundle.has_file("parity.json"):
        return []
    known = [field.name for field in fields(Parity)]
    return [
        Parity(**{name: row.get(name) for name in known})
        for row in json.loads(bundle.file_bytes("parity.json"))["comparisons"]
    ]
