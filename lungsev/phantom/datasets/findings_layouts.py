"""Layouts of datasets with findings: CheXpert, MIMIC-CXR-JPG, NIH ChestX-ray14, PadChest, VinDr-CXR.

What an image shows follows from its true Brixia grades. Labels have the gaps of the originals: findings that are not
mentioned, uncertain ones, readers who differ; a lateral here and there is a frontal image that the table calls lateral.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lungsev.phantom.datasets.cohort import CohortRadiograph, Draw
from lungsev.phantom.datasets.files import make_folders, write_table
from lungsev.phantom.dicom_writer import draw_style, phantom_uid, write_phantom_dicom
from lungsev.phantom.picture_writer import write_phantom_jpeg, write_phantom_png

CHEXPERT = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
_LATERAL_EVERY = 4  # image


def shown_findings(planned: CohortRadiograph) -> tuple[str, ...]:
    """Return what an image shows, by its true grades 0-3 of six zones."""
    grades = np.asarray(planned.truth)
    rules = {
        "Lung Opacity": grades.max() >= 1,
        "Consolidation": grades.max() >= 3,
        "Pneumonia": grades.sum() >= 6,
        "Edema": grades.min() >= 1,
    }
    return tuple(name for name, holds in rules.items() if holds)


def write_chexpert(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write `train.csv`, `valid.csv` and `train/patient00001/study1/view1_frontal.jpg`."""
    rows: dict[str, list[Sequence[object]]] = {"train": [], "valid": []}
    for planned in cohort:
        part = "valid" if planned.patient % 5 == 4 else "train"
        place = f"{part}/patient{planned.patient + 1:05d}/study{planned.index + 1}"
        (folder,) = make_folders(out, place)
        lateral = _is_lateral(planned)
        name = f"view1_{'lateral' if lateral else 'frontal'}.jpg"
        write_phantom_jpeg(draw(planned), folder / name)
        view = ("Lateral", "") if lateral else ("Frontal", "AP" if planned.index % 3 else "PA")
        person = "Female" if planned.patient % 2 else "Male", 40 + planned.patient % 40
        rows[part].append((f"CheXpert-v1.0-small/{place}/{name}", *person, *view, *_chexpert_cells(planned)))
    for part, found in filter(lambda pair: pair[1], rows.items()):
        write_table(out / f"{part}.csv", ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT), found)


def write_mimic(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write the three tables of MIMIC-CXR-JPG and `files/p10/p10000001/s50000001/<dicom_id>.jpg`."""
    labels: list[Sequence[object]] = []
    images: list[Sequence[object]] = []
    parts: list[Sequence[object]] = []
    for planned in cohort:
        subject, study = 10_000_001 + planned.patient, 50_000_001 + planned.index
        (folder,) = make_folders(out, f"files/p{str(subject)[:2]}/p{subject}/s{study}")
        dicom = phantom_uid("mimic", planned.exposure_seed)[-24:].replace(".", "-")
        write_phantom_jpeg(draw(planned), folder / f"{dicom}.jpg")
        view = "LATERAL" if _is_lateral(planned) else "AP" if planned.index % 3 else "PA"
        labels.append((subject, study, *_chexpert_cells(planned)))
        images.append((dicom, subject, study, view, f"{planned.acquired_at:%Y%m%d}"))
        part = "validate" if planned.patient % 5 == 3 else "test" if planned.patient % 5 == 4 else "train"
        parts.append((dicom, study, subject, part))
    write_table(out / "mimic-cxr-2.0.0-chexpert.csv", ("subject_id", "study_id", *CHEXPERT), labels)
    columns = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate")
    write_table(out / "mimic-cxr-2.0.0-metadata.csv", columns, images)
    write_table(out / "mimic-cxr-2.0.0-split.csv", ("dicom_id", "study_id", "subject_id", "split"), parts)


def write_nih(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write `Data_Entry_2017_v2020.csv`, the two official lists and `images_001/images/*.png`."""
    (folder,) = make_folders(out, "images_001/images")
    rows: list[Sequence[object]] = []
    lists: dict[str, list[str]] = {"train_val_list.txt": [], "test_list.txt": []}
    for planned in cohort:
        name = f"{planned.patient + 1:08d}_{planned.index:03d}.png"
        radiograph = draw(planned)
        write_phantom_png(radiograph, folder / name)
        shown = [name for name in shown_findings(planned) if name != "Lung Opacity"]
        shown += ["Infiltration"] if "Lung Opacity" in shown_findings(planned) else []
        height, width = radiograph.pixels.shape
        view = "AP" if planned.index % 3 else "PA"
        rows.append((name, "|".join(sorted(shown)) or "No Finding", planned.index, planned.patient + 1, 50, "F", view))
        rows[-1] = (*rows[-1], width, height, 0.14, 0.14, "")
        lists["test_list.txt" if planned.patient % 5 == 4 else "train_val_list.txt"].append(name)
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    header += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    write_table(out / "Data_Entry_2017_v2020.csv", header.split(","), rows)
    for file, names in lists.items():
        (out / file).write_text("\n".join(names) + "\n", encoding="utf-8")


def write_padchest(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write PadChest's table and 16-bit `<ImageDir>/<ImageID>.png`."""
    words = {"Lung Opacity": "infiltrates", "Pneumonia": "pneumonia", "Consolidation": "consolidation"}
    rows: list[Sequence[object]] = []
    for planned in cohort:
        directory = str(planned.index % 2)
        (folder,) = make_folders(out, directory)
        name = f"{phantom_uid('padchest', planned.exposure_seed)[5:].replace('.', '')}_{planned.index:02d}.png"
        write_phantom_png(draw(planned), folder / name, bits=16)
        labels = [words[finding] for finding in shown_findings(planned) if finding in words] or ["normal"]
        labels = ["exclude"] if planned.index % 11 == 10 else labels
        projection = "L" if _is_lateral(planned) else "AP_horizontal" if planned.index % 3 else "PA"
        rows.append((planned.index, name, directory, planned.patient + 1, projection, "Physician", str(labels)))
    header = ("", "ImageID", "ImageDir", "PatientID", "Projection", "MethodLabel", "Labels")
    write_table(out / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", header, rows)


def write_vindr(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write `annotations/image_labels_train.csv` of three readers, that of the test part, and `train/<id>.dicom`."""
    folders = dict(
        zip(("annotations", "train", "test"), make_folders(out, "annotations", "train", "test"), strict=True)
    )
    names = ("Consolidation", "Infiltration", "Lung Opacity", "Pneumonia")
    rows: dict[str, list[Sequence[object]]] = {"train": [], "test": []}
    for planned in cohort:
        part = "test" if planned.index % 5 == 4 else "train"
        image = f"{planned.exposure_seed % 16**8:08x}{planned.index:024x}"
        style = draw_style(planned.patient_seed, acquired_at=planned.acquired_at, study=planned.index + 1)
        write_phantom_dicom(draw(planned), folders[part] / f"{image}.dicom", style)
        shown = shown_findings(planned)
        rng = np.random.default_rng([planned.exposure_seed, 631])
        for reader in range(3) if part == "train" else (None,):
            seen = [int((name in shown) != (reader is not None and rng.random() < 0.15)) for name in names]
            own = () if reader is None else (f"R{reader + 1}",)
            rows[part].append((image, *own, *seen, int(not any(seen))))
    for part, found in rows.items():
        header = ("image_id", *(("rad_id",) if part == "train" else ()), *names, "No finding")
        write_table(folders["annotations"] / f"image_labels_{part}.csv", header, found)


def _is_lateral(planned: CohortRadiograph) -> bool:
    return planned.index % _LATERAL_EVERY == _LATERAL_EVERY - 1


def _chexpert_cells(planned: CohortRadiograph) -> list[object]:
    """Return 1.0, 0.0, -1.0 or nothing for each of the 14 findings, as the labeller reads them from a report."""
    rng = np.random.default_rng([planned.exposure_seed, 632])
    shown = shown_findings(planned)
    if not shown:
        return [1.0, *[""] * (len(CHEXPERT) - 1)]
    cells: list[object] = []
    for name in CHEXPERT:
        unsaid = name not in ("Lung Opacity", "Consolidation", "Pneumonia", "Edema") or rng.random() < 0.2
        cells.append("" if unsaid else -1.0 if rng.random() < 0.1 else float(name in shown))
    return cells
