"""`lungsev-run rescore`: images are scored again with the present model, so that no course breaks at a new one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsev.runtime.commands.options import (
    BackendOverride,
    BundleOption,
    ConfigOption,
    JsonOption,
    ThreadsOption,
)

if TYPE_CHECKING:
    from lungsev.runtime.patients.decisions import Decisions
    from lungsev.runtime.patients.history import Exam
    from lungsev.runtime.patients.patient_course import PatientCourse
    from lungsev.runtime.settings import BedsideSettings
    from lungsev.runtime.watcher.amending import Amendment
    from lungsev.runtime.watcher.layout import Layout


def rescore(
    out: Annotated[Path | None, typer.Argument(help="The folder that watch writes to.  [default: lungsev-out]")] = None,
    patient: Annotated[str | None, typer.Option("--patient", help="Only this patient id, or short name.")] = None,
    issuer: Annotated[str | None, typer.Option("--issuer", help="Issuer of the patient id.")] = None,
    open_courses: Annotated[
        bool, typer.Option("--open", help="Only patients on the board; the default without --patient and --all.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Every image of the folder.")] = False,
    since: Annotated[
        datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Only images taken on this day or later.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who asks for it. Default: the user's name.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "Scored again with the present model.",
    config: ConfigOption = None,
    bundle: BundleOption = None,
    backend: BackendOverride = None,
    threads: ThreadsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Score images again with the present model: those whose score another model made.

    A running watcher does it with its own model whenever no new image waits. Without one it is done here and now: give
    the watcher's --config, which names outputs and destinations. The new score is given out as an amended result, the
    former one stays in versions/. Where a reader signed the former grades, these stand, and the history tells the new
    ones. Images whose originals are no longer kept keep their score.

    Example: lungsev-run rescore /var/lib/lungsev --open --config configs/runtime/bedside.yaml
    """
    import contextlib
    import getpass
    import json

    from lungsev.config import load_model
    from lungsev.errors import FolderLockedError, LungsevError
    from lungsev.runtime.commands.decisions.work_off import work_off
    from lungsev.runtime.console import count_noun
    from lungsev.runtime.patients.decisions import Decisions
    from lungsev.runtime.settings import BedsideSettings
    from lungsev.runtime.watcher.layout import Layout, lock_out

    if sum((patient is not None, open_courses, every)) > 1:
        raise typer.BadParameter("give one of --patient, --open and --all")
    overrides = {"model.bundle": bundle, "model.backend": backend, "model.threads": threads}
    settings = load_model(BedsideSettings, config, overrides)
    layout = Layout(out or settings.watch.out or Path("lungsev-out"))
    if not layout.ledger.is_file():
        raise LungsevError(
            f"found no ledger in {layout.root}; expected the folder of a watcher; score makes new scores"
        )
    with contextlib.closing(Decisions(layout.root)) as decisions:
        chosen = _chosen(layout.root, decisions, settings, patient, issuer, every, since)
        if not chosen:
            raise LungsevError("found no scored image to score again; see lungsev-run patients list")
        try:
            with lock_out(layout):
                _check_outputs(chosen, settings, layout)
                decisions.request_rescore([exam.id for exam in chosen], reason, by or getpass.getuser())
                done = work_off(layout, settings, decisions, None if json_output else _line)
        except FolderLockedError:
            decisions.request_rescore([exam.id for exam in chosen], reason, by or getpass.getuser())
            if json_output:
                print(json.dumps({"asked_for": len(chosen), "by_watcher": True}))
            else:
                print(f"the watcher that runs here scores {count_noun(len(chosen), 'image')} again when it is idle")
            return
    if json_output:
        data = {"asked_for": len(chosen), "by_watcher": False, "scored": done.scored, "amended": done.amended}
        print(json.dumps({**data, "unsent": done.unsent}))
        return
    print(f"{count_noun(done.scored, 'image')} scored again, {len(chosen) - done.scored} keep their score")
    if done.amended > done.scored:
        print(f"{count_noun(done.amended - done.scored, 'other result')} amended")
    if done.unsent:
        print(f"{count_noun(done.unsent, 'file')} wait to be sent: the watcher sends them when it runs")


def _chosen(
    out: Path,
    decisions: Decisions,
    settings: BedsideSettings,
    patient: str | None,
    issuer: str | None,
    every: bool,
    since: datetime | None,
) -> list[Exam]:
    """Return the scored images that were asked for, without those that another one replaced."""
    from lungsev.runtime.commands.decisions.choose import choose_course
    from lungsev.runtime.patients.record import Record

    courses: Iterable[PatientCourse] = Record(out, decisions).update().courses()
    if patient is not None:
        courses = [choose_course(courses, patient, issuer)]
    elif not every:
        now = datetime.now().astimezone()
        courses = [course for course in courses if course.is_present(now, settings.dashboard.board_hours)]
    start = since.replace(tzinfo=settings.site.zone) if since is not None else None
    if start is not None and start.tzinfo is None:
        start = start.astimezone()
    return [exam for course in courses for exam in course.scored if start is None or exam.taken_by >= start]


def _check_outputs(chosen: Iterable[Exam], settings: BedsideSettings, layout: Layout) -> None:
    """Refuse to amend results in some formats only.

    Raises:
        LungsevError: The images have outputs, or the folder has destinations, that the settings do not name.
    """
    from lungsev.errors import LungsevError
    from lungsev.runtime.delivery.deliveries import read_states

    missing = {state.name for exam in chosen for state in exam.report.outputs} - set(settings.outputs)
    known = {destination.name for destination in settings.destinations}
    missing |= {state.destination for state in read_states(layout.root)} - known
    if missing:
        raise LungsevError(
            f"this folder also has results of {', '.join(sorted(missing))}, which the settings do not name: give the "
            "watcher's --config, or start the watcher and run this again"
        )


def _line(amendment: Amendment) -> None:
    print(f"{amendment.image.id}  {'scored again' if amendment.scored_again else 'amended'}", flush=True)
