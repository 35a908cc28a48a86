"""`lungsev-train data`: check a dataset, or make a synthetic one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.train.commands.options import Json, Scheme

app = typer.Typer(no_args_is_help=True, help="Check a dataset, or make a synthetic one.")


@app.command("check")
def data_check(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the dataset, as it was published.")],
    scheme: Scheme = None,
    cache: Annotated[Path, typer.Option("--cache", help="Folder of the prepared images.")] = Path("runs/cache"),
    workers: Annotated[int | None, typer.Option("--workers", help="Processes; default: usable CPUs less one.")] = None,
    as_json: Json = False,
) -> None:
    """Count images, find unreadable and duplicate ones, describe the splits, and say what to do.

    Example: lungsev-train data check ../shared/cxr/brixia-cohen
    """
    from lungsev.train.console import print_json, say
    from lungsev.train.dataset_check.check import check_folder
    from lungsev.train.settings import DataSettings

    checks = check_folder(root, cache, max(1, DataSettings(workers=workers).num_workers), scheme)
    if as_json:
        print_json([check.to_dict() for check in checks])
        return
    for line in (line for check in checks for line in check.lines()):
        say(line)


@app.command("phantom")
def data_phantom(
    out: Annotated[Path, typer.Argument(help="New or empty folder.")],
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            help="Published layout: brixia, inha, cohen, ralo or severity (grades); chexpert, mimic, nih, padchest or "
            "vindr (findings); lungs, v7, montgomery, shenzhen or jsrt (lung masks).",
        ),
    ] = "brixia",
    count: Annotated[int, typer.Option("--count", help="Images.")] = 30,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same images.")] = 0,
    size_px: Annotated[int | None, typer.Option("--size-px", help="Longer side; default: the layout's own.")] = None,
) -> None:
    """Make a dataset of synthetic images in a published layout.

    Example: lungsev-train data phantom /tmp/brixia --layout brixia --count 30
    """
    from lungsev.phantom import write_dataset
    from lungsev.train.console import progress_of, say

    with progress_of("Making images", count) as advance:
        write_dataset(out, layout, count, seed, advance, size_px)
    say(f"{count} synthetic image{'' if count == 1 else 's'} in {out}, layout {layout}")
