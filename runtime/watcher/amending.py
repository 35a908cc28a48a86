"""Amended results: what is said of an image is compared with what was given out, and given out again where it differs.

A person's decision, another image of the course or a new score changes what is said. The ledger marks the images that
are concerned (`due`) and keeps a fingerprint of what the last revision says (`said`), so that after a crash at any
point every destination gets a revision once. Outputs that no longer stand are kept in versions/.
"""

from __future__ import annotations

import filecmp
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lungsev.errors import ImageError, LungsevError
from lungsev.model import Model
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.patients.decision import Decision
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.statement import Statements, course_changes, fingerprint
from lungsev.runtime.settings import WatchSettings
from lungsev.runtime.watcher.failpoints import pass_failpoint
from lungsev.runtime.watcher.file_moves import copy_file, remove_file
from lungsev.runtime.watcher.finalize import output_file, read_report, write_outputs
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import ImageRow
from lungsev.system import fsync_folder

log = logging.getLogger("lungsev.runtime.watcher.amending")

Queue = Callable[[str, Sequence[tuple[str, Path]], int], object]
NOT_KEPT = "The original image is not kept here, so this format could not be made again."
_UNREADABLE = "The original image could not be read again, so this format could not be made again."
_PICTURES = ("image", "severity_map")  # of the pixels alone: only a new score changes them
_PAGE = 500  # images marked at a time
_SEEN = "decisions"
_EXAMS_KEPT = 2000  # in memory, those that were used last


@dataclass(frozen=True)
class Amendment:
    """What `step` did with an image: `revision` is None when what is said is what was given out."""

    image: ImageRow
    revision: int | None = None
    scored_again: bool = False


class Amending:
    """Amends one image at each `step`, on the scoring thread.

    Args:
        layout: Folders of the watcher.
        ledger: Says which images are due, and what was given out.
        decisions: Of the output folder.
        outputs: What is written again; the first is the JSON report.
        settings: Attempts, and the pauses between them.
        model: Returns the present model, open.
        queue: Queues files for the destinations.
    """

    def __init__(
        self,
        layout: Layout,
        ledger: Ledger,
        decisions: Decisions,
        outputs: Sequence[Output],
        settings: WatchSettings,
        model: Callable[[], Model],
        queue: Queue = lambda image_id, files, revision: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._layout = layout
        self._ledger = ledger
        self._decisions = decisions
        self._outputs = tuple(outputs)
        self._settings = settings
        self._model = model
        self._queue = queue
        self._monotonic = monotonic
        self._known: Statements | None = None
        self._exams: dict[str, tuple[tuple[int, int, int], Exam]] = {}
        self._pauses: dict[str, tuple[int, float]] = {}  # image id to attempts and the moment of the next

    def first(self, image: ImageRow, report: SeverityReport) -> SeverityReport:
        """Return a report with what is said of a new image: its change since before, and the red stop at once."""
        report = self._statement(image, report, time.time())
        repeated = image.said is None or image.said == fingerprint(report)
        revision = image.revision if repeated else image.revision + 1  # the former may have been sent in part
        return replace(report, standing=replace(report.standing, revision=revision))

    def finished(self, image_id: str, report: SeverityReport) -> None:
        """Mark the images of the course that an image has joined."""
        self._ledger.set_due(self._statements().keys_of(image_id, report))

    def gave_up(self, image_id: str) -> None:
        """Let what an image was to replace stand again: it gets no result."""
        self._decisions.withdraw_replacement(image_id)

    def step(self) -> Amendment | None:
        """Compare, and perhaps amend, one image; return None when none is due.

        Raises:
            OSError, sqlite3.Error: The disk refuses. Nothing is lost: call again later.
            LungsevError: The model cannot be opened. Call again later.
        """
        self._note_decisions()
        now = self._monotonic()
        waiting = [image_id for image_id, (_, due) in self._pauses.items() if due > now][:_PAGE]
        image = self._ledger.next_due(waiting)
        if image is None:
            return None
        try:
            amendment = self._amend(image)
        except ImageError as error:  # its original cannot be read this time
            log.warning("image %s is amended later: %s", image.id, error.code, extra={"image": image.id})
            self._pause(image.id)
            return Amendment(image)
        except (OSError, sqlite3.Error, LungsevError):
            self._pause(image.id)
            raise
        except Exception:  # a bug here must not stop new images
            log.exception("image %s could not be amended and is tried again", image.id, extra={"image": image.id})
            self._pause(image.id)
            return Amendment(image)
        self._pauses.pop(image.id, None)
        return amendment

    def _note_decisions(self) -> None:
        """Mark the images that new decisions concern."""
        seen, last = self._ledger.progress(_SEEN), self._decisions.last_seq()
        if last == seen:
            return
        if last < seen:  # the decisions were restored from a backup
            seen = 0
        decisions = [item for item in self._decisions.log().decisions if seen < item.seq <= last]
        with self._ledger.transaction():
            for decision in decisions:
                self._mark(decision)
            self._ledger.set_progress(_SEEN, last)

    def _mark(self, decision: Decision) -> None:
        if decision.kind == "rescore":
            images = list(decision.details["images"])
            for start in range(0, len(images), _PAGE):
                self._ledger.set_due(images[start : start + _PAGE], 2)
            return
        identities = self._statements().identities
        for subject in filter(None, (decision.subject, decision.object)):
            row = self._ledger.image(subject)
            known = row.patient_id or row.id if row is not None else subject
            self._ledger.set_due(identities.keys_with(known))

    def _amend(self, image: ImageRow) -> Amendment:
        path = self._layout.reports / f"{image.id}.json"
        report = read_report(path)
        if report is None:  # retention has deleted it
            self._ledger.set_fields(image.id, due=0)
            return Amendment(image)
        received_ns = path.stat().st_mtime_ns
        scored, report = self._scored_again(image, report)
        stated = self._statement(image, report, received_ns / 1e9)
        said = fingerprint(stated)
        revision = self._revision_of(image, stated, said)
        if revision is None:
            self._ledger.set_fields(image.id, due=0, said=said)
            return Amendment(image)
        stated = replace(stated, standing=replace(stated.standing, revision=revision))
        self._ledger.set_fields(image.id, said=said, revision=revision)
        pass_failpoint("amending")
        again = scored is not None
        outputs = [output for output in self._outputs if again or output.name not in _PICTURES]
        scored, unavailable = self._material(image, scored, outputs)
        self._keep_versions(image, outputs)
        written = write_outputs(image, replace(scored, report=stated), self._layout, outputs, unavailable, received_ns)
        there = {name for name, _ in written.files}
        for output in outputs:
            if output.name not in there:  # what was there is in versions/ and no longer stands
                remove_file(output_file(self._layout, output, image))
        pass_failpoint("amended")
        self._queue(image.id, written.files, revision)
        pass_failpoint("queued")
        with self._ledger.transaction():
            self._ledger.record_outputs(image.id, written.report.outputs)
            self._ledger.set_fields(image.id, given=revision, due=0)
        extra = {"image": image.id, "state": stated.standing.state}
        log.info("image %s amended: revision %d", image.id, revision, extra=extra)
        return Amendment(image, revision, again)

    def _revision_of(self, image: ImageRow, stated: SeverityReport, said: str) -> int | None:
        """Return the revision that says this; None when it was given out whole."""
        if image.said == said:
            return None if image.given == image.revision else image.revision
        plain = stated.standing.state == "model" and stated.stop is None
        if image.said is None and image.given and plain and not stated.standing.history:
            return None  # of an earlier release, and nobody has decided anything: it is not sent again
        return image.revision + 1

    def _scored_again(self, image: ImageRow, report: SeverityReport) -> tuple[ScoredRadiograph | None, SeverityReport]:
        """Score an image again where that was asked for and another model made its score.

        Returns:
            The image with its new report; None and the former report where there is nothing new.
        """
        original = self._layout.archive_file(image)
        if image.due != 2 or report.status != "scored" or report.model is None:
            return None, report
        known = report.model.bundle_sha256 == self._model().info.bundle_sha256
        if known and image.given == image.revision:
            return None, report
        scored = self._examined(image, original) if original.is_file() else None
        if scored is None or scored.report.status != "scored" or scored.report.model is None:
            log.warning("image %s keeps its score: there is no new one", image.id, extra={"image": image.id})
            return None, report
        if known:  # and begun before: the process died
            return scored, report
        new = scored.report
        codes = {flag.code for flag in new.quality.flags}
        added = [flag for flag in report.quality.flags if flag.code.startswith("same_") and flag.code not in codes]
        verdict = "warn" if added and new.quality.verdict == "ok" else new.quality.verdict
        new = replace(
            new,
            image=report.image,
            patient=report.patient,
            acquired=report.acquired,
            quality=replace(new.quality, verdict=verdict, flags=(*new.quality.flags, *added)),
            standing=report.standing,
            outputs=report.outputs,
        )
        self._decisions.record_rescored(image.id, report, new)
        return replace(scored, report=new), new

    def _material(
        self, image: ImageRow, scored: ScoredRadiograph | None, outputs: Sequence[Output]
    ) -> tuple[ScoredRadiograph, dict[str, str]]:
        """Return what outputs are made from, and the outputs that cannot be made, with the reason."""
        if scored is not None:
            return scored, {}
        report = read_report(self._layout.reports / f"{image.id}.json")
        assert report is not None
        plain = ScoredRadiograph(report)
        needs = {output.needs for output in outputs}
        if needs == {"report"}:
            return plain, {}
        original = self._layout.archive_file(image)
        kept = original.is_file()
        if kept and "pixels" not in needs:
            return replace(plain, source=original), {}
        examined = self._examined(image, original) if kept else None
        if examined is not None and (examined.radiograph is not None or report.status != "scored"):
            return examined, {}
        reason = _UNREADABLE if kept else NOT_KEPT
        return plain, {output.name: reason for output in outputs if output.needs != "report"}

    def _examined(self, image: ImageRow, original: Path) -> ScoredRadiograph | None:
        """Read and score an original; None when it cannot be read, also after several attempts."""
        try:
            return self._model().examine_readable(original)
        except ImageError:
            if self._pauses.get(image.id, (0, 0.0))[0] + 1 < self._settings.attempts:
                raise
            return None

    def _keep_versions(self, image: ImageRow, outputs: Sequence[Output]) -> None:
        """Give the outputs that no longer stand a second name in versions/."""
        for output in outputs:
            path = output_file(self._layout, output, image)
            if not path.is_file():
                continue
            folder = self._layout.versions / output.folder
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            row = self._ledger.image(image.id)
            assert row is not None
            for number in range(max(1, image.given), row.revision):
                if _keep(path, folder / f"{image.id}.r{number}{output.suffix}"):
                    break
            fsync_folder(folder)
            pass_failpoint("kept")

    def _statement(self, image: ImageRow, report: SeverityReport, received: float) -> SeverityReport:
        """Return an image's report with what is said of it now; other images that need no look lose their mark."""
        statements = self._statements()
        rows = [row for row in self._ledger.images_of(statements.keys_of(image.id, report)) if row.id != image.id]
        others = [exam for row in rows if (exam := self._exam(row.id)) is not None]
        stated = statements.states([Exam(image.id, report, received), *others])
        for row in rows:
            whole = row.due == 1 and row.given == row.revision and row.id in stated
            if whole and row.said == fingerprint(stated[row.id]):
                self._ledger.set_fields(row.id, due=0)
        return stated[image.id]

    def _exam(self, image_id: str) -> Exam | None:
        """Return an image's exam, read once for every file of it; None when its report is gone."""
        path = self._layout.reports / f"{image_id}.json"
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._exams.pop(image_id, None)
        if known is None or known[0] != stamp:
            report = read_report(path)
            known = (stamp, Exam(image_id, report, status.st_mtime)) if report is not None else None
        if known is None:
            return None
        self._exams[image_id] = known
        if len(self._exams) > _EXAMS_KEPT:
            del self._exams[next(iter(self._exams))]
        return known[1]

    def _statements(self) -> Statements:
        log_ = self._decisions.log()
        if self._known is None or self._known.last_seq != log_.last_seq:
            self._known = Statements(log_, course_changes)
        return self._known

    def _pause(self, image_id: str) -> None:
        attempts = self._pauses.get(image_id, (0, 0.0))[0] + 1
        delay = min(self._settings.retry_longest_seconds, self._settings.retry_first_seconds * 2 ** (attempts - 1))
        self._pauses[image_id] = (attempts, self._monotonic() + delay)


def _keep(path: Path, target: Path) -> bool:
    """Give a file a second name unless another file has it; return whether it has it now."""
    if os.path.lexists(target):
        return filecmp.cmp(path, target, shallow=False)
    try:
        os.link(path, target)
    except OSError:  # the file system has no second names
        copy_file(path, target)
    return True
