"""`lungsev-run phantoms`: a folder of phantom patients to try the dashboard with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def phantoms(
    folder: Annotated[Path, typer.Argument(help="New or empty folder.")],
    patients: Annotated[int, typer.Option("--patients", min=1, max=100, help="Number of patients in the unit.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same patients.")] = 7,
) -> None:
    """Write a unit of phantom patients: up to two weeks of portable radiographs each, as DICOM files in one folder.

    Some patients get worse and some better; one newest image is tilted, one is a lateral, one file is damaged. None is
    of a real patient. Watch the folder to try the dashboard: lungsev-run watch FOLDER --dashboard

    Example: lungsev-run phantoms ward
    """
    from datetime import datetime

    from rich.progress import Progress

    from lungsev.errors import LungsevError
    from lungsev.phantom.unit import count_files, write_unit
    from lungsev.runtime.console import count_noun, open_console

    console = open_console()
    expected = count_files(patients, seed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise LungsevError(f"{folder} is not empty; give a new folder, so that phantoms and images do not mix")
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("drawing images", total=expected)
            for _ in write_unit(folder, patients, seed, datetime.now()):
                progress.advance(task)
    except OSError as error:
        raise LungsevError(f"cannot write to {folder}: {error.strerror or error}; choose another folder") from None
    console.print(f"{expected} files of {count_noun(patients, 'phantom patient')} in {folder}")
    console.print(f"next: lungsev-run watch {folder} --dashboard")
