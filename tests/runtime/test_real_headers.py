"""Real images whose headers once led to a wrong patient, a wrong course or a lost result, through the watcher."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lungsev.model import Model, load
from lungsev.report import SeverityReport
from lungsev.runtime.patients.history import Exam, History
from lungsev.runtime.patients.trend import patient_trend
from lungsev.runtime.settings import BedsideSettings, SiteSettings, WatchSettings
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.watcher import Watcher, prepare_folders

pytestmark = pytest.mark.shared

SETTINGS = BedsideSettings(
    outputs=("json", "hl7", "fhir"),
    site=SiteSettings(timezone="Europe/Rome"),
    watch=WatchSettings(settle_seconds=0.0, scan_seconds=0.01),
)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with load() as model:
        yield model


@dataclass(frozen=True)
class Ward:
    """A watcher's folders, and what it said of the images that were put into them, one after the other."""

    out: Path

    def reports(self, patient: str) -> list[SeverityReport]:
        return [exam.report for exam in History(self.out).refresh().values() if exam.patient == patient]

    def course(self, patient: str, issuer: str | None = None) -> list[Exam]:
        exams = History(self.out).refresh().values()
        return [exam for exam in exams if exam.patient == patient and exam.report.patient.issuer == issuer]

    def totals(self, patient: str, issuer: str | None = None) -> list[tuple[int, str | None]]:
        """Total of each image in the order they were taken, and the direction of its change."""
        trend = patient_trend(self.course(patient, issuer))
        assert trend is not None
        return [(point.total, point.change.direction if point.change else None) for point in trend.points]

    def hl7_times(self) -> list[str]:
        """OBR-7 of every message."""
        texts = (path.read_text(encoding="utf-8") for path in sorted((self.out / "hl7").iterdir()))
        return sorted(line.split("|")[7] for text in texts for line in text.splitlines() if line.startswith("OBR"))


def watched(names: list[str], shared_dir: Path, root: Path, model: Model) -> Ward:
    incoming, layout = root / "incoming", Layout(root / "out")
    incoming.mkdir()
    prepare_folders(incoming, layout, SETTINGS)
    for name in names:
        shutil.copy(shared_dir / "faults" / "dicom" / f"{name}.dcm", incoming)
        watcher = Watcher(incoming, layout, SETTINGS, lambda: _StaysOpen(model))
        watcher.run(threading.Event(), once=True)
    return Ward(layout.root)


class _StaysOpen(Model):
    """The model of all tests: each watcher closes its own."""

    def __init__(self, model: Model) -> None:
        self.__dict__.update(model.__dict__)

    def close(self) -> None:
        pass


def test_one_id_of_two_issuers_is_two_patients(shared_dir: Path, tmp_path: Path, model: Model) -> None:
    ward = watched(["02_issuer_a", "02_issuer_b"], shared_dir, tmp_path, model)
    assert ward.totals("4711", "HOSP-A") == [(9, None)]
    assert ward.totals("4711", "HOSP-B") == [(14, None)]


def test_a_backslash_belongs_to_the_id(shared_dir: Path, tmp_path: Path, model: Model) -> None:
    ward = watched(["02_id_with_backslash_a", "02_id_with_backslash_b"], shared_dir, tmp_path, model)
    assert (ward.totals(r"12\34"), ward.totals(r"12\99")) == ([(9, None)], [(14, None)])


def test_the_corrected_patient_gets_the_result_and_the_wrong_one_is_superseded(
    shared_dir: Path, tmp_path: Path, model: Model
) -> None:
    names = ["03_corrected_patient_1_first_sent", "03_corrected_patient_2_sent_again"]
    ward = watched(names, shared_dir, tmp_path, model)
    ((wrong,), (right,)) = ward.reports("WRONG-1"), ward.reports("RIGHT-2")
    assert (right.status, right.scores["brixia"].total, right.standing.state) == ("scored", 14, "model")
    assert (wrong.standing.state, bool(wrong.standing.superseded_by)) == ("superseded", True)


def test_a_reused_uid_is_another_image_of_the_course(shared_dir: Path, tmp_path: Path, model: Model) -> None:
    ward = watched(["04_reused_uid_a", "04_reused_uid_b"], shared_dir, tmp_path, model)
    assert ward.totals("77") == [(9, None), (14, "worse")]
    flags = [{flag.code for flag in report.quality.flags} for report in ward.reports("77")]
    assert sum("same_uid_other_pixels" in codes for codes in flags) == 1


def test_a_date_without_a_time_takes_the_contents_time(shared_dir: Path, tmp_path: Path, model: Model) -> None:
    names = ["05_acquisition_date_without_time_evening", "05_acquisition_date_without_time_morning"]
    ward = watched(names, shared_dir, tmp_path, model)
    assert ward.totals("90") == [(14, None), (9, "none")]  # 5 points in 12 hours: not settled
    assert ward.hl7_times() == ["20261118065000+0100", "20261118184000+0100"]


def test_the_course_is_ordered_by_instant(shared_dir: Path, tmp_path: Path, model: Model) -> None:
    ward = watched(["06_offset_second", "06_offset_first"], shared_dir, tmp_path, model)
    assert ward.totals("92") == [(9, None), (14, "none")]  # 5 points in half an hour: not settled


@pytest.mark.parametrize(("name", "patient"), [("13_no_preamble", "B1"), ("13_uid_of_72_characters", "U70")])
def test_every_result_that_can_be_written_is(
    name: str, patient: str, shared_dir: Path, tmp_path: Path, model: Model
) -> None:
    ward = watched([name], shared_dir, tmp_path, model)
    (report,) = ward.reports(patient)
    assert report.scores["brixia"].total == 14
    assert {output.name: output.state for output in report.outputs} == dict.fromkeys(("json", "hl7", "fhir"), "written")
