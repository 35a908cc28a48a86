"""Finalization of an image: a result or a reason, never both, whenever the process dies.

Every step may be repeated: after a crash `finish_result` and `quarantine` are called again and continue.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import DISCLAIMER, ImageInfo, SeverityReport
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.patients.statement import fingerprint
from lungsev.runtime.settings import WatchSettings
from lungsev.runtime.watcher.failpoints import pass_failpoint
from lungsev.runtime.watcher.file_moves import move_into_folder, remove_file
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import ImageRow, State
from lungsev.standing import OutputState
from lungsev.system import fsync_folder, write_atomically

log = logging.getLogger("lungsev.runtime.watcher.finalize")


def output_file(layout: Layout, output: Output, image: ImageRow) -> Path:
    """Return where `watch` keeps one output of an image."""
    return layout.root / output.folder / (image.id + output.suffix)


@dataclass(frozen=True)
class Written:
    """The outputs of one image: its report with the state of each, and name and file of those that wrote something."""

    report: SeverityReport
    files: tuple[tuple[str, Path], ...]


def write_outputs(
    image: ImageRow,
    scored: ScoredRadiograph,
    layout: Layout,
    outputs: Sequence[Output],
    unavailable: Mapping[str, str] | None = None,
    received_ns: int | None = None,
) -> Written:
    """Write all outputs. The JSON report comes last, says which are missing and why, and must succeed.

    Args:
        image: The image.
        scored: What is written; the states in its report stay for outputs that are not among `outputs`.
        layout: Folders of the watcher.
        outputs: The first is the JSON report.
        unavailable: Names of outputs that cannot be written, with the reason.
        received_ns: Modification time of the report, which says when the image came; None is now.

    Raises:
        OSError: The disk refuses; no incomplete file is left.
    """
    pass_failpoint("outputs")
    files: list[tuple[str, Path]] = []
    states = {state.name: state for state in scored.report.outputs}
    for output in outputs[1:]:
        reason = (unavailable or {}).get(output.name)
        if reason is None:
            path, reason = _write_one(image, scored, layout, output)
            if path is not None:
                files.append((output.name, path))
                states[output.name] = OutputState(output.name)
        if reason is not None:
            states[output.name] = OutputState(output.name, "missing", reason)
        pass_failpoint("report_written")
    states = {output.name: states[output.name] for output in outputs[1:] if output.name in states} | states
    states = {outputs[0].name: OutputState(outputs[0].name)} | states
    report = replace(scored.report, outputs=tuple(states.values()))
    path = _write_report(
        replace(scored, report=report), outputs[0], output_file(layout, outputs[0], image), received_ns
    )
    pass_failpoint("report_written")
    return Written(report, ((outputs[0].name, path), *files))


def _write_one(
    image: ImageRow, scored: ScoredRadiograph, layout: Layout, output: Output
) -> tuple[Path | None, str | None]:
    """Write one output; return its file, or why it is missing; neither where the format has none for such an image."""
    try:
        path = output.write(scored, output_file(layout, output, image))
    except LungsevError as error:
        text = str(error)
        log.warning("output %s of image %s is missing", output.name, image.id, extra={"image": image.id})
        return None, text[:1].upper() + text[1:].rstrip(".") + "."
    except OSError:
        raise
    except Exception as error:
        log.exception("output %s of image %s failed", output.name, image.id, extra={"image": image.id})
        return None, f"Unexpected {type(error).__name__}; the log says more."
    return path, None


def _write_report(scored: ScoredRadiograph, output: Output, target: Path, received_ns: int | None) -> Path:
    if received_ns is None:
        path = output.write(scored, target)
    else:  # the time is set before the report takes its name: nobody reads it with another
        temporary = target.with_name(f".{target.name}.part")
        path = output.write(scored, temporary)
        os.utime(temporary, ns=(received_ns, received_ns))
        os.replace(temporary, target)
        fsync_folder(target.parent)
    assert path is not None
    return target


def ledger_fields(report: SeverityReport) -> dict[str, Any]:
    """Return the fields of a report that the ledger keeps. `code` is None exactly for scored images."""
    image: ImageInfo = report.image
    return {
        "code": report.reason,
        "message": report.message,
        "sha256": image.sha256,
        "sop_instance_uid": image.sop_instance_uid,
        "pixel_sha256": image.pixel_sha256,
        "patient_id": report.patient.key,
        "acquired_at": image.acquired_at,
        "said": fingerprint(report),
        "revision": report.standing.revision,
    }


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


def finish_interrupted(image: ImageRow, layout: Layout, ledger: Ledger, settings: WatchSettings) -> bool:
    """Finish an image whose result or reason was on the disk when the process died; return False when neither was."""
    if image.state == "written":
        finish_result(image, "skipped" if image.code else "done", layout, ledger, settings)
        return True
    reason = read_reason(layout.reason_file(image))
    if reason is not None:
        finish_quarantine(image, reason[0], reason[1], layout, ledger, settings, reason[2])
        return True
    return False


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
