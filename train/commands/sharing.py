"""The commands that describe a trained network and make it ready for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

Licence = Annotated[str | None, typer.Option("--licence", help="Licence of the weights, e.g. 'CC BY 4.0'.")]


@app.command()
def card(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="File; default RUN/card.md.")] = None,
    licence: Licence = None,
) -> None:
    """Write the model card of a run, in the form of the Hugging Face hub.

    Example: lungsev-train card runs/brixia/RUN --licence 'CC BY-NC-SA 4.0'
    """
    from lungsev.system import write_atomically
    from lungsev.train.console import say
    from lungsev.train.sharing.card import run_card

    text, target = run_card(run, licence), out if out is not None else run / "card.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, text)
    say(f"Done: {target}")


@app.command("export-hub")
def export_hub(
    source: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="Run folder, or folder, .zip or name.")],
    out: Annotated[Path, typer.Option("--out", help="New folder.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Bundle exported from this run, to share beside the network.")
    ] = None,
    licence: Licence = None,
) -> None:
    """Write a folder ready for the Hugging Face hub; nothing is uploaded.

    Example: lungsev-train export-hub runs/brixia/RUN --bundle my-bundle --out for-the-hub
    """
    from lungsev.bundle.zoo import find_bundle
    from lungsev.train.console import say
    from lungsev.train.sharing.hub import export_hub as write_folder
    from lungsev.train.sharing.hub import upload_command

    given = find_bundle(bundle) if bundle is not None else None
    folder = write_folder(find_bundle(source), out, given, licence)
    say(f"Done: {folder}. Read {folder / 'README.md'}, then upload it yourself: {upload_command(folder)}")
