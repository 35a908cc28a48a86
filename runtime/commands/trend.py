"""`lungsev-run trend`: a patient's course as a table, a picture and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsev.runtime.commands.options import JsonOption, OutFolder

if TYPE_CHECKING:
    from lungsev.runtime.patients.history import Exam


def trend(
    patient: Annotated[str, typer.Argument(help="Patient id, as in the images.")],
    out: OutFolder = Path("lungsev-out"),
    scheme: Annotated[
        str | None, typer.Option("--scheme", help="Scheme to show. Default: brixia if the images have it.")
    ] = None,
    png: Annotated[Path | None, typer.Option("--png", help="File for the picture. Default: in OUT/trends.")] = None,
    json_output: JsonOption = False,
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="Issuer of the patient id, where several issuers use the same id.")
    ] = None,
) -> None:
    """Show a patient's course: totals and zones by the dates of the images.

    A change has a probability, from the images' distributions and the model's measured repeatability. Images of
    another view, or scored by another model, are marked.

    Example: lungsev-run trend 4711 --out lungsev-out
    """
    import json

    from lungsev.drawing.overlay import encode_png
    from lungsev.errors import LungsevError
    from lungsev.report import DISCLAIMER
    from lungsev.runtime.console import count_noun, display_name, open_console
    from lungsev.runtime.patients.chart import draw_trend
    from lungsev.runtime.patients.history import History
    from lungsev.runtime.patients.trend import patient_trend
    from lungsev.runtime.patients.trend_sentences import trend_document
    from lungsev.runtime.patients.trend_table import trend_remarks, trend_table
    from lungsev.system import write_atomically

    images = _images_of(History(out).refresh(), patient, issuer, out)
    course = patient_trend(images, scheme)
    if course is None:
        wanted = f" under the scheme {scheme}" if scheme else ""
        raise LungsevError(
            f"the patient has {count_noun(len(images), 'image')}, none with a score{wanted}; see the reports for why"
        )
    path = png or out / "trends" / f"{trend_name(patient)}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encode_png(draw_trend(course, f"Course of {count_noun(len(course.points), 'X-ray')}")))
    except OSError as error:
        raise LungsevError(f"cannot write the picture: {error.strerror or error}; choose another --png") from None
    if json_output:
        print(
            json.dumps(
                {**trend_document(course), "png": display_name(path), "disclaimer": DISCLAIMER}, ensure_ascii=True
            )
        )
        return
    console = open_console()
    console.print(trend_table(course))
    for remark in trend_remarks(course):
        console.print(remark)
    console.print(f"picture: {path}", soft_wrap=True)
    console.print(DISCLAIMER)


def _images_of(exams: Mapping[str, Exam], patient: str, issuer: str | None, out: Path) -> list[Exam]:
    """Return the images of the one patient with this id.

    Raises:
        LungsevError: There is none, or there are several.
    """
    from lungsev.errors import LungsevError
    from lungsev.runtime.console import count_noun, display_name
    from lungsev.runtime.patients.history import exams_of

    courses = {
        exam.course: exam.report.patient.issuer or "none"
        for exam in exams.values()
        if exam.patient == patient and issuer in (None, exam.report.patient.issuer or "none")
    }
    if len(courses) > 1:
        issuers = ", ".join(sorted(display_name(found) for found in courses.values()))
        raise LungsevError(
            f"{len(courses)} patients have this id, from the issuers {issuers}; choose one with --issuer ISSUER"
        )
    images = [image for course in courses for image in exams_of(exams, course)]
    if not images:
        patients = count_noun(len({exam.course for exam in exams.values()}), "patient")
        raise LungsevError(
            f"no image of this patient among {count_noun(len(exams), 'report')} of {patients} in {out}; "
            "check the patient id and --out"
        )
    return images


def trend_name(patient: str) -> str:
    """Return a file name that does not tell the patient."""
    import hashlib

    return f"trend-{hashlib.sha256(patient.encode()).hexdigest()[:12]}"
