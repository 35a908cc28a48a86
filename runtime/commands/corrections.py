"""`lungsev-run corrections`: the grades that readers corrected on the dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.runtime.commands.options import OutFolder

corrections = typer.Typer(
    help="Grades that readers corrected on the dashboard.\n\n"
    "Example: lungsev-run corrections export training-set --out lungsev-out",
    no_args_is_help=True,
)


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
