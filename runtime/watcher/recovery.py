"""Start-up: bring ledger and folders into agreement after whatever happened to the last process.

Runs before anything is taken in, under the lock, and may itself be killed and run again.
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
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.settings import WatchSettings
from lungsev.runtime.watcher.file_moves import put_away, remove
from lungsev.runtime.watcher.finalize import quarantine, read_reason
from lungsev.runtime.watcher.intake import KNOWN_SUFFIXES, film_source
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import END_STATES, OPEN_STATES, FilmRow, Ledger, LedgerCorruptError
from lungsev.runtime.watcher.scoring import ledger_fields, resume_end

log = logging.getLogger("lungsev.runtime.watcher.recovery")

_FILM_FILE = re.compile(r"^(\d{8}T\d{6}-[0-9a-f]{8})(\.[a-z]{3,5})?$")


def open_ledger(layout: Layout) -> Ledger:
    """Open the ledger; a damaged one is put aside and made anew from the folders.

    Raises:
        LungsevError: It cannot be opened for a reason that a new one would not mend.
    """
    try:
        return Ledger.open(layout.ledger)
    except LedgerCorruptError as error:
        aside = layout.root / f"ledger.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.sqlite"
        log.error("%s: kept as %s and made anew", error, aside.name)
        os.replace(layout.ledger, aside)
        for ending in ("-wal", "-shm"):
            companion = Path(f"{layout.ledger}{ending}")
            if companion.exists():
                os.replace(companion, f"{aside}{ending}")
    return Ledger.open(layout.ledger)


def complete_ledger(layout: Layout, ledger: Ledger) -> int:
    """Enter what reports/ and quarantine/ hold and the ledger does not know, so that duplicates stay duplicates.

    It has lost them when it was made anew or put back from a backup.
    """
    count = 0
    with ledger.transaction():
        for path in sorted(layout.reports.glob("*.json")):
            count += _restore_result(path, ledger)
        for path in sorted(layout.quarantine.glob("*.reason.json")):
            film_id = path.name.removesuffix(".reason.json")
            reason = read_reason(path)
            if reason is not None and _FILM_FILE.match(film_id) and ledger.film(film_id) is None:
                code, message, digest = reason
                ledger.restore(
                    film_id,
                    _suffix_in(layout.quarantine, film_id),
                    "quarantined",
                    code=code,
                    message=message,
                    sha256=digest,
                )
                count += 1
    if count:
        log.warning("%d films entered into the ledger from the results on the disk", count)
    return count


def reconcile(
    incoming: Path, layout: Layout, ledger: Ledger, outputs: Sequence[Output], settings: WatchSettings
) -> None:
    """Every film of the ledger that has not ended goes on from where the disk says it is.

    Raises:
        OSError: The disk refuses.
    """
    _remove_unfinished(layout)
    complete_ledger(layout, ledger)
    for film in ledger.films(*OPEN_STATES, "vanished"):
        _go_on(film, incoming, layout, ledger, outputs, settings)
    _tidy_work(layout, ledger)


def _go_on(
    film: FilmRow, incoming: Path, layout: Layout, ledger: Ledger, outputs: Sequence[Output], settings: WatchSettings
) -> None:
    """What lies on the disk decides: a ledger from a backup, or cut by a bad disk, is older than the folders."""
    source = film_source(incoming, film)
    if film.state == "vanished" and not os.path.lexists(layout.work_file(film)):
        return
    if resume_end(film, layout, ledger, settings):
        log.info("film %s had ended, only the ledger did not know", film.id)
    elif os.path.lexists(layout.work_file(film)):
        if source is not None and not settings.leave_in_place and _is_same_file(source, film):
            remove(source)  # copied across file systems, and the process died before the source went
        if film.state not in ("claimed", "failed"):
            ledger.move(film.id, "claimed")  # also when it was scored: its outputs were not all on the disk
    elif (report := _report_of(layout.reports / f"{film.id}.json")) is not None:
        ledger.move(film.id, "written", **ledger_fields(report))
        resume_end(replace(film, state="written", code=report.reason), layout, ledger, settings)
    elif film.state in ("seen", "settled"):
        pass  # still in the watched folder, or the intake finds that it is not
    elif source is not None and os.path.lexists(source):
        ledger.move(film.id, "seen", code=None)
    else:
        quarantine(film, "lost", "Somebody took the file out of work/.", layout, ledger, settings, outputs)


def _is_same_file(source: Path, film: FilmRow) -> bool:
    try:
        info = os.stat(source, follow_symlinks=False)
    except OSError:
        return False
    return (info.st_size, info.st_mtime_ns, info.st_ino) == (film.size, film.mtime_ns, film.inode)


def _remove_unfinished(layout: Layout) -> None:
    """Temporary files of a process that died; their films are still where they came from."""
    for folder in [layout.work, layout.quarantine, *(child for child in layout.root.iterdir() if child.is_dir())]:
        for path in folder.glob(".*.part"):
            remove(path)


def _tidy_work(layout: Layout, ledger: Ledger) -> None:
    """Films in work/ that the ledger does not expect there: it was lost or put back from a backup."""
    for path in sorted(layout.work.iterdir()):
        match = _FILM_FILE.match(path.name)
        if match is None or not path.is_file():
            continue
        film = ledger.film(match[1])
        if film is None:
            info = path.stat()
            suffix = match[2] or ""
            ledger.restore(match[1], suffix, "claimed", size=info.st_size, mtime_ns=info.st_mtime_ns)
            log.warning("film %s lay in work/ unknown to the ledger; it is scored now", match[1])
        elif film.state == "quarantined":
            put_away(path, layout.quarantine / path.name)
        elif film.state in END_STATES:
            put_away(path, layout.archive / film.id[:8] / path.name)


def _restore_result(path: Path, ledger: Ledger) -> int:
    film_id = path.name.removesuffix(".json")
    if not _FILM_FILE.match(film_id) or ledger.film(film_id) is not None:
        return 0
    report = _report_of(path)
    if report is None:
        log.warning("a file in reports/ is no report and is left alone")
        return 0
    ledger.restore(film_id, "", "done" if report.status == "scored" else "skipped", **ledger_fields(report))
    return 1


def _report_of(path: Path) -> SeverityReport | None:
    try:
        return SeverityReport.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _suffix_in(folder: Path, film_id: str) -> str:
    return next((suffix for suffix in KNOWN_SUFFIXES if (folder / f"{film_id}{suffix}").exists()), "")
