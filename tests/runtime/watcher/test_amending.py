"""Amended results: what is said differently is given out again, once, whenever the process dies."""

from __future__ import annotations

import contextlib
import errno
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from bedside_images import MODEL, QUICK, QUICK_BEDSIDE, Bedside, QuickModel, drop, png
from bedside_life import run, wait_for

from lungsev.errors import BackendError, LungsevError, SkippedImageError, UnreadableImageError
from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.report import ImageInfo, SeverityReport
from lungsev.runtime.delivery.destinations import FolderDestination
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.amending import NOT_KEPT, Amending
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.watcher import Watcher

JANE, ANNA = PatientInfo(id="P1", name="DOE^JANE"), PatientInfo(id="P1", name="SMITH^ANNA")
NEW_MODEL = replace(MODEL, version="2", bundle_sha256="1" * 64)


@dataclass
class Ward:
    """A watcher with a share that results are sent to, and people who decide."""

    side: Bedside
    model: QuickModel = field(default_factory=QuickModel)
    settings: BedsideSettings = QUICK_BEDSIDE

    def __post_init__(self) -> None:
        self.share = self.side.incoming.parent / "share"
        self.share.mkdir()
        destination = FolderDestination(kind="folder", name="share", path=self.share, sends=("json", "hl7"))
        self.settings = self.settings.model_copy(
            update={"outputs": ("json", "hl7", "csv"), "destinations": (destination,)}
        )

    def score(self, *images: bytes) -> list[str]:
        """Let images arrive one after the other; returns their ids."""
        known = list(self.reports())
        for data in images:
            drop(self.side.incoming, "image.png", data)
            self.run()
            known += set(self.reports()) - set(known)
        return known[-len(images) :]

    def run(self) -> None:
        self.side.layout.create_folders(("reports", "hl7", "tables"))
        Watcher(self.side.incoming, self.side.layout, self.settings, lambda: self.model).run(
            threading.Event(), once=True
        )

    def decide(self, decision: Callable[[Decisions], Any]) -> None:
        with closing(Decisions(self.side.layout.root)) as decisions:
            decision(decisions)
        self.run()

    def reports(self) -> dict[str, SeverityReport]:
        return self.side.reports()

    def sent(self, suffix: str = ".json") -> list[str]:
        """What arrived at the share, after the image's id."""
        with closing(sqlite3.connect(self.side.layout.root / "outbox" / "outbox.sqlite")) as connection:
            rows = connection.execute(
                "SELECT name, image FROM deliveries WHERE name LIKE ? ORDER BY seq", (f"%{suffix}",)
            )
            return [name.removeprefix(image) for name, image in rows]

    def correct(self, image: str, grade: int = 0) -> None:
        self.decide(lambda d: d.correct(image, self.reports()[image], "brixia", {"A": grade}, "effusion", "AB"))


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward(Bedside.make(tmp_path))


def test_a_correction_is_given_out_once_and_the_former_result_is_kept(ward: Ward) -> None:
    (image,) = ward.score(png(1))
    before = (ward.side.layout.reports / f"{image}.json").read_bytes()
    ward.correct(image)
    report = ward.reports()[image]
    assert (report.standing.state, report.standing.revision) == ("corrected", 2)
    assert (report.standing_score("brixia").total, report.scores["brixia"].total) == (0, 1)
    assert (ward.side.layout.versions / "reports" / f"{image}.r1.json").read_bytes() == before
    assert (ward.side.layout.versions / "hl7" / f"{image}.r1.hl7").is_file()
    assert ward.sent() == [".json", ".r2.json"]
    assert ward.sent(".hl7") == [".hl7", ".r2.hl7"]
    ward.run()
    assert ward.sent() == [".json", ".r2.json"]
    ward.correct(image, 1)
    assert ward.sent() == [".json", ".r2.json", ".r3.json"]
    assert sorted(path.name[-7:] for path in (ward.side.layout.versions / "reports").iterdir()) == [
        "r1.json", "r2.json",
    ]  # fmt: skip


def test_the_amended_report_keeps_the_time_at_which_its_image_came(ward: Ward) -> None:
    (image,) = ward.score(png(1))
    path = ward.side.layout.reports / f"{image}.json"
    came = path.stat().st_mtime_ns
    ward.correct(image)
    assert path.stat().st_mtime_ns == came


def test_a_new_image_says_its_change_at_once_and_amends_no_other(ward: Ward) -> None:
    ward.model.acquired = {png(n): Moment(f"2026-11-2{n}T08:00:00", "second", "+00:00", "value") for n in (1, 2, 3)}
    first, second = ward.score(png(1), png(3))
    reports = ward.reports()
    assert reports[first].change is None
    assert reports[second].change is not None
    assert reports[second].change.against == first
    assert (reports[second].standing.revision, ward.sent()) == (1, [".json", ".json"])
    (late,) = ward.score(png(2))  # taken between the two: the later one is compared with it now
    reports = ward.reports()
    assert reports[second].change is not None
    assert (reports[second].change.against, reports[second].standing.revision) == (late, 2)
    assert reports[first].standing.revision == reports[late].standing.revision == 1


def test_two_people_under_one_id_are_stopped_everywhere_until_a_person_decides(ward: Ward) -> None:
    ward.model.patients = {png(1): JANE, png(2): ANNA}
    first, second = ward.score(png(1), png(2))
    assert all(report.stop for report in ward.reports().values())
    assert [ward.reports()[image].standing.revision for image in (first, second)] == [2, 1]
    ward.decide(lambda d: d.split(JANE.key or "", (JANE, ANNA), "two people", "AB"))
    assert [report.stop for report in ward.reports().values()] == [None, None]
    assert ward.sent() == [".json", ".json", ".r2.json", ".r2.json", ".r3.json"]
    ward.decide(lambda d: d.undo(1, "wrong", "AB"))
    assert all(report.stop for report in ward.reports().values())


def test_an_image_that_is_sent_again_under_another_patient_replaces_the_first(ward: Ward) -> None:
    ward.model.patients = {png(1): JANE}
    (wrong,) = ward.score(png(1))
    ward.correct(wrong)
    ward.model.patients = {png(1): PatientInfo(id="P2", name="MEYER^EVA")}
    (right,) = ward.score(png(1))
    reports = ward.reports()
    assert (reports[wrong].standing.state, reports[wrong].standing.superseded_by) == ("superseded", right)
    standing = reports[right].standing
    assert (standing.state, standing.supersedes, standing.by, standing.revision) == ("corrected", wrong, "AB", 1)
    assert reports[right].standing_score("brixia").total == 0


def test_a_result_stands_again_when_the_image_that_was_to_replace_it_gets_none(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.model.patients = {png(1): JANE}
    (wrong,) = ward.score(png(1))
    ward.model.patients = {png(1): PatientInfo(id="P2")}
    monkeypatch.setattr(Amending, "first", lambda *_: (_ for _ in ()).throw(UnreadableImageError("odd", "It is odd.")))
    monkeypatch.setattr("lungsev.runtime.watcher.scoring.TRANSIENT_CODES", frozenset())
    drop(ward.side.incoming, "image.png", png(1))
    with contextlib.suppress(LungsevError):
        ward.run()
    monkeypatch.undo()
    with closing(Ledger.open(ward.side.layout.ledger)) as ledger:
        (failed,) = ledger.images("claimed", "failed", "quarantined")
        ledger.transition(failed.id, "claimed", attempts=QUICK.attempts, code="crashed")
    ward.run()
    assert ward.reports()[wrong].standing.state == "model"
    assert ward.reports()[wrong].standing.history[-1].reason == (
        "Taken back: The image that was to replace it could not be scored."
    )


def test_what_needs_an_original_that_is_gone_is_missing_with_the_reason(tmp_path: Path) -> None:
    watch = QUICK.model_copy(update={"originals": "delete"})
    ward = Ward(Bedside.make(tmp_path), settings=BedsideSettings(watch=watch))
    ward.settings = ward.settings.model_copy(update={"outputs": ("json", "hl7", "csv", "overlay")})
    ward.side.layout.create_folders(("overlays",))
    (image,) = ward.score(png(1))
    overlay = ward.side.layout.root / "overlays" / f"{image}.png"
    overlay.write_bytes(b"as it was")
    ward.correct(image)
    states = {state.name: state.reason for state in ward.reports()[image].outputs if state.state == "missing"}
    assert states == {"overlay": NOT_KEPT}
    assert not overlay.exists()
    assert (ward.side.layout.versions / "overlays" / f"{image}.r1.png").read_bytes() == b"as it was"
    assert ward.sent(".hl7") == [".hl7", ".r2.hl7"]


def test_an_image_without_a_score_is_stopped_with_its_picture(ward: Ward) -> None:
    ward.settings = ward.settings.model_copy(update={"outputs": ("json", "hl7", "csv", "overlay")})
    ward.side.layout.create_folders(("overlays",))
    ward.model.patients = {png(1): JANE, png(2): ANNA}
    ward.model.failures = {png(1): lambda: SkippedImageError("lateral", "A lateral image.", ImageInfo(patient=JANE))}
    refused, _ = ward.score(png(1), png(2))
    report = ward.reports()[refused]
    assert (report.status, report.standing.revision, report.stop is not None) == ("skipped", 2, True)
    assert [(state.name, state.state) for state in report.outputs] == [
        ("json", "written"), ("csv", "written"), ("overlay", "written"),
    ]  # fmt: skip
    assert (ward.side.layout.root / "overlays" / f"{refused}.png").is_file()


def rescore(image: str) -> Callable[[Decisions], Any]:
    return lambda d: d.request_rescore((image,), "a new model", "AB")


def test_an_image_is_scored_again_by_another_model_and_both_versions_stay(ward: Ward) -> None:
    (image,) = ward.score(png(1))
    ward.decide(rescore(image))
    assert ward.reports()[image].standing.revision == 1  # the model is the same
    old = ward.side.layout.reports / f"{image}.json"
    before = old.read_bytes()
    ward.model = QuickModel(info=NEW_MODEL, grade=3)
    ward.decide(rescore(image))
    report = ward.reports()[image]
    assert (report.model, report.standing.state, report.standing.revision) == (NEW_MODEL, "model", 2)
    assert report.standing_score("brixia").total == 3
    assert report.standing.reason == "Scored again with tiny 2."
    assert (ward.side.layout.versions / "reports" / f"{image}.r1.json").read_bytes() == before
    assert ward.sent() == [".json", ".r2.json"]


def test_a_signature_stands_beside_the_new_models_opinion(ward: Ward) -> None:
    (image,) = ward.score(png(1))
    ward.correct(image, 0)
    ward.model = QuickModel(info=NEW_MODEL, grade=3)
    ward.decide(rescore(image))
    report = ward.reports()[image]
    assert (report.model, report.standing.state, report.standing_score("brixia").total) == (NEW_MODEL, "corrected", 0)
    assert [(entry.state, entry.grades["brixia"]["A"]) for entry in report.standing.history] == [
        ("corrected", 0), ("model", 3),
    ]  # fmt: skip
    assert report.standing.revision == 3


def test_an_image_that_cannot_be_scored_again_keeps_its_score(ward: Ward) -> None:
    (image,) = ward.score(png(1))
    ward.model = QuickModel(
        info=NEW_MODEL, failures={png(1): lambda: UnreadableImageError("damaged", "It is damaged.")}
    )
    ward.settings = ward.settings.model_copy(update={"watch": QUICK.model_copy(update={"attempts": 1})})
    ward.decide(rescore(image))
    assert (ward.reports()[image].model, ward.reports()[image].standing.revision) == (MODEL, 1)


def test_decisions_that_a_backup_lacks_no_longer_stand(ward: Ward) -> None:
    (image,) = ward.score(png(1))
    ward.correct(image)
    for path in ward.side.layout.root.glob("corrections.sqlite*"):
        path.unlink()
    ward.run()
    assert ward.reports()[image].standing.revision == 2  # nothing is due
    ward.correct(image, 3)
    report = ward.reports()[image]
    assert (report.standing_score("brixia").total, report.standing.revision, len(report.standing.history)) == (3, 3, 1)


def test_results_of_an_earlier_release_are_not_sent_again(ward: Ward) -> None:
    (image,) = ward.score(png(1))
    with closing(Ledger.open(ward.side.layout.ledger)) as ledger:
        ledger.set_fields(image, said=None, due=1)
    ward.run()
    assert ward.sent() == [".json"]
    with closing(Ledger.open(ward.side.layout.ledger)) as ledger:
        ledger.set_fields(image, said=None, due=1)
    ward.correct(image)
    assert ward.sent() == [".json", ".r2.json"]


FAULTS = ("amending", "kept", "report_written", "amended", "queued")
SOME = ("amended",)  # in every test run; the rest with `make test-faults`


@pytest.mark.parametrize("point", [pytest.param(p, marks=() if p in SOME else pytest.mark.faults) for p in FAULTS])
def test_an_amendment_that_is_killed_anywhere_happens_once(tmp_path: Path, point: str) -> None:
    side = Bedside.make(tmp_path)
    (tmp_path / "share").mkdir()
    share = f"destinations=[{{kind: folder, name: share, path: {tmp_path / 'share'}, sends: [json, hl7]}}]"
    options = (share, "outputs=[json, hl7, csv]")
    drop(side.incoming, "image.png", png(1))
    assert run(side, "", *options) == 0
    (image,) = side.reports()
    with closing(Decisions(side.layout.root)) as decisions:
        decisions.correct(image, side.reports()[image], "brixia", {"A": 0}, "effusion", "AB")
    assert run(side, f"{point}=kill", *options) == -signal.SIGKILL
    assert run(side, "", *options) == 0
    report = side.reports()[image]
    assert (report.standing.state, report.standing.revision) == ("corrected", 2)
    assert sorted(path.name for path in (side.layout.versions / "reports").iterdir()) == [f"{image}.r1.json"]
    first = SeverityReport.from_json((side.layout.versions / "reports" / f"{image}.r1.json").read_text())
    assert first.standing.state == "model"
    with closing(sqlite3.connect(side.layout.root / "outbox" / "outbox.sqlite")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM deliveries ORDER BY name")]
    assert names == [f"{image}.hl7", f"{image}.json", f"{image}.r2.hl7", f"{image}.r2.json"]


@dataclass
class Desk:
    """Amending by itself, with a clock that the test moves."""

    ward: Ward
    ledger: Ledger
    decisions: Decisions
    queue: Callable[..., Any] = lambda image_id, files, revision: None
    now: float = 0.0

    def amending(self) -> Amending:
        from lungsev.runtime.outputs.catalog import open_outputs

        settings = QUICK.model_copy(update={"retry_first_seconds": 10.0, "attempts": 2})
        outputs = open_outputs(("json", "overlay"))
        return Amending(
            self.ward.side.layout, self.ledger, self.decisions, outputs, settings,
            lambda: self.ward.model, self.queue, lambda: self.now,
        )  # fmt: skip


@pytest.fixture
def desk(ward: Ward) -> Iterator[Desk]:
    ward.score(png(1))
    with (
        closing(Ledger.open(ward.side.layout.ledger)) as ledger,
        closing(Decisions(ward.side.layout.root)) as decisions,
    ):
        (image,) = ward.reports()
        decisions.correct(image, ward.reports()[image], "brixia", {"A": 0}, "effusion", "AB")
        yield Desk(ward, ledger, decisions)


def test_a_disk_that_refuses_is_an_error_and_the_image_is_amended_later(desk: Desk) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    desk.queue = refuse
    amending = desk.amending()
    with pytest.raises(OSError, match="No space"):
        amending.step()
    assert amending.step() is None
    desk.queue = lambda *_: None
    amending = desk.amending()
    amendment = amending.step()
    assert amendment is not None
    assert amendment.revision == 2
    assert amending.step() is None


def test_an_original_that_cannot_be_read_is_tried_again_and_then_done_without(desk: Desk) -> None:
    desk.ward.model.failures = {png(1): lambda: UnreadableImageError("decoder_timeout", "It took too long.")}
    amending = desk.amending()
    first = amending.step()
    assert first is not None
    assert first.revision is None
    assert amending.step() is None
    desk.now = 11.0
    second = amending.step()
    assert second is not None
    assert second.revision == 2
    (report,) = desk.ward.reports().values()
    assert [state.name for state in report.outputs if state.state == "missing"] == ["overlay"]


def test_a_device_that_failed_is_opened_again_for_the_next_amendment(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lungsev.runtime.watcher.watcher._PAUSE_SECONDS", 0.05)
    ward.settings = ward.settings.model_copy(update={"outputs": ("json", "hl7", "csv", "overlay")})
    ward.side.layout.create_folders(("overlays",))
    (image,) = ward.score(png(1))
    broken = QuickModel(score_error=lambda radiograph: BackendError("the device failed"))
    models = [broken, ward.model]
    stop = threading.Event()
    with closing(Decisions(ward.side.layout.root)) as decisions:
        decisions.correct(image, ward.reports()[image], "brixia", {"A": 0}, "effusion", "AB")
    watcher = Watcher(ward.side.incoming, ward.side.layout, ward.settings, lambda: models.pop(0))
    thread = threading.Thread(target=watcher.run, args=(stop,))
    thread.start()
    wait_for(lambda: ward.reports()[image].standing.state == "corrected")
    stop.set()
    thread.join()
    assert broken.closed
    assert models == []


def test_a_device_that_fails_is_an_error_and_a_bug_delays_its_image_alone(desk: Desk) -> None:
    desk.ward.model.score_error = lambda radiograph: BackendError("the device failed")
    amending = desk.amending()
    with pytest.raises(BackendError):
        amending.step()
    desk.now = 11.0
    desk.queue = lambda *_: 1 / 0
    desk.ward.model.score_error = lambda radiograph: None
    amending = desk.amending()
    assert amending.step() is not None
    assert amending.step() is None


def test_what_was_begun_and_is_said_otherwise_now_is_a_revision_of_its_own(desk: Desk) -> None:
    desk.queue = lambda *_: 1 / 0
    desk.amending().step()
    (image,) = desk.ward.reports()
    desk.decisions.correct(image, desk.ward.reports()[image], "brixia", {"A": 3}, "effusion", "CD")
    desk.queue = lambda *_: None
    amendment = desk.amending().step()
    assert amendment is not None
    assert amendment.revision == 3
    versions = desk.ward.side.layout.versions / "reports"
    kept = {path.name: SeverityReport.from_json(path.read_text()) for path in versions.iterdir()}
    assert {name[-7:]: report.standing.by for name, report in kept.items()} == {"r1.json": None, "r2.json": "AB"}
