"""`lungsev-run corrections`: what people signed: corrected grades and every other decision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.runtime.commands.options import JsonOption, OutFolder

corrections = typer.Typer(
    help="What people signed: corrected grades, agreements, merges, splits.\n\n"
    "Example: lungsev-run corrections export training-set --out lungsev-out",
    no_args_is_help=True,
)


@corrections.command("list")
def list_decisions(
    out: OutFolder = Path("lungsev-out"),
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only this kind, for example correction, agreement or merge.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """List every decision, the oldest first: who signed what, when and why, and what was taken back.

    Example: lungsev-run corrections list --out lungsev-out
    """
    import json

    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from lungsev.errors import LungsevError
    from lungsev.runtime.commands.decisions.choose import describe_subject
    from lungsev.runtime.console import count_noun, display_name, open_console
    from lungsev.runtime.patients.decision import KIND_WORDS, decision_document
    from lungsev.runtime.patients.decisions import read_decisions

    if kind is not None and kind not in KIND_WORDS:
        raise LungsevError(f"found kind {display_name(kind)}, expected one of {', '.join(KIND_WORDS)}")
    log = read_decisions(out)
    found = [item for item in log.decisions if kind in (None, item.kind)]
    undone = {item.seq: undo.seq for item in found if (undo := log.undo_of(item)) is not None}
    if json_output:
        print(json.dumps([{**decision_document(item), "taken_back_by": undone.get(item.seq)} for item in found]))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for head in ("number", "at (UTC)", "by", "what", "image or patient", "reason"):
        table.add_column(head, overflow="fold")
    for item in found:
        concerns = " > ".join(describe_subject(subject) for subject in (item.subject, item.object) if subject)
        what = item.words + (f", taken back by {undone[item.seq]}" if item.seq in undone else "")
        cells = (item.at[:16].replace("T", " "), item.by or "lungsev", what, concerns, item.reason)
        table.add_row(str(item.seq), *map(display_name, cells))
    console = open_console()
    if found:
        console.print(table)
    console.print(count_noun(len(found), "decision"))


@corrections.command()
def export(
    destination: Annotated[Path, typer.Argument(help="New folder for the training set.")],
    out: OutFolder = Path("lungsev-out"),
    scheme: Annotated[
        str | None, typer.Option("--scheme", help="Scheme to export. Default: the one corrected most.")
    ] = None,
) -> None:
    """Write the corrected images and grades as a de-identified training set that lungsev-train reads.

    Example: lungsev-run corrections export training-set --out lungsev-out
    """
    from lungsev.runtime.console import count_noun
    from lungsev.runtime.dashboard.corrections_export import export_corrections

    summary = export_corrections(out, destination, scheme)
    print(f"{count_noun(summary.written, 'image')} written to {destination}")
    if summary.without_image:
        left_out = count_noun(summary.without_image, "corrected image")
        print(f"{left_out} left out: the original is no longer kept here")
    print("Look at every image for burnt-in letters before you pass the folder on.")
