"""`lungsev-run bench`: how fast this machine scores one image after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsev.runtime.commands.options import BackendOverride, BundleOption, ConfigOption, JsonOption, ThreadsOption


def bench(
    image: Annotated[
        Path | None, typer.Argument(help="Your own image file. Default: a phantom of 2500 x 2048 pixels.")
    ] = None,
    bundle: BundleOption = None,
    backend: BackendOverride = None,
    threads: ThreadsOption = None,
    runs: Annotated[int, typer.Option("--runs", min=1, max=100_000, help="Number of times to score the image.")] = 30,
    cold_start: Annotated[bool, typer.Option("--cold-start/--warm", help="Also time a fresh process.")] = True,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Measure every stage of an image, from its file to its report, beside the physical floor of this machine.

    The image takes the same way as in `score` and `watch`, the reading in a child process included.

    Example: lungsev-run bench --backend onnxruntime --json
    """
    from rich.progress import Progress
    from rich.table import Table

    from lungsev.config import load_model
    from lungsev.runtime.benchmark.measure import run_bench
    from lungsev.runtime.console import open_console
    from lungsev.runtime.settings import BedsideSettings

    overrides = {"model.bundle": bundle, "model.backend": backend, "model.threads": threads}
    model = load_model(BedsideSettings, config, overrides).model
    notes = open_console(stderr=True)  # progress: the figures can be piped
    with Progress(console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task("scoring", total=runs)
        result = run_bench(
            model.bundle_path(),
            model.backend,
            model.threads,
            image,
            engine=model.engine,
            runs=runs,
            cold_start=cold_start,
            progress=lambda done, _: progress.update(task, completed=done),
        )
    if json_output:
        print(result.to_json())
        return
    console = open_console()
    if console.is_terminal:
        table = Table(title="milliseconds per image", title_justify="left")
        for name in ("stage", "p50", "p95", "p99"):
            table.add_column(name, justify="left" if name == "stage" else "right")
        for row in result.rows():
            table.add_row(*row)
        console.print(table)
    else:
        for stage, *figures in result.rows():
            console.print(f"{stage}: p50 {figures[0]} ms, p95 {figures[1]} ms, p99 {figures[2]} ms")
    for remark in result.remarks():
        console.print(remark)
