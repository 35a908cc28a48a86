"""`lungsev-run trend`: a patient's course as a table, a picture and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.runtime.commands.options import JsonOption, OutFolder


def trend(
    patient: Annotated[str, typer.Argument(help="Patient id, as in the images, or a short name of patients list.")],
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
    import contextlib
    import json

    from lungsev.drawing.overlay import encode_png
    from lungsev.errors import LungsevError
    from lungsev.report import DISCLAIMER
    from lungsev.runtime.commands.decisions.choose import choose_course
    from lungsev.runtime.console import count_noun, display_name, open_console
    from lungsev.runtime.patients.chart import draw_trend
    from lungsev.runtime.patients.decisions import Decisions
    from lungsev.runtime.patients.record import Record
    from lungsev.runtime.patients.trend import patient_trend
    from lungsev.runtime.patients.trend_sentences import trend_document
    from lungsev.runtime.patients.trend_table import trend_remarks, trend_table
    from lungsev.system import write_atomically

    with contextlib.closing(Decisions(out, create=False)) as decisions:
        images = choose_course(Record(out, decisions).update().courses(), patient, issuer).images
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


def trend_name(patient: str) -> str:
    """Return a file name that does not tell the patient."""
    import hashlib

    return f"trend-{hashlib.sha256(patient.encode()).hexdigest()[:12]}"
