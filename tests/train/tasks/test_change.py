"""The bundle is measured on courses in RALO's layout; a stand-in for the model scores images that do not exist."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle

import lungsev
from lungsev.bundle.archive import read_bundle
from lungsev.errors import DatasetError, SkippedImageError
from lungsev.geometry import CanvasFrame
from lungsev.grading import Calibration, decode
from lungsev.pipeline import unscored_report
from lungsev.report import ImageInfo, ModelInfo, SeverityReport
from lungsev.schemes import load_scheme
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.splits import complete_split
from lungsev.train.evaluation.change import nested
from lungsev.train.evaluation.change.lines import lines_of
from lungsev.train.evaluation.predictions import collect
from lungsev.train.tasks import change

PATIENTS, IMAGES = 40, 5
MODEL = ModelInfo("tiny", "1", "0f" * 32, "onnxruntime", "cpu", "fp32")
HEAD = "Subject_ID,Exam_DateTime," + ",".join(
    2 * ["Right GEOGRAPHIC,Right OPACITY,Left GEOGRAPHIC,Left OPACITY,Total GEOGRAPHIC,Total OPACITY"]
)


class StandIn:
    """Scores image n by the n-th severity, with some noise; refuses 3.jpg, and shows one picture as 4 and 5.jpg."""

    def __init__(self, severities: list[float]) -> None:
        self.severities = severities
        self.rng = np.random.default_rng(4)

    def score(self, path: Path) -> SeverityReport:
        number = int(path.stem)
        picture = hashlib.sha256(b"4" if number == 5 else path.stem.encode()).hexdigest()
        if number == 3:
            refusal = SkippedImageError("no_chest", "This is no chest.")
            return unscored_report(refusal, ImageInfo(pixel_sha256=picture), MODEL, 1.0)
        scheme = load_scheme("brixia")
        level = np.clip(3 * self.severities[number] + self.rng.normal(0, 0.25, 6), 0, 3)
        rows = np.exp(-((np.arange(4) - level[:, None]) ** 2))
        rows /= rows.sum(1, keepdims=True)
        theta, frame = np.eye(2, 3), CanvasFrame(512, 512, 512, 1.0, (0.0, 0.0))
        score = decode(scheme, rows, theta, frame, Calibration())
        return SeverityReport("scored", ImageInfo(pixel_sha256=picture), MODEL, scores={"brixia": score})

    def __enter__(self) -> StandIn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def write_ralo(root: Path) -> list[float]:
    """Courses whose severity wanders, graded by two readers; returns each image's severity, 0-1."""
    rng = np.random.default_rng(8)
    folder = root / "CXR_images_scored"
    folder.mkdir(parents=True)
    rows, severities = [",".join(map(str, range(14))), HEAD], []
    for patient in range(PATIENTS):
        level, taken = rng.uniform(0.2, 0.8), datetime(2026, 3, 1, 8)
        for _ in range(IMAGES):
            (folder / f"{len(severities)}.jpg").touch()
            severities.append(level)
            lungs = [int(np.clip(round(4 * level + rng.normal(0, 0.3)), 0, 4)) for _ in range(4)]
            cells = [f"{a},{a},{b},{b},{a + b},{a + b}" for a, b in (lungs[:2], lungs[2:])]
            rows.append(f"S{patient},{taken:%Y%m%d_%H%M%S},{','.join(cells)}")
            hours = float(rng.exponential(30))
            taken += timedelta(hours=hours)
            level = float(np.clip(level + rng.normal(0, 0.1 * np.sqrt(hours / 24)), 0.05, 0.95))
    (root / "ralo-dataset-metadata.csv").write_text("\n".join(rows))
    return severities


@dataclass(frozen=True)
class Measured:
    root: Path
    bundle: Path
    graph: bytes
    figures: dict[str, Any]
    lines: list[str]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """A bundle that was measured; the stand-in stays in the model's place for the module's tests."""
    folder = tmp_path_factory.mktemp("change")
    severities = write_ralo(folder / "ralo")
    before = write_tiny_bundle(folder / "bundle", metrics={"task": "severity"})
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lungsev, "load", lambda bundle, **_: StandIn(severities))
        patch.setattr(change, "say", lines.append)
        patch.setattr(nested, "FOLDS", 2)
        found = change.measure_change(folder / "ralo", folder / "bundle")
        yield Measured(folder / "ralo", folder / "bundle", before.graph_bytes(), found, lines)


def test_the_measured_repeatability_is_written_into_manifest_card_and_checksums(measured: Measured) -> None:
    bundle = read_bundle(measured.bundle)
    written = bundle.manifest.scheme_calibration("brixia").change
    assert written is not None
    assert measured.figures["parameters"] == asdict(written)
    assert 0 < written.shared_error < 1
    assert written.margin == 0.5
    assert bundle.manifest.metrics["task"] == "severity"
    assert bundle.manifest.metrics["change"]["brixia"]["test"] == measured.figures["test"]
    assert bundle.graph_bytes() == measured.graph
    card = bundle.file_bytes("card.md").decode()
    assert f"called from a probability of {written.call_from:.2f} on" in card
    assert "| called changed: within 24 h, pair alone |" in card
    assert f"checksum {bundle.sha256[:8]}" in measured.lines[-1]


def test_figures_are_of_all_patients_and_images_without_a_score_or_seen_twice_are_left_out(
    measured: Measured,
) -> None:
    fit, test = measured.figures["fit"], measured.figures["test"]
    assert fit["patients"] == test["patients"] == PATIENTS
    assert fit["images"] == test["images"] == PATIENTS * IMAGES - 3
    assert sum(fold["patients"] for fold in measured.figures["folds"]) == PATIENTS
    assert measured.lines[0] == "197 images scored; 3 left out (no total, or the same picture twice)"
    assert set(test["reliability"]) == {"ralo", "ralo + ralo_opacity"}
    assert test["agreement"]["ralo"]["clear_points"] == 2.0


def test_the_figures_are_told_line_by_line(measured: Measured) -> None:
    assert measured.lines[1:-1] == list(lines_of(measured.figures))


def test_a_second_measurement_replaces_the_first(measured: Measured) -> None:
    again = change.measure_change(measured.root, measured.bundle, "brixia")
    assert again["parameters"] == measured.figures["parameters"]
    assert read_bundle(measured.bundle).file_bytes("card.md").decode().count("## Change between two images") == 1


def test_a_dataset_without_times_and_a_scheme_that_is_not_scored_are_refused(measured: Measured) -> None:
    with pytest.raises(DatasetError, match="the bundle does not score inha; it scores brixia"):
        change.measure_change(measured.root, measured.bundle, "inha")
    table = measured.root / "ralo-dataset-metadata.csv"
    whole = table.read_text()
    table.write_text(whole.replace("Exam_DateTime", "Exam"))
    with pytest.raises(DatasetError, match="no image with date and time or with a day, which a course needs"):
        change.measure_change(measured.root, measured.bundle)
    table.write_text(whole)


def stored(root: Path, out: Path, scheme: str, noise: float) -> Path:
    """Predictions of the readers' mean extent with some noise, spread over the scheme's regions."""
    rng, loaded, dataset = np.random.default_rng(3), load_scheme(scheme), load_graded(root)
    share = np.array([np.mean([*image.readings.values()]) / 4 for image in dataset.images])
    level = share[:, None] * loaded.grades[-1] + rng.normal(0, noise, (len(share), loaded.num_regions))
    rows = np.exp(-((np.array(loaded.grades) - level[..., None]) ** 2))
    rows /= rows.sum(-1, keepdims=True)
    collect(loaded, dataset.images, rows, np.zeros((len(rows), 2, 3))).save(out)
    return out


def test_stored_predictions_of_several_schemes_are_measured_and_written_if_a_bundle_is_given(
    measured: Measured, tmp_path: Path
) -> None:
    files = [
        stored(measured.root, tmp_path / f"{name}.json", name, sd) for name, sd in (("brixia", 1.5), ("ralo", 0.3))
    ]
    found = change.measure_change(measured.root, predictions=files)
    assert found["scheme"] == "brixia"
    assert "bundle" not in found
    assert [name for name, _ in found["parameters"]["evidence"]] in (["ralo"], ["brixia", "ralo"])
    assert found["compared"]["ralo"]["rate"] > found["compared"]["brixia"]["rate"]
    bundle = write_tiny_bundle(tmp_path / "bundle", metrics={"task": "severity"})
    written = change.measure_change(measured.root, bundle.path, predictions=files)
    assert list(written["compared"]) == ["brixia"], "the bundle does not score ralo, so it is no evidence"
    kept = read_bundle(tmp_path / "bundle").manifest.scheme_calibration("brixia").change
    assert kept is not None
    assert kept.evidence == ()
    with pytest.raises(DatasetError, match="the bundle does not score ralo; it scores brixia"):
        change.measure_change(measured.root, bundle.path, "ralo", predictions=files)
    with pytest.raises(DatasetError, match="the predictions are not of scheme brixia; they are of ralo"):
        change.measure_change(measured.root, bundle.path, predictions=files[1:])
    with pytest.raises(DatasetError, match="the predictions are not of scheme inha; they are of brixia, ralo"):
        change.measure_change(measured.root, scheme="inha", predictions=files)
    with pytest.raises(DatasetError, match="nothing to measure"):
        change.measure_change(measured.root)


def test_only_the_test_part_of_a_split_is_measured(measured: Measured, tmp_path: Path) -> None:
    files = [stored(measured.root, tmp_path / "ralo.json", "ralo", 0.3)]
    images = load_graded(measured.root).images
    names = [image.name for image in images]
    parts = {"train": tuple(names[:20]), "test": tuple(names[20:])}  # the first four patients train
    complete_split(images, "holdout", 0, parts, {}).save(tmp_path / "splits.json")
    found = change.measure_change(measured.root, predictions=files, split=tmp_path / "splits.json")
    assert (found["test"]["images"], found["test"]["patients"]) == (len(images) - 20, PATIENTS - 4)
    others = [replace(image, name=f"other {image.name}") for image in images]
    strangers = {part: tuple(f"other {name}" for name in names) for part, names in parts.items()}
    complete_split(others, "holdout", 0, strangers, {}).save(tmp_path / "others.json")
    with pytest.raises(DatasetError, match=r"the test part of .*others.json names no image of"):
        change.measure_change(measured.root, predictions=files, split=tmp_path / "others.json")
