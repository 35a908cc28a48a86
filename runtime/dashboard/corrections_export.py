"""Export of corrections as a training set: corrected images with their grades, without the patients' identities.

    DEST/images/<name>.png     the image, 16 bit grey, upright
    DEST/scores.csv           filename, patient (a pseudonym), view, and a column for each region; empty: no grade
    DEST/scheme.yaml          the scheme, when it is a built-in one
    DEST/README.txt           what was left out, and what to check before the folder is passed on

`lungsev-train` reads the folder as a custom dataset. Pseudonyms come from a secret of this output folder: the same
patient has the same one in every export, and nobody can compute it from the patient's id alone.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import hmac
import io
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import ImageError, LungsevError
from lungsev.reading.read import read_radiograph
from lungsev.runtime.console import count_noun
from lungsev.runtime.outputs.csv_file import safe_cell
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.record import Record
from lungsev.schemes import builtin_schemes
from lungsev.system import write_atomically

_VIEWS = ("AP", "PA")
_README = """\
{count} with grades corrected by a reader, made by lungsev-run corrections export.

Names, ids, dates and headers were left out; `patient` is a pseudonym. The pixels are as they were: look at every
image for letters burnt into it before this folder leaves the hospital.

Look at it:   lungsev-train data check THIS_FOLDER
Train on it:  lungsev-train custom --data THIS_FOLDER   (after lungsev-train segment and lungsev-train align)
Research use only. Not for clinical use.
"""


@dataclass(frozen=True)
class ExportSummary:
    """How many images were written, and how many were not because no readable copy of them is stored."""

    written: int
    without_image: int


def export_corrections(out: Path, destination: Path, scheme: str | None = None) -> ExportSummary:
    """Write the training set.

    Args:
        out: A watcher's output folder.
        destination: Folder to create; may exist if it is empty.
        scheme: Only corrections of this scheme; None takes the one that was corrected most.

    Raises:
        LungsevError: There is nothing to export, or the destination is in use or cannot be written.
    """
    if not (out / "corrections.sqlite").is_file():
        raise LungsevError(f"found no corrections.sqlite in {out}: no grade has been corrected on the dashboard yet")
    with contextlib.closing(Decisions(out)) as decisions:
        try:
            return _export(out, destination, scheme, decisions)
        except OSError as error:
            raise LungsevError(f"cannot write to {destination}: {error.strerror or error}") from None


def _export(out: Path, destination: Path, scheme: str | None, decisions: Decisions) -> ExportSummary:
    exams = Record(out, decisions).update(every_file=True).exams()
    corrections = [item for item in decisions.log().decisions if item.kind == "correction"]
    schemes = [str(item.details["scheme"]) for item in corrections]
    if not schemes or (scheme is not None and scheme not in schemes):
        raise LungsevError(f"found no corrections{f' of scheme {scheme}' if scheme else ''} in {out}")
    chosen = scheme or max(sorted(set(schemes)), key=schemes.count)
    images = sorted({item.subject for item in corrections if item.details["scheme"] == chosen})
    if destination.exists() and any(destination.iterdir()):
        raise LungsevError(f"{destination} is not empty; give a new folder")
    (destination / "images").mkdir(parents=True)
    secret = _secret(out)
    rows: list[Mapping[str, object]] = []
    for image in images:
        exam = exams.get(image)
        pixels = _pixels(out, exam) if exam is not None else None
        if exam is None or pixels is None:
            continue
        name = f"{_pseudonym(secret, 'image', image)}.png"
        write_atomically(destination / "images" / name, _encode(pixels))
        grades = exam.report.standing_score(chosen).grades.items()
        rows.append({**_row(exam, name, secret), **{code: "" if grade is None else grade for code, grade in grades}})
    write_atomically(destination / "scores.csv", _table(rows))
    if chosen in builtin_schemes():
        data = (resources.files("lungsev.configs") / "schemes" / f"{chosen}.yaml").read_bytes()
        write_atomically(destination / "scheme.yaml", data)
    write_atomically(destination / "README.txt", _README.format(count=count_noun(len(rows), "image")).encode())
    return ExportSummary(len(rows), len(images) - len(rows))


def _row(exam: Exam, name: str, secret: bytes) -> dict[str, object]:
    view = (exam.report.image.view or "").upper()
    return {
        "filename": name,
        "patient": _pseudonym(secret, "patient", exam.course),
        "view": view if view in _VIEWS else "",  # the tag is free text in the field, and could say anything
    }


def _pixels(out: Path, exam: Exam) -> npt.NDArray[np.float32] | None:
    """Read the archived original, or else the dashboard's copy."""
    for path in _originals(out, exam.id):
        try:
            return read_radiograph(path).pixels
        except ImageError:
            continue
    return None


def _originals(out: Path, image: str) -> Iterator[Path]:
    archive = out / "archive" / image[:8]
    if archive.is_dir():
        for entry in sorted(os.scandir(archive), key=lambda entry: entry.name):
            if entry.name.startswith(f"{image}.") or entry.name == image:
                yield Path(entry.path)
    yield out / "images" / f"{image}.png"


def _encode(pixels: npt.NDArray[np.float32]) -> bytes:
    done, data = cv2.imencode(".png", (np.clip(pixels, 0, 1) * 65535 + 0.5).astype(np.uint16))
    if not done:
        raise ValueError("OpenCV could not encode the image")
    return data.tobytes()


def _table(rows: Sequence[Mapping[str, object]]) -> bytes:
    buffer = io.StringIO()
    if rows:
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: safe_cell(str(value)) for name, value in row.items()} for row in rows)
    return buffer.getvalue().encode("utf-8")


def _pseudonym(secret: bytes, kind: str, identity: str) -> str:
    return f"{kind[0]}{hmac.new(secret, f'{kind}|{identity}'.encode(), hashlib.sha256).hexdigest()[:16]}"


def _secret(out: Path) -> bytes:
    """Return the output folder's secret, created on first use and readable by its owner only."""
    path = out / "pseudonym.key"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(secrets.token_bytes(32))
            stream.flush()
            os.fsync(stream.fileno())
    return path.read_bytes()
