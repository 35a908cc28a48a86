"""Layouts of datasets with severity grades: BrixIA, Inha, the Cohen subset, RALO, Cohen's severity scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lungsev.phantom.datasets.cohort import (
    CohortRadiograph,
    Draw,
    most_frequent,
    read_lungs,
    read_quadrants,
    read_zones,
)
from lungsev.phantom.datasets.files import make_folders, write_table
from lungsev.phantom.dicom_writer import draw_style, phantom_uid, write_phantom_dicom
from lungsev.phantom.picture_writer import write_phantom_jpeg, write_phantom_png, write_picture
from lungsev.phantom.radiograph import PhantomRadiograph

ZONES = "ABCDEF"
_CONSENSUS_SHARE = 0.12
_RATERS = 5


def write_brixia(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write `dicom_clean/*.dcm`, the global table and the table of the consensus images."""
    (folder,) = make_folders(out, "dicom_clean")
    rng = np.random.default_rng([cohort[0].patient_seed, 621])
    consensus = set(rng.choice(len(cohort), max(1, round(_CONSENSUS_SHARE * len(cohort))), replace=False).tolist())
    rows: list[tuple[object, ...]] = []
    consensus_rows = []
    for planned in cohort:
        radiograph = draw(planned)
        # The maker decides the polarity, as in the original: a network could learn a missed inversion as a shortcut.
        style = draw_style(
            planned.patient_seed,
            patient_id=f"{planned.patient:04d}",
            acquired_at=planned.acquired_at,
            study=planned.index + 1,
        )
        name = f"{int(phantom_uid('brixia', planned.exposure_seed)[5:]) % 10**19:019d}.dcm"
        write_phantom_dicom(radiograph, folder / name, style)
        grades = "".join(str(grade) for grade in read_zones(planned, 0))
        total = sum(int(digit) for digit in grades)
        in_consensus = int(planned.index in consensus)
        date, sex, age = f"{planned.acquired_at:%Y%m%d}", "MF"[planned.patient % 2], 40 + 5 * (planned.patient % 9)
        rows.append(
            (name, date, style.modality, radiograph.pixels.shape[1], radiograph.pixels.shape[0], style.manufacturer)
        )
        rows[-1] += (style.photometric, grades, total, in_consensus, planned.patient, planned.index + 1, sex, age)
        if in_consensus:
            consensus_rows.append((name, *_consensus(planned)))
    header = "Filename;StudyDate;Modality;Columns;Rows;Manufacturer;PhotometricInterpretation;BrixiaScore;"
    header += "BrixiaScoreGlobal;ConsensusTestset;Subject;StudyId;Sex;AgeAtStudyDateFiveYear"
    write_table(out / "metadata_global_v2.csv", header.split(";"), rows, delimiter=";", bom=True, line_end="\r\n")
    statistics = [f"{kind}{zone}" for kind in ("Mean", "Mode") for zone in (*ZONES, "Global")]
    write_table(out / "metadata_consensus_v1.csv", ("Filename", *statistics), consensus_rows, bom=True)


def write_inha(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write one table with four grades of 1-5 per image, and the images as PNG."""
    (folder,) = make_folders(out, "images")
    rows = []
    for planned in cohort:
        name = f"ICU{planned.index + 1:05d}"
        write_phantom_png(draw(planned), folder / f"{name}.png")
        rows.append((name, f"P{planned.patient + 1:04d}", *read_quadrants(planned, 0)))
    write_table(out / "inha.csv", ("image_id", "patient", "RT", "RB", "LT", "LB"), rows)


def write_cohen(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write two radiologists' grades per zone, and images in the original's mixture of file formats."""
    (folder,) = make_folders(out, "public-cohen-subset")
    rows, people = [], []
    for planned in cohort:
        name = _write_odd_file(folder, planned, draw(planned))
        readings: list[object] = [name]
        for reader in (0, 1):
            zones = read_zones(planned, reader)
            readings += [*zones, sum(zones)]
        rows.append(tuple(readings))
        people.append((name, f"P{planned.patient + 1:03d}", float(planned.day), "AP", "COVID-19"))
    columns = [f"{reader}-{zone}" for reader in "SJ" for zone in (*ZONES, "Global")]
    write_table(out / "public-annotations.csv", ("filename", *columns), rows, bom=True)
    write_table(out / "patients.csv", ("filename", "patient", "offset", "view", "finding"), people)


def write_ralo(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write extent and opacity of each lung by two readers, under two header rows; images are named after their row."""
    (folder,) = make_folders(out, "CXR_images_scored")
    measures = [f"{side} {kind}" for kind in ("GEOGRAPHIC", "OPACITY") for side in ("Right", "Left", "Total")]
    above = ["", "", *(name if i == 0 else "" for name in ("Reader 1", "Reader 2") for i in range(len(measures)))]
    rows: list[Sequence[object]] = [("Subject_ID", "Exam_DateTime", *measures, *measures)]
    for planned in cohort:
        write_phantom_jpeg(draw(planned), folder / f"{planned.index}.jpg")
        scores: list[int] = []
        for reader in (0, 1):
            for right, left in read_lungs(planned, reader):
                scores += [right, left, right + left]
        rows.append((f"A{planned.patient + 1:06d}", f"{planned.acquired_at:%Y%m%d%H%M%S}", *scores))
    write_table(out / "ralo-dataset-metadata.csv", above, rows)


def write_severity(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write means of three raters for the whole image, under comment lines that begin with `##`."""
    (folder,) = make_folders(out, "images")
    rows, people = [], []
    for planned in cohort:
        name = f"case-{planned.patient + 1:03d}-day{planned.day}-{planned.index}.jpg"
        write_phantom_jpeg(draw(planned), folder / name)
        readings = [read_lungs(planned, reader) for reader in range(3)]
        extent = float(np.mean([sum(extents) for extents, _ in readings]))
        opacity = float(np.mean([sum(min(value, 3) for value in opacities) for _, opacities in readings]))
        rows.append((name, f"{extent:.1f}", f"{opacity:.1f}"))
        people.append((planned.patient + 1, planned.day, "AP", name))
    comment = (
        "## Pneumonia Severity Scores of synthetic images (Mean of 3 simulated raters)",
        "## geographic_mean: extent of lung involvement of both lungs, 0 to 8.",
        "## opacity_mean: degree of opacity of both lungs, 0 to 6.",
    )
    (annotations,) = make_folders(out, "annotations")
    path = annotations / "covid-severity-scores.csv"
    write_table(path, ("filename", "geographic_mean", "opacity_mean"), rows, comment=comment)
    write_table(out / "metadata.csv", ("patientid", "offset", "view", "filename"), people)


def _consensus(planned: CohortRadiograph) -> tuple[object, ...]:
    """Return means and modes of five raters: zones A-F and the total."""
    readings = np.array([read_zones(planned, reader) for reader in range(1, _RATERS + 1)])
    totals = readings.sum(axis=1)
    means = [f"{value:.1f}" for value in (*readings.mean(axis=0), totals.mean())]
    modes = [most_frequent(column.tolist()) for column in (*readings.T, totals)]
    return (*means, *modes)


def _write_odd_file(folder: Path, planned: CohortRadiograph, radiograph: PhantomRadiograph) -> str:
    """Write JPEG or PNG, grey, colour or with alpha, some names with a space or a suffix in capitals."""
    number = planned.index
    name = (
        f"covid-case-{number}-PA.jpg",
        f"{phantom_uid('cohen', planned.exposure_seed)[5:17]}.jpeg",
        f"immagine {number}.png",
        f"{number}.CXRCTThoraximages.pdf-00{number % 10}-fig{number}.png",
        f"AR-{number}.JPG",
    )[number % 5]
    grey = np.round(radiograph.pixels * 255).astype(np.uint8)
    colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    if number % 5 == 2:
        colour = cv2.cvtColor(colour, cv2.COLOR_BGR2BGRA)
    write_picture(folder / name, grey if number % 5 == 0 else np.asarray(colour, np.uint8))
    return name
