"""A walk: correct, agree, supersede, merge, split, score again. After each step all outputs say the same, once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from bedside_images import QUICK, Bedside
from pydicom.dataset import FileDataset
from scored_images import MODEL
from walked_results import (
    OUTPUTS,
    REJECTION,
    SENT,
    SUFFIXES,
    PhantomModel,
    Said,
    phantom,
    read_everywhere,
    read_trend,
    revisions_queued,
)

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.phantom.dicom_writer import phantom_dataset
from lungsev.runtime.delivery.destinations import FolderDestination
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.watcher import Watcher

NEW_MODEL = replace(MODEL, version="2.0.0", bundle_sha256="1f" * 32)


@dataclass
class Walk:
    """A watcher, and images of one phantom that are changed before they arrive."""

    side: Bedside
    grades: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        share = self.side.incoming.parent / "share"
        share.mkdir()
        self.settings = BedsideSettings(
            watch=QUICK,
            outputs=OUTPUTS,
            destinations=(FolderDestination(kind="folder", name="share", path=share, sends=SENT),),
        )
        self.side.layout.create_folders(("reports", "tables", "overlays", "hl7", "fhir", "dicom"))
        self.model = PhantomModel(MODEL, self.grades)
        self.dataset = phantom_dataset(phantom())

    @property
    def out(self) -> Path:
        return self.side.layout.root

    def receive(self, day: int, grades: str, edit: Callable[[FileDataset], None] = lambda dataset: None) -> str:
        """Let the image of a day arrive; returns its id."""
        known = set(self.side.reports())
        dataset = self.dataset
        uid = f"1.2.826.0.1.3680043.8.498.{day}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.StudyInstanceUID = f"{uid}.1"
        dataset.PatientID, dataset.PatientName = "4711", "DOE^JANE"
        for name in ("Study", "Series", "Acquisition", "Content"):
            setattr(dataset, f"{name}Date", f"202611{day:02d}")
        dataset.PixelData = bytes([day]) + bytes(dataset.PixelData)[1:]  # not the same picture
        edit(dataset)
        self.grades[uid] = grades
        dataset.save_as(self.side.incoming / "image.dcm", enforce_file_format=True)
        self.run()
        (image,) = set(self.side.reports()) - known
        return image

    def decide(self, decision: Callable[[Decisions], Any]) -> None:
        with closing(Decisions(self.out)) as decisions:
            decision(decisions)
        self.run()

    def run(self) -> None:
        Watcher(self.side.incoming, self.side.layout, self.settings, lambda: self.model).run(
            threading.Event(), once=True
        )

    def check(self, image: str, said: Said, revision: int) -> None:
        """All outputs say this, and each was queued once for every revision. A superseded SR is verified by nobody."""
        everywhere = dict.fromkeys(OUTPUTS, said)
        everywhere["dicom_sr"] = replace(said, by=None) if said.warning == "superseded" else said
        assert read_everywhere(self.out, image) == everywhere
        queued: dict[str, list[int]] = {suffix: list(range(1, revision + 1)) for suffix in SUFFIXES}
        queued[REJECTION] = [revision] if said.warning == "superseded" else []
        assert revisions_queued(self.out, image) == queued

    def trend(self, *options: str) -> list[tuple[int, str | None]]:
        return [(said.total, said.change) for said in read_trend(self.out, "4711", *options).values()]


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    return Walk(Bedside.make(tmp_path))


def test_a_correction_an_agreement_and_a_new_model_are_said_everywhere_once(walk: Walk) -> None:
    first, second, third = (walk.receive(day, grades) for day, grades in ((1, "111111"), (2, "322222"), (3, "333222")))
    walk.check(first, Said(6), 1)
    assert walk.trend()[1][0] == 13
    worse = walk.trend()[1][1]
    assert worse is not None
    walk.check(second, Said(13, None, worse), 1)

    image = walk.side.reports()[second]
    walk.decide(lambda d: d.correct(second, image, "brixia", dict.fromkeys("ABCDEF", 1), "effusion", "A. Reader"))
    changes = [change for _, change in walk.trend()]
    assert changes[1] == "no clear change"
    walk.check(first, Said(6), 1)
    walk.check(second, Said(6, "A. Reader", changes[1]), 2)
    walk.check(third, Said(15, None, changes[2]), 2)
    assert changes[2] not in (None, changes[1])

    walk.decide(lambda d: d.agree(second, walk.side.reports()[second], "C. Reader"))
    walk.check(second, Said(6, "C. Reader", changes[1]), 3)
    assert [total for total, _ in walk.trend()] == [6, 6, 15]

    walk.model = PhantomModel(NEW_MODEL, walk.grades | dict.fromkeys(walk.grades, "222222"))
    walk.decide(lambda d: d.request_rescore((first, second, third), "a new model", "A. Reader"))
    changes = [change for _, change in walk.trend()]
    walk.check(first, Said(12), 2)
    walk.check(second, Said(6, "C. Reader", changes[1]), 4)
    walk.check(third, Said(12, None, changes[2]), 3)
    assert [total for total, _ in walk.trend()] == [12, 6, 12]
    assert not any("another model" in (change or "") for change in changes)


def test_a_corrected_patient_is_said_everywhere_once(walk: Walk) -> None:
    def of_another(dataset: FileDataset) -> None:
        dataset.PatientID, dataset.PatientName, dataset.AccessionNumber = "9999", "MEYER^EVA", "B1"

    before = walk.receive(1, "111111")
    wrong = walk.receive(2, "322222")
    worse = walk.trend()[1][1]
    image = walk.side.reports()[wrong]
    walk.decide(lambda d: d.correct(wrong, image, "brixia", {"A": 2}, "effusion", "A. Reader"))
    right = walk.receive(2, "322222", of_another)
    walk.check(wrong, Said(12, "A. Reader", None, "superseded"), 3)
    walk.check(right, Said(12, "A. Reader"), 1)
    assert worse is not None
    assert [total for total, _ in walk.trend()] == [6]
    assert [said.total for said in read_trend(walk.out, "9999").values()] == [12]
    walk.check(before, Said(6), 1)


def test_a_merge_and_a_split_are_said_everywhere_once(walk: Walk) -> None:
    def anna(dataset: FileDataset) -> None:
        dataset.PatientName = "SMITH^ANNA"

    def emergency(dataset: FileDataset) -> None:
        dataset.PatientID, dataset.PatientName = "E7", "UNKNOWN"

    first, second = walk.receive(1, "111111"), walk.receive(2, "322222", anna)
    changes = [change for _, change in walk.trend()]
    unknown = changes[1] or ""
    walk.check(first, Said(6, None, None, "stop"), 2)
    walk.check(second, Said(13, None, unknown, "stop"), 1)
    described = [PatientInfo("4711", name="DOE^JANE"), PatientInfo("4711", name="SMITH^ANNA")]
    key = described[0].key or ""
    walk.decide(lambda d: d.split(key, described, "id used twice", "A. Reader"))
    walk.check(first, Said(6), 3)
    walk.check(second, Said(13), 2)
    with pytest.raises(LungsevError, match="2 patients have this id"):
        walk.trend()

    third = walk.receive(3, "333222", emergency)
    walk.check(third, Said(15), 1)
    walk.decide(lambda d: d.undo(1, "it was one person", "A. Reader"))
    walk.decide(lambda d: d.same_person(key, described, "married", "A. Reader"))
    given_up = PatientInfo("E7", name="UNKNOWN")
    walk.decide(lambda d: d.merge(given_up.key or "", key, [*described, given_up], "identified", "A. Reader"))
    changes = [change for _, change in walk.trend()]
    assert [total for total, _ in walk.trend()] == [6, 13, 15]
    assert [said.total for said in read_trend(walk.out, "E7").values()] == [6, 13, 15]
    walk.check(third, Said(15, None, changes[2]), 2)
    walk.check(second, Said(13, None, changes[1]), walk.side.reports()[second].standing.revision)
