"""Recovery at the start: make ledger and folders agree, whatever ended the last process.

It runs under the lock before any image is taken, and may itself be killed and run again.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lungsev.report import SeverityReport
from lungsev.runtime.console import count_noun
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.settings import WatchSettings
from lungsev.runtime.watcher.file_moves import move_into_folder, remove_file
from lungsev.runtime.watcher.finalize import finish_interrupted, ledger_fields, quarantine, read_reason, read_report
from lungsev.runtime.watcher.intake import KNOWN_SUFFIXES, image_source
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import FINAL_STATES, OPEN_STATES, ImageRow, LedgerCorruptError

log = logging.getLogger("lungsev.runtime.watcher.recovery")

_IMAGE_FILE = re.compile(r"^(\d{8}T\d{6}-[0-9a-f]{8})(\.[a-z]{3,5})?$")


def open_ledger(layout: Layout) -> Ledger:
    """Open the ledger; a damaged one is renamed, and `complete_ledger` rebuilds it from the results.

    Raises:
        LungsevError: It cannot be opened for a reason that a new ledger would not solve.
    """
    try:
        return Ledger.open(layout.ledger)
    except LedgerCorruptError as error:
        renamed = layout.root / f"ledger.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.sqlite"
        log.error("%s: renamed to %s and rebuilt from the results", error, renamed.name)
        os.replace(layout.ledger, renamed)
        for ending in ("-wal", "-shm"):
            journal = Path(f"{layout.ledger}{ending}")
            if journal.exists():
                os.replace(journal, f"{renamed}{ending}")
    return Ledger.open(layout.ledger)


def complete_ledger(layout: Layout, ledger: Ledger) -> int:
    """Add the images in reports/ and quarantine/ that the ledger does not know, so that duplicates are recognised.

    A ledger that was rebuilt or restored from a backup lacks some.

    Returns:
        Number of images added.
    """
    count = 0
    with ledger.transaction():
        for path in sorted(layout.reports.glob("*.json")):
            count += _restore_result(path, ledger)
        for path in sorted(layout.quarantine.glob("*.reason.json")):
            image_id = path.name.removesuffix(".reason.json")
            reason = read_reason(path)
            if reason is not None and _IMAGE_FILE.match(image_id) and ledger.image(image_id) is None:
                code, message, digest = reason
                ledger.restore(
                    image_id,
                    _suffix_in(layout.quarantine, image_id),
                    "quarantined",
                    code=code,
                    message=message,
                    sha256=digest,
                )
                count += 1
    if count:
        log.warning("%s added to the ledger from the results on the disk", count_noun(count, "image"))
    return count


def reconcile(
    incoming: Path, layout: Layout, ledger: Ledger, outputs: Sequence[Output], settings: WatchSettings
) -> None:
    """Continue every unfinished image of the ledger from where it is on the disk.

    Raises:
        OSError: The disk refuses.
    """
    _remove_unfinished(layout)
    complete_ledger(layout, ledger)
    for image in ledger.images(*OPEN_STATES, "vanished"):
        _continue_image(image, incoming, layout, ledger, outputs, settings)
    _adopt_work_files(layout, ledger)


def _continue_image(
    image: ImageRow, incoming: Path, layout: Layout, ledger: Ledger, outputs: Sequence[Output], settings: WatchSettings
) -> None:
    """Let the disk decide: a ledger from a backup, or cut by a bad disk, is older than the folders."""
    source = image_source(incoming, image)
    if image.state == "vanished" and not os.path.lexists(layout.work_file(image)):
        return
    if finish_interrupted(image, layout, ledger, settings):
        log.info("image %s was finished, only the ledger did not know", image.id, extra={"image": image.id})
    elif os.path.lexists(layout.work_file(image)):
        if source is not None and not settings.leave_in_place and _is_same_file(source, image):
            remove_file(source)  # copied across file systems, and the process died before it removed the source
        if image.state not in ("claimed", "failed"):
            ledger.transition(image.id, "claimed")  # also a scored one: not all its outputs were on the disk
    elif (report := read_report(layout.reports / f"{image.id}.json")) is not None:
        ledger.transition(image.id, "written", **_restored(report))
        finish_interrupted(replace(image, state="written", code=report.reason), layout, ledger, settings)
    elif image.state in ("seen", "settled"):
        pass  # in the watched folder, or the intake notices that it is not
    elif source is not None and os.path.lexists(source):
        ledger.transition(image.id, "seen", code=None)
    else:
        quarantine(image, "lost", "The file was removed from work/.", layout, ledger, settings, outputs)


def _is_same_file(source: Path, image: ImageRow) -> bool:
    try:
        info = os.stat(source, follow_symlinks=False)
    except OSError:
        return False
    return (info.st_size, info.st_mtime_ns, info.st_ino) == (image.size, image.mtime_ns, image.inode)


def _remove_unfinished(layout: Layout) -> None:
    """Remove temporary files of a process that died; their images are still where they came from."""
    children = [child for root in (layout.root, layout.versions) if root.is_dir() for child in root.iterdir()]
    for folder in [child for child in children if child.is_dir()]:
        for path in folder.glob(".*.part"):
            remove_file(path)


def _adopt_work_files(layout: Layout, ledger: Ledger) -> None:
    """Handle images in work/ that the ledger does not expect there: it was lost or restored from a backup."""
    for path in sorted(layout.work.iterdir()):
        match = _IMAGE_FILE.match(path.name)
        if match is None or not path.is_file():
            continue
        image = ledger.image(match[1])
        if image is None:
            info = path.stat()
            suffix = match[2] or ""
            ledger.restore(match[1], suffix, "claimed", size=info.st_size, mtime_ns=info.st_mtime_ns)
            extra = {"image": match[1]}
            log.warning("image %s was in work/ but not in the ledger; it is scored now", match[1], extra=extra)
        elif image.state == "quarantined":
            move_into_folder(path, layout.quarantine / path.name)
        elif image.state in FINAL_STATES:
            move_into_folder(path, layout.archive / image.id[:8] / path.name)


def _restore_result(path: Path, ledger: Ledger) -> int:
    image_id = path.name.removesuffix(".json")
    if not _IMAGE_FILE.match(image_id) or ledger.image(image_id) is not None:
        return 0
    report = read_report(path)
    if report is None:
        log.warning("a file in reports/ is not a report and is ignored")
        return 0
    ledger.restore(image_id, "", "done" if report.status == "scored" else "skipped", **_restored(report))
    return 1


def _restored(report: SeverityReport) -> dict[str, object]:
    """Return what a report says of its image. Reports of earlier releases do not say which outputs there are."""
    fields = {**ledger_fields(report), "given": report.standing.revision, "due": 1}
    return fields if report.outputs else {**fields, "said": None}


def _suffix_in(folder: Path, image_id: str) -> str:
    return next((suffix for suffix in KNOWN_SUFFIXES if (folder / f"{image_id}{suffix}").exists()), "")
