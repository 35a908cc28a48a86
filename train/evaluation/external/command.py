"""`lungsev-train external`: measures a bundle on other people's images and writes the figures into its card.

Every image is scored as at the bedside; those that are refused are counted by reason. What the folder is decides what
is measured: grades of another scheme, an opacity class for each image, or outlines of opacity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lungsev
from lungsev.bundle.archive import read_bundle
from lungsev.bundle.rewriting import rewrite_bundle
from lungsev.errors import BundleError, DatasetError
from lungsev.report import SeverityReport
from lungsev.train.console import say, track
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.splits import Split
from lungsev.train.evaluation.external.truths import External, ExternalImage, load_external

NOT_SEEN = ("test", "consensus", "held_out")  # parts of a split on whose patients nothing was trained


@dataclass(frozen=True)
class ExternalOptions:
    """Which images count.

    Attributes:
        split: `splits.json` of the run that trained on this dataset: only its test part counts. None: all images.
        exclude_patients_of: Folder of graded images whose patients do not count, since they were trained on.
        threads: CPU threads of the bundle's network; None is all cores.
    """

    split: Path | None = None
    exclude_patients_of: Path | None = None
    threads: int | None = None


def measure_external(data: Path, bundle: Path, options: ExternalOptions = ExternalOptions()) -> dict[str, Any]:
    """Measure a bundle on a dataset, write the figures into its manifest and card, and return them.

    Args:
        data: Folder of graded images, of images with an RSNA class, or of outlines of opacity.
        bundle: Folder or .zip; its manifest, card and checksums are replaced, its graphs are not touched.
        options: Which images count.

    Raises:
        DatasetError: The folder has none of these, or no image is left to measure on.
        BundleError: The bundle is damaged or cannot be written.
    """
    if not bundle.exists():  # a name is of a bundle in a zoo, whose index holds its checksum
        raise BundleError(f"there is no bundle at {bundle}, which would be rewritten; expected its folder or .zip")
    opened = read_bundle(bundle)
    external = load_external(data)
    images = _counted(external, options)
    reports: list[SeverityReport] = []
    with lungsev.load(bundle, threads=options.threads, allow_unsigned=True) as model:
        reports += [model.score(image.path) for image in track(images, "Scoring", len(images))]
    found: dict[str, Any] = {
        "what": external.what,
        "part": _part(options),
        "images": len(images),
        "patients": len({image.patient for image in images}),
        "scored": sum(report.status == "scored" for report in reports),
        "refused": dict(Counter(report.reason or report.error for report in reports if report.status != "scored")),
        "measurements": external.measure(images, reports),
    }
    for row in found["measurements"]:
        low, high = row["interval"]
        say(f"{row['title']}: {row['measure']} {row['value']:.3f} ({low} to {high}), {row['images']} images")
    manifest = opened.manifest
    measured = {**manifest.metrics.get("external", {}), external.name: found}
    changed = manifest.model_copy(update={"metrics": {**manifest.metrics, "external": measured}})
    written = rewrite_bundle(opened, bundle, changed)
    say(f"Done: the card of {bundle} has the results on {external.name}; checksum {written.sha256[:8]}")
    return {"bundle": str(bundle), "data": external.name, **found}


def _counted(external: External, options: ExternalOptions) -> Sequence[ExternalImage]:
    images = external.images
    if options.split is not None:
        parts = Split.load(options.split).parts
        tested = {name for part in NOT_SEEN for name in parts.get(part, ())}
        images = tuple(image for image in images if image.name in tested)
    if options.exclude_patients_of is not None:
        known = {image.patient for image in load_graded(options.exclude_patients_of).images}
        images = tuple(image for image in images if image.patient not in known)
    if not images:
        raise DatasetError(f"no image of {external.name} is left to measure on; give the split of a run that used it")
    return images


def _part(options: ExternalOptions) -> str:
    parts = ["the test part of the run" if options.split is not None else "all images"]
    if options.exclude_patients_of is not None:
        parts.append(f"without the patients of {options.exclude_patients_of.name}")
    return ", ".join(parts)
