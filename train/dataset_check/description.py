"""A dataset in tables, for `data check`: title -> {row: value}; a row may hold a table of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread

from lungsev.reading.tags import read_text
from lungsev.train.data.cache import Image, Prepared
from lungsev.train.data.datasets import FindingsDataset, GradedDataset, PlacedDataset
from lungsev.train.data.datasets.contract import ABSENT, PLACES, PRESENT, UNCERTAIN, PlaceMap
from lungsev.train.data.datasets.files import list_images
from lungsev.train.data.day_offsets import day_of
from lungsev.train.evaluation.predictions import collect
from lungsev.train.evaluation.readers import second_reader

Table = dict[str, Any]
PER_MAKER = "polarity per maker"
UNSAID = "not said"
PICTURE = "no tag (picture)"
AGREEMENT = {"accuracy": "accuracy", "MAE": "mae", "kappa": "kappa", "total MAE": "total_mae", "total r": "total_r"}
DICOM_MAGIC = slice(128, 132)


def grade_shares(dataset: GradedDataset) -> Table:
    """Share of each grade per region and over all, of the first reader's grades; unknown regions do not count."""
    scheme = dataset.scheme
    grades = np.rint([image.reference for image in dataset.images])

    def shares(values: npt.NDArray[Any]) -> Table:
        known = values[~np.isnan(values)]
        return {str(grade): round(float((known == grade).mean()), 4) if len(known) else 0.0 for grade in scheme.grades}

    rows = {region.code: shares(grades[:, index]) for index, region in enumerate(scheme.regions)}
    return {**rows, **({"all": shares(grades)} if len(rows) > 1 else {})}


def unknown_regions(dataset: GradedDataset) -> Table:
    """Images without a grade of each region: by a reader who read the image, and by all; empty where none lacks."""
    images = dataset.images
    read = {
        reader: np.isnan([image.readings[reader] for image in images if reader in image.readings])
        for reader in dataset.readers
    }
    if len(read) > 1:
        read["all readers"] = np.array([np.isnan([*image.readings.values()]).all(axis=0) for image in images])
    unknown = {reader: regions.sum(axis=0) for reader, regions in read.items()}
    if not sum(int(found.sum()) for found in unknown.values()):
        return {}
    rows = {
        region.code: {reader: int(found[index]) for reader, found in unknown.items()}
        for index, region in enumerate(dataset.scheme.regions)
    }
    return {**rows, "all": {reader: int(found.sum()) for reader, found in unknown.items()}}


def agreement(dataset: GradedDataset) -> Table:
    """How the second reader agrees with the first, on the regions that both graded."""
    first, *others = dataset.readers
    both = [image for image in dataset.images if others and {first, others[0]} <= set(image.readings)]
    if not both:
        return {}
    shape = (len(both), dataset.scheme.num_regions, len(dataset.scheme.grades))
    two = [replace(image, readings={name: image.readings[name] for name in (first, others[0])}) for image in both]
    pair = second_reader(collect(dataset.scheme, two, np.full(shape, 1 / shape[-1]), np.zeros((len(both), 2, 3))))
    if pair is None:
        return {}
    numbers = {title: pair.measure(name, resamples=0).value for title, name in AGREEMENT.items()}
    return {
        "images": len(pair.predictions.names),
        **{title: round(value, 3) for title, value in numbers.items() if np.isfinite(value)},
    }


def findings_table(dataset: FindingsDataset) -> Table:
    """Finding -> images in which it is present, absent, uncertain, or nothing is said of it; patients who have it."""
    rows: Table = {}
    for finding in dataset.findings:
        said = Counter(image.findings.get(finding) for image in dataset.images)
        people = {image.patient for image in dataset.images if image.findings.get(finding) == PRESENT}
        rows[finding] = {
            "present": said[PRESENT],
            "absent": said[ABSENT],
            "uncertain": said[UNCERTAIN],
            "not said": said[None],
            "patients who have it": len(people),
        }
    return rows


def places_table(dataset: PlacedDataset, prepared: Prepared) -> Table:
    """Kind of place -> images that show some, show none or leave it unknown, and its share of what is known of them."""
    found = [prepared.images[image.name] for image in dataset.images if image.name in prepared.images]
    shares = np.array([_shares_of(image.places()) for image in found]).reshape(-1, len(PLACES))
    return {kind: _place_row(shares[:, plane]) for plane, kind in enumerate(PLACES)}


def _shares_of(places: PlaceMap) -> list[float]:
    """Share of each plane that shows something, of what is known; NaN where nothing is."""
    return [float(plane[known].mean()) if (known := np.isfinite(plane)).any() else float("nan") for plane in places]


def _place_row(shares: npt.NDArray[np.float64]) -> Table:
    known = shares[~np.isnan(shares)]
    return {
        "shown": int((known > 0).sum()),
        "none": int((known == 0).sum()),
        "unknown": len(shares) - len(known),
        "mean share, %": round(100 * float(known.mean()), 2) if len(known) else 0.0,
    }


def consensus_table(dataset: GradedDataset) -> Table:
    """Images of the consensus part, and the other images of their patients."""
    consensus = [image for image in dataset.images if image.subset == "consensus"]
    patients = {image.patient for image in consensus}
    others = [image for image in dataset.images if image.subset != "consensus" and image.patient in patients]
    if not consensus:
        return {}
    return {
        "images": len(consensus),
        "patients": len(patients),
        "patients who have other images": len({image.patient for image in others}),
        "such other images": len(others),
    }


def image_tables(images: Sequence[Image], prepared: Prepared) -> dict[str, Table]:
    """What is known of the images whatever the task."""
    per_patient = Counter(Counter(image.patient for image in images).values())
    infos = {name: image.info for name, image in prepared.images.items()}
    views = [
        image.view_position or (infos[image.name].view if image.name in infos else "") or UNSAID for image in images
    ]
    sides = [min(info.rows, info.columns) for info in infos.values() if info.rows and info.columns]
    parts: dict[str, set[str]] = defaultdict(set)
    for image in images:
        parts[image.patient].add(getattr(image, "subset", ""))
    subsets = counts([getattr(image, "subset", "") or "none" for image in images])
    tables = {
        "patients by their number of images": {str(number): per_patient[number] for number in sorted(per_patient)},
        "courses": course_table(images),
        "view positions": counts(views),
        "findings": counts([getattr(image, "finding", "") or UNSAID for image in images]),
        "subsets": subsets,
        "patients across subsets": {"patients": sum(len(found) > 1 for found in parts.values())},
        "shorter side of an image, px": three_numbers(np.array(sides)),
        "files beside them that no row names": _nameless(images),
        "remarks of the reading": dict(
            Counter(note for image in prepared.images.values() for note in image.notes).most_common()
        ),
    }
    hidden = [title for title, table in tables.items() if not table]
    if set(tables["findings"]) == {UNSAID}:
        hidden.append("findings")
    if len(subsets) < 2:
        hidden += ["subsets", "patients across subsets"]
    return {title: table for title, table in tables.items() if title not in hidden}


def _nameless(images: Sequence[Image]) -> Table:
    named = {image.path for image in images}
    others = [path for folder in {path.parent for path in named} for path in list_images(folder) if path not in named]
    return {"files": len(others), "first": min(path.name for path in others)} if others else {}


def course_table(images: Sequence[Image]) -> Table:
    """Courses: patients with several images, and how far apart those are whose day is known; empty where none is."""
    people: dict[str, list[float | None]] = defaultdict(list)
    for image in images:
        people[image.patient].append(day_of(image))
    several = [days for days in people.values() if len(days) > 1]
    dated = [sorted(found) for days in several if len(found := [day for day in days if day is not None]) > 1]
    if not dated:
        return {}
    spans = np.array([days[-1] - days[0] for days in dated])
    gaps = np.concatenate([np.diff(days) for days in dated])
    return {
        "patients with several images": len(several),
        "of them with known days": len(dated),
        "images with known days": sum(map(len, dated)),
        "span of a course, days, median": round(float(np.median(spans)), 1),
        "longest": round(float(spans.max()), 1),
        "gap between two images, days, median": round(float(np.median(gaps)), 2),
        "gaps under a day": int((gaps < 1).sum()),
        "images of one moment or day": int((gaps == 0).sum()),
    }


def headers_of(images: Sequence[Image]) -> dict[str, tuple[str, str]]:
    """Maker and photometric interpretation of every image that is a DICOM file, from its own tags."""
    found = {}
    for image in images:
        try:
            with image.path.open("rb") as file:
                if file.read(132)[DICOM_MAGIC] != b"DICM":
                    continue
            tags = dcmread(
                image.path, stop_before_pixels=True, specific_tags=["Manufacturer", "PhotometricInterpretation"]
            )
        except Exception:  # damaged in one of many ways; the reading says how
            continue
        maker, polarity = (read_text(tags, name) or UNSAID for name in ("Manufacturer", "PhotometricInterpretation"))
        found[image.name] = maker, polarity
    return found


def maker_table(images: Sequence[Image], headers: Mapping[str, tuple[str, str]]) -> Table:
    """Maker -> polarity -> images; what the file says comes before what the table says."""
    makers: dict[str, Counter[str]] = defaultdict(Counter)
    for image in images:
        stated = getattr(image, "maker", "") or UNSAID, getattr(image, "polarity", "") or PICTURE
        maker, polarity = headers.get(image.name, stated)
        makers[maker][polarity] += 1
    if set(makers) == {UNSAID} and set(makers[UNSAID]) == {PICTURE}:
        return {"pictures, which have no such tags": len(images)}
    return {maker: dict(found.most_common()) for maker, found in sorted(makers.items())}


def counts(values: Sequence[str]) -> Table:
    """Value -> how often, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0])))


def three_numbers(values: npt.NDArray[Any]) -> Table:
    """Lowest, median and highest; empty for no values."""
    if not len(values):
        return {}
    found = float(values.min()), float(np.median(values)), float(values.max())
    return {name: round(value, 3) for name, value in zip(("lowest", "median", "highest"), found, strict=True)}


def lines_of(title: str, table: Table) -> list[str]:
    """A table as text: one line, or a grid where its rows are tables."""
    show = _percent if title.startswith("share") else _plain
    if not all(isinstance(row, dict) for row in table.values()):
        return [f"{title}: " + "; ".join(f"{name}: {show(value)}" for name, value in table.items())]
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    body = [[name, *(show(row.get(column, "-")) for column in columns)] for name, row in table.items()]
    widths = [max(len(cells[column]) for cells in (["", *columns], *body)) for column in range(len(columns) + 1)]
    return [f"{title}:", *(_aligned(cells, widths) for cells in (["", *columns], *body))]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join(["", cells[0].ljust(widths[0]), *numbers])


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _percent(value: Any) -> str:
    return f"{100 * value:.1f} %"
