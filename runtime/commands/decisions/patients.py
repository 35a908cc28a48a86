"""`lungsev-run patients`: whose images they are: patients, merges, splits, and what was taken back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungsev.runtime.commands.options import ConfigOption, JsonOption, OutFolder

if TYPE_CHECKING:
    from lungsev.runtime.patients.decision import Decision
    from lungsev.runtime.patients.decisions import Decisions
    from lungsev.runtime.patients.patient_course import PatientCourse
    from lungsev.runtime.patients.record import Record

patients = typer.Typer(
    help="Whose images they are: list patients, merge and split them.\n\n"
    "Example: lungsev-run patients merge EMERGENCY-7 4711 --by 'A. Reader' --reason 'identified' --out lungsev-out",
    no_args_is_help=True,
)

PatientArgument = Annotated[str, typer.Argument(help="Patient id, or the short name of a patient in the list.")]
By = Annotated[str, typer.Option("--by", help="Name or initials of the person who decides.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]
Issuer = Annotated[str | None, typer.Option("--issuer", help="Issuer of the id, where several use the same id.")]


@patients.command("list")
def list_patients(
    out: OutFolder = Path("lungsev-out"),
    stopped: Annotated[bool, typer.Option("--stopped", help="Only patients whose images disagree.")] = False,
    json_output: JsonOption = False,
) -> None:
    """List the patients of a folder: ids, who their images name, and where two people may share an id.

    Example: lungsev-run patients list --stopped --out lungsev-out
    """
    import json

    from lungsev.runtime.console import count_noun, open_console

    with _opened(out) as (record, _):
        rows = [_row(course) for course in record.courses() if course.stop or not stopped]
    rows.sort(key=lambda row: (row["stop"] is None, -row["last_taken_s"]))
    for row in rows:
        del row["last_taken_s"]
    if json_output:
        print(json.dumps(rows))
        return
    console = open_console()
    if rows:
        console.print(_table(rows))
    console.print(f"{count_noun(len(rows), 'patient')}{' whose images disagree' if stopped else ''}")


@patients.command()
def merge(
    patient: Annotated[str | None, typer.Argument(help="Patient id that is given up, or a short name.")] = None,
    into: Annotated[str | None, typer.Argument(help="Patient id that remains, or a short name.")] = None,
    by: Annotated[str, typer.Option("--by", help="Name or initials of the person who decides.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    out: OutFolder = Path("lungsev-out"),
    issuer: Issuer = None,
    into_issuer: Annotated[str | None, typer.Option("--into-issuer", help="Issuer of the id that remains.")] = None,
    hl7: Annotated[
        Path | None, typer.Option("--hl7", help="File of an HL7 v2 merge (ADT^A40), instead of the two ids.")
    ] = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Merge two patients: the images of both are one course, whatever their headers name.

    With --hl7 the message says who is merged and who signs; the same message counts once.

    Example: lungsev-run patients merge EMERGENCY-7 4711 --by 'A. Reader' --reason 'identified' --out lungsev-out
    """
    if hl7 is not None:
        if patient is not None or by or reason:
            raise typer.BadParameter("the message says who is merged, why and by whom: give --hl7 FILE alone")
        _merge_by_message(out, hl7, config, json_output)
        return
    if patient is None or into is None:
        raise typer.BadParameter("give the id that is given up and the one that remains, or --hl7 FILE")
    given_up, remaining = patient, into

    def decide(record: Record, decisions: Decisions) -> Decision:
        from lungsev.patient import disagreements
        from lungsev.runtime.commands.decisions.choose import choose_course, described_by

        one = choose_course(record.courses(), given_up, issuer)
        other = choose_course(record.courses(), remaining, into_issuer)
        described = described_by((one, other))
        decision = decisions.merge(one.key, other.key, described, reason, by, "command")
        if (differing := disagreements(described)) and not json_output:
            print(f"their X-rays differ in {', '.join(differing)}: {by} vouches that they show one person")
        return decision

    _sign(out, decide, json_output)


@patients.command()
def split(
    patient: PatientArgument,
    by: By,
    reason: Reason,
    out: OutFolder = Path("lungsev-out"),
    issuer: Issuer = None,
    json_output: JsonOption = False,
) -> None:
    """Split a patient id into the people that its images name, each with a course of their own.

    Example: lungsev-run patients split 4711 --by 'A. Reader' --reason 'id used twice' --out lungsev-out
    """
    from lungsev.runtime.commands.decisions.choose import choose_course, described_by

    def decide(record: Record, decisions: Decisions) -> Decision:
        course = choose_course(record.courses(), patient, issuer)
        return decisions.split(course.key, described_by((course,)), reason, by, "command")

    _sign(out, decide, json_output)


@patients.command()
def same(
    patient: PatientArgument,
    by: By,
    reason: Reason,
    out: OutFolder = Path("lungsev-out"),
    issuer: Issuer = None,
    json_output: JsonOption = False,
) -> None:
    """Confirm that all images of a patient id show one person, for example after a change of name.

    Example: lungsev-run patients same 4711 --by 'A. Reader' --reason 'married' --out lungsev-out
    """
    from lungsev.runtime.commands.decisions.choose import choose_course, described_by

    def decide(record: Record, decisions: Decisions) -> Decision:
        course = choose_course(record.courses(), patient, issuer)
        return decisions.same_person(course.key, described_by((course,)), reason, by, "command")

    _sign(out, decide, json_output)


@patients.command("replace")
def replace_image(
    old: Annotated[str, typer.Argument(help="Id of the image whose result counts no more.")],
    new: Annotated[str, typer.Argument(help="Id of the image that has the right one.")],
    by: By,
    reason: Reason,
    out: OutFolder = Path("lungsev-out"),
    json_output: JsonOption = False,
) -> None:
    """Mark an image's result as replaced by another image's, where lungsev could not tell by itself.

    A reader's signature goes along only where both have the same pixels.

    Example: lungsev-run patients replace OLD-ID NEW-ID --by 'A. Reader' --reason 'wrong patient' --out lungsev-out
    """

    def decide(record: Record, decisions: Decisions) -> Decision:
        exams = record.exams()
        if old not in exams or new not in exams:
            raise ValueError(f"there is no image {old if old not in exams else new}")
        pixels = exams[old].report.image.pixel_sha256
        carries = pixels is not None and pixels == exams[new].report.image.pixel_sha256
        return decisions.supersede(old, new, reason, by, "command", carries)

    _sign(out, decide, json_output)


@patients.command()
def undo(
    number: Annotated[int, typer.Argument(help="Number of the decision, as in corrections list.")],
    by: By,
    reason: Reason,
    out: OutFolder = Path("lungsev-out"),
    json_output: JsonOption = False,
) -> None:
    """Take back a merge, a split, a confirmation, a replacement or an agreement; both decisions stay in the audit.

    Example: lungsev-run patients undo 12 --by 'A. Reader' --reason 'wrong patient' --out lungsev-out
    """
    _sign(out, lambda _, decisions: decisions.undo(number, reason, by, "command"), json_output)


@contextlib.contextmanager
def _opened(out: Path, create: bool = False) -> Iterator[tuple[Record, Decisions]]:
    from lungsev.errors import LungsevError
    from lungsev.runtime.patients.decisions import Decisions
    from lungsev.runtime.patients.record import Record

    if not out.is_dir():
        raise LungsevError(f"found no folder {out}; expected the one that watch or score wrote to: give --out")
    with contextlib.closing(Decisions(out, create)) as decisions:
        yield Record(out, decisions).update(), decisions


def _sign(out: Path, decide: Callable[[Record, Decisions], Decision], json_output: bool) -> None:
    from lungsev.errors import LungsevError

    with _opened(out, create=True) as (record, decisions):
        try:
            decision = decide(record, decisions)
        except ValueError as error:
            raise LungsevError(f"not stored: {error}") from None
    _say([decision], json_output)


def _merge_by_message(out: Path, hl7: Path, config: Path | None, json_output: bool) -> None:
    from lungsev.config import load_model
    from lungsev.errors import LungsevError
    from lungsev.runtime.hl7.merge import read_merge
    from lungsev.runtime.hl7.merge_recorder import MergeRecorder
    from lungsev.runtime.settings import BedsideSettings

    try:
        data = hl7.read_bytes()
    except OSError as error:
        raise LungsevError(f"cannot read {hl7}: {error.strerror}") from None
    settings = load_model(BedsideSettings, config, {})
    with contextlib.closing(MergeRecorder(out, settings.site.issuer)) as recorder:
        _say(recorder.record(read_merge(data)), json_output)


def _say(decisions: Sequence[Decision], json_output: bool) -> None:
    import json

    from lungsev.runtime.patients.decision import decision_document

    if json_output:
        print(json.dumps([decision_document(item) for item in decisions]))
        return
    for item in decisions:
        print(f"decision {item.seq} stored: {item.words}, signed {item.by}")
    if decisions:
        print("The watcher gives out what changes by it; one that is not running does so when it starts.")
    else:
        print("nothing stored: it was decided before")


def _row(course: PatientCourse) -> dict[str, Any]:
    from lungsev.runtime.commands.decisions.choose import described_by, issuer_of, short_name

    described = described_by((course,))
    exams = course.images
    last = max(exam.taken_by for exam in exams)
    return {
        "short_name": short_name(course.key),
        "ids": list(dict.fromkeys(exam.patient for exam in exams)),
        "issuer": issuer_of(course),
        "people": sorted({" ".join(filter(None, (item.name, item.birth_date, item.sex))) for item in described} - {""}),
        "images": len(exams),
        "counting": len(described),
        "last_taken": last.isoformat(timespec="minutes"),
        "last_taken_s": last.timestamp(),
        "stop": course.stop,
    }


def _table(rows: Sequence[dict[str, Any]]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from lungsev.runtime.console import display_name

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("short name", "id", "issuer", "people", "X-rays", "last", "remark"):
        table.add_column(head, justify="right" if head == "X-rays" else "left")
    for row in rows:
        cells = (row["short_name"], ", ".join(row["ids"]), row["issuer"], ", ".join(row["people"]))
        remark = row["stop"] or ("" if row["counting"] else "replaced by another image")
        last = row["last_taken"][:16].replace("T", " ")
        table.add_row(*map(display_name, cells), str(row["images"]), last, remark)
    return table
