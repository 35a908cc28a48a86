"""Intake: finds new files in the watched folder, waits until they are complete, and moves them to work/."""

from __future__ import annotations

import errno
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lungsev.reading.completeness import Verdict, check_completeness
from lungsev.runtime.scan import Entry, Scan, is_share, scan_folder
from lungsev.runtime.settings import WatchSettings
from lungsev.runtime.watcher.failpoints import pass_failpoint
from lungsev.runtime.watcher.file_moves import copy_file, move_file, remove_file
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger, NewImage
from lungsev.runtime.watcher.ledger_schema import ImageRow
from lungsev.system import sha256_of_file

log = logging.getLogger("lungsev.runtime.watcher.intake")

KNOWN_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
_LOCAL_SCAN_SECONDS, _SHARE_SCAN_SECONDS = 1.0, 5.0
_STEP_SECONDS = 2.0
_MISSED_SCANS = 2  # a rename by its writer can hide a file from one listing


@dataclass
class _Candidate:
    """A file that was seen and not yet claimed. Times are of the monotonic clock, because the wall clock jumps."""

    image_id: str
    entry: Entry
    first: float
    unchanged_since: float
    scans: int = 1
    missed: int = 0
    verdict: Verdict | None = None
    closed: bool = False  # an event said that its writer has closed it or moved it here, and it has not changed since
    blocked: bool = False


class Intake:
    """Intake of one watched folder; `step` is called at every interval, on one thread.

    Attributes:
        interval_seconds: Time between two steps when no event comes.
        excluded: (device, inode) of folders that are not looked into.
        unfinished: Number of files with unfinished names in the last scan.
    """

    def __init__(
        self,
        incoming: Path,
        layout: Layout,
        ledger: Ledger,
        settings: WatchSettings,
        drain: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Continue with the files that an earlier process saw.

        Args:
            incoming: The watched folder.
            layout: Folders of the watcher.
            ledger: Where images are recorded.
            settings: How long files settle, and the limits of a scan.
            drain: Take the files that are there now and do not wait for incomplete ones (`--once`).
            monotonic: Clock in seconds.
        """
        self._incoming = incoming
        self._layout = layout
        self._ledger = ledger
        self._settings = settings
        self._drain = drain
        self._monotonic = monotonic
        self._candidates: dict[bytes, _Candidate] = {}
        self._taken: dict[bytes, tuple[int, int]] = {}  # size and modification time of files that stay in place
        root = os.stat(layout.root)
        self.excluded = frozenset({(root.st_dev, root.st_ino)})
        share = is_share(incoming)
        self.interval_seconds = settings.scan_seconds or (_SHARE_SCAN_SECONDS if share else _LOCAL_SCAN_SECONDS)
        self._has_images_without_source = False
        self._unrecorded: list[str] = []  # ids of images in work/ that the ledger does not call claimed yet
        self.unfinished = 0
        self._unfinished_since = math.inf
        self._warned: set[str] = set()
        self._resume()

    @property
    def waiting(self) -> int:
        """Number of files that were seen and are not claimed."""
        return len(self._candidates) + len(self._unrecorded)

    @property
    def blocked(self) -> int:
        """Number of settled files that this user may not move."""
        return sum(candidate.blocked for candidate in self._candidates.values())

    @property
    def next_look_seconds(self) -> float:
        """Time until the next scan if no event comes: shorter where a file that was closed is about to settle."""
        now, grace = self._monotonic(), self._settings.closed_settle_seconds
        soon = [grace - (now - c.unchanged_since) for c in self._candidates.values() if c.closed and c.verdict is None]
        return min(self.interval_seconds, max(0.0, min(soon))) if soon else self.interval_seconds

    def step(self, arrived: frozenset[bytes] = frozenset()) -> int:
        """Scan the folder once; return how many images were claimed.

        Args:
            arrived: Files that events named: closed by a writer or moved here.

        Raises:
            OSError: The folder cannot be listed, or the disk refuses.
        """
        recorded = self._record_claims()
        settings = self._settings
        scan = scan_folder(self._incoming, self.excluded, settings.max_depth, settings.max_files, self._is_taken)
        now = self._monotonic()
        self._warn_of_limits(scan, now)
        present = {entry.source for entry in scan.entries}
        new = [entry for entry in scan.entries if not self._track(entry, now)]
        self._add(self._follow_renames(present, new, now, not scan.truncated and not scan.unreadable), now)
        for source in arrived & self._candidates.keys():
            self._candidates[source].closed = True
        return recorded + self._take_settled(now)

    def _resume(self) -> None:
        """Load what an earlier process saw and did not take, and what must not be taken again."""
        now = self._monotonic()
        for image in self._ledger.images("seen", "settled"):
            if image.source is not None:
                entry = Entry(image.source, -1, -1, image.inode)  # the next scan counts as a change
                self._candidates[image.source] = _Candidate(image.id, entry, now, now, scans=0)
        if self._settings.leave_in_place:
            self._taken = self._ledger.sources_taken()
            self._has_images_without_source = self._ledger.has_images_without_source()

    def _is_taken(self, entry: Entry) -> bool:
        return self._taken.get(entry.source) == (entry.size, entry.mtime_ns)

    def _track(self, entry: Entry, now: float) -> bool:
        """Return whether the file is a candidate already, and update it."""
        candidate = self._candidates.get(entry.source)
        if candidate is None:
            return False
        candidate.missed = 0
        candidate.scans += 1
        if candidate.entry.signature != entry.signature:
            candidate.entry = entry
            candidate.unchanged_since = now
            candidate.scans = 1
            candidate.verdict, candidate.closed = None, False
        return True

    def _follow_renames(self, present: set[bytes], new: list[Entry], now: float, saw_all: bool) -> list[Entry]:
        """Find the new names of missing candidates; those without one vanish. Return the new files that are left."""
        by_inode = {entry.inode: entry for entry in new}
        moved: set[bytes] = set()
        for source, candidate in list(self._candidates.items()):
            if source in present or (not saw_all and os.path.lexists(self._incoming_file(source))):
                continue
            renamed = by_inode.get(candidate.entry.inode)
            if renamed is not None and renamed.source not in moved:
                moved.add(renamed.source)
                del self._candidates[source]
                candidate.entry, candidate.unchanged_since, candidate.scans = renamed, now, 1
                candidate.verdict, candidate.closed = None, False
                self._candidates[renamed.source] = candidate
                self._ledger.transition(candidate.image_id, "seen", source=renamed.source)
                continue
            candidate.missed += 1
            if candidate.missed >= _MISSED_SCANS:
                self._vanish(candidate)
        return [entry for entry in new if entry.source not in moved]

    def _vanish(self, candidate: _Candidate) -> None:
        del self._candidates[candidate.entry.source]
        self._ledger.transition(
            candidate.image_id, "vanished", code="vanished", message="The file was removed before it had settled."
        )
        image_id = candidate.image_id
        log.warning("image %s was removed before it had settled", image_id, extra={"image": image_id})

    def _add(self, new: list[Entry], now: float) -> None:
        if not new:
            return
        new.sort(key=lambda entry: entry.mtime_ns)  # the newest of a backlog gets the highest sequence number
        images = [NewImage(e.source, _suffix(e.source), e.size, e.mtime_ns, e.inode) for e in new]
        for entry, image_id in zip(new, self._ledger.add(images), strict=True):
            self._candidates[entry.source] = _Candidate(image_id, entry, now, now)
            pass_failpoint("seen")

    def _take_settled(self, now: float) -> int:
        """Claim settled files, the newest first."""
        settled = [candidate for candidate in self._candidates.values() if candidate.missed == 0 and candidate.scans]
        settled.sort(key=lambda candidate: (candidate.first, candidate.entry.mtime_ns), reverse=True)
        taken = 0
        for candidate in settled:
            if self._monotonic() - now > _STEP_SECONDS:
                break  # scan again first: a newer image may have arrived
            code = self._settling(candidate, now)
            if code is not None:
                taken += self._claim(candidate, code or None)
        return taken

    def _settling(self, candidate: _Candidate, now: float) -> str | None:
        """Return "" for a settled file, the code of one that never will settle, or None to wait."""
        unchanged = now - candidate.unchanged_since
        overdue = now - candidate.first >= self._settings.incomplete_seconds
        is_still = candidate.scans >= 2 and unchanged >= self._settings.settle_seconds
        if is_still or (candidate.closed and unchanged >= self._settings.closed_settle_seconds):
            if candidate.verdict is None:
                try:
                    candidate.verdict = check_completeness(self._incoming_file(candidate.entry.source))
                except OSError as error:
                    if error.errno not in (errno.EACCES, errno.EPERM):
                        return None  # removed, or a short failure of the share: the next scan tells
                    candidate.verdict = "unrecognised"  # not readable: claim it and let reading say so
            if candidate.verdict == "complete":
                return ""
            if candidate.verdict == "unrecognised":
                patience = self._settings.unrecognised_settle_seconds
                return "" if unchanged >= patience or self._drain else None
            overdue = overdue or self._drain
        return "incomplete" if overdue else None

    def _claim(self, candidate: _Candidate, code: str | None) -> int:
        """Move the file first and record it then: an image that the ledger calls claimed is in work/."""
        entry = candidate.entry
        source = self._incoming_file(entry.source)
        if not candidate.blocked:
            settled = {"size": entry.size, "mtime_ns": entry.mtime_ns, "inode": entry.inode}
            self._ledger.transition(candidate.image_id, "settled", settled_at=time.time(), code=code, **settled)
            pass_failpoint("settled")
        image = self._ledger.image(candidate.image_id)
        assert image is not None
        try:
            claim(source, self._layout.work_file(image), self._settings.leave_in_place)
        except FileNotFoundError:
            if os.path.lexists(source):
                raise  # work/ itself is missing
            self._vanish(candidate)
            return 0
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            candidate.blocked = True
            self._warn_once(
                "blocked",
                "this user may not move images out of a folder: %s; give it write permission, or use --leave-in-place",
                error.strerror,
            )
            return 0
        pass_failpoint("taken")
        if self._settings.leave_in_place:
            if self._recognise_by_bytes(image, entry):
                return 0
            self._taken[entry.source] = (entry.size, entry.mtime_ns)
        del self._candidates[entry.source]
        self._unrecorded.append(image.id)
        return self._record_claims()

    def _recognise_by_bytes(self, image: ImageRow, entry: Entry) -> bool:
        """Find an image that stays in place in a rebuilt ledger, which knows its result but not its path."""
        if not self._has_images_without_source:
            return False
        copied = self._layout.work_file(image)
        known = self._ledger.finished_without_source(sha256_of_file(copied))
        if known is None:
            return False
        with self._ledger.transaction():
            self._ledger.delete(image.id)
            self._ledger.transition(
                known.id, known.state, source=entry.source, size=entry.size, mtime_ns=entry.mtime_ns
            )
        remove_file(copied)
        del self._candidates[entry.source]
        self._taken[entry.source] = (entry.size, entry.mtime_ns)
        return True

    def _record_claims(self) -> int:
        """Record images that are in work/, also those for which the disk refused before; return how many."""
        recorded = 0
        while self._unrecorded:
            self._ledger.transition(self._unrecorded[0], "claimed")
            pass_failpoint("claimed")
            del self._unrecorded[0]
            recorded += 1
        return recorded

    def _incoming_file(self, source: bytes) -> Path:
        return self._incoming / os.fsdecode(source)

    def _warn_of_limits(self, scan: Scan, now: float) -> None:
        self.unfinished = scan.unfinished
        self._unfinished_since = min(self._unfinished_since, now) if scan.unfinished else math.inf
        if now - self._unfinished_since >= self._settings.incomplete_seconds:
            self._warn_once(
                "unfinished",
                "files with names of unfinished copies (.x, *.part, *.tmp) do not get finished and are left alone: %d",
                scan.unfinished,
            )
        if scan.unreadable:
            self._warn_once(
                "unreadable", "folders that cannot be listed, whose images are not scored: %d", scan.unreadable
            )
        if scan.too_deep:
            self._warn_once(
                "deep", "folders deeper than watch.max_depth, whose images are not scored: %d", scan.too_deep
            )
        if scan.truncated:
            self._warn_once(
                "many",
                "more than %d files wait (watch.max_files); the others are taken after them",
                self._settings.max_files,
            )

    def _warn_once(self, kind: str, message: str, *values: object) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning(message, *values)


def claim(source: Path, target: Path, leave_in_place: bool) -> None:
    """Move a file to work/, or copy it where the source must stay.

    Raises:
        FileNotFoundError: The file was removed.
        OSError: The folder or the disk refuses.
    """
    if leave_in_place:
        copy_file(source, target)
    else:
        move_file(source, target)


def image_source(incoming: Path, image: ImageRow) -> Path | None:
    """Return the path of an image before it was claimed; None when the ledger does not know it."""
    return incoming / os.fsdecode(image.source) if image.source is not None else None


def _suffix(source: bytes) -> str:
    """Return a known suffix, or an empty string. The rest of the name is not kept."""
    ending = os.path.splitext(source)[1].lower().decode("ascii", "replace")
    return ending if ending in KNOWN_SUFFIXES else ""
