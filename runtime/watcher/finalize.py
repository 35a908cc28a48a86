"""Finalization of an image: a result or a reason, never both, whenever the process dies.

Every step may be repeated: after a crash `finish_result` and `quarantine` are called again and continue.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import DISCLAIMER, SeverityReport
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.settings import WatchSettings
from lungsev.runtime.watcher.failpoints import pass_failpoint
from lungsev.runtime.watcher.file_moves import move_into_folder, remove_file
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import ImageRow, State
from lungsev.system import write_atomically

log = logging.getLogger("lungsev.runtime.watcher.finalize")


def output_file(layout: Layout, output: Output, image: ImageRow) -> Path:
    """Return where `watch` keeps one output of an image."""
    return layout.root / output.folder / (image.id + output.suffix)


def write_outputs(
    image: ImageRow, scored: ScoredRadiograph, layout: Layout, outputs: Sequence[Output]
) -> list[tuple[str, Path]]:
    """Write all outputs. The JSON report comes first and must succeed; an error in another format is logged.

    Returns:
        Name and file of every output that wrote something for this image.

    Raises:
        OSError: The disk refuses; no incomplete file is left.
    """
    pass_failpoint("outputs")
    written: list[tuple[str, Path]] = []
    for output in outputs:
        try:
            path = output.write(scored, output_file(layout, output, image))
        except OSError:
            raise
        except Exception:
            if not written:
                raise
            log.exception("output %s of image %s failed", output.name, image.id, extra={"image": image.id})
            continue
        if path is not None:
            written.append((output.name, path))
        pass_failpoint("report_written")
    return written


def finish_result(image: ImageRow, end: State, layout: Layout, ledger: Ledger, settings: WatchSettings) -> None:
    """Archive or delete the original of an image whose outputs are on the disk, and finish the image.

    Raises:
        OSError: The disk refuses; the image stays `written` and is finished later.
    """
    work = layout.work_file(image)
    if settings.leave_in_place or settings.originals == "delete":
        remove_file(work)
    elif os.path.lexists(work):
        move_into_folder(work, layout.archive_file(image))
    elif not os.path.lexists(layout.archive_file(image)):
        extra = {"image": image.id}
        log.warning("the original of image %s is missing: it was removed from work/", image.id, extra=extra)
    pass_failpoint("archived")
    ledger.transition(image.id, end)
    pass_failpoint("done")


def quarantine(
    image: ImageRow,
    code: str,
    message: str,
    layout: Layout,
    ledger: Ledger,
    settings: WatchSettings,
    outputs: Sequence[Output] = (),
    sha256: str | None = None,
) -> None:
    """Quarantine an image with its reason; outputs that were written are removed.

    Raises:
        OSError: The disk refuses; the image stays unfinished and is quarantined later.
    """
    for output in outputs:
        remove_file(output_file(layout, output, image))
    reason = {
        "id": image.id,
        "status": "failed",
        "error": code,
        "message": message,
        "sha256": sha256,
        "bytes": image.size,
        "attempts": image.attempts,
        "at": datetime.fromtimestamp(time.time(), timezone.utc).isoformat(timespec="seconds"),
        "image": None if settings.leave_in_place else image.file_name,
        "disclaimer": DISCLAIMER,
    }
    data = json.dumps({key: value for key, value in reason.items() if value is not None}, indent=2) + "\n"
    write_atomically(layout.reason_file(image), data.encode("utf-8"))
    pass_failpoint("reason_written")
    finish_quarantine(image, code, message, layout, ledger, settings, sha256)


def finish_quarantine(
    image: ImageRow,
    code: str,
    message: str,
    layout: Layout,
    ledger: Ledger,
    settings: WatchSettings,
    sha256: str | None = None,
) -> None:
    """Move an image whose reason is on the disk into quarantine, and finish it."""
    work = layout.work_file(image)
    if settings.leave_in_place:
        remove_file(work)
    elif os.path.lexists(work):
        move_into_folder(work, layout.quarantine_file(image))
    pass_failpoint("quarantined")
    ledger.transition(image.id, "quarantined", code=code, message=message, sha256=sha256)
    log.warning("image %s was quarantined: %s", image.id, code, extra={"image": image.id, "code": code})
    pass_failpoint("done")


def read_reason(path: Path) -> tuple[str, str, str | None] | None:
    """Return (code, message, sha256) of a reason file; None when it is missing or something else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return str(data["error"]), str(data["message"]), data.get("sha256")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_report(path: Path) -> SeverityReport | None:
    """Return the report in a file; None when it is missing or something else."""
    try:
        return SeverityReport.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
