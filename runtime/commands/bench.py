"""`lungsev-run bench`: how fast this machine scores one image after the other."""

from __future__ import annotations

from pathlib import Path

from rich.progress import Progress
from rich.table import Table

from lungsev.runtime.commands.benchmark import run_bench
from lungsev.runtime.console import open_console


def bench_command(
    bundle: Path | None,
    backend: str,
    threads: int | None,
    image: Path | None,
    runs: int,
    cold_start: bool,
    json_output: bool,
) -> None:
    """Measure and print; progress goes to standard error, so that the figures can be piped."""
    notes = open_console(stderr=True)
    with Progress(console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task("scoring", total=runs)
        result = run_bench(
            bundle,
            backend,
            threads,
            image,
            runs=runs,
            cold_start=cold_start,
            progress=lambda done, _: progress.update(task, completed=done),
        )
    if json_output:
        print(result.to_json())
        return
    console = open_console()
    table = Table(title="milliseconds per image", title_justify="left")
    for name in ("stage", "p50", "p95", "p99"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for row in result.rows():
        table.add_row(*row)
    if console.is_terminal:
        console.print(table)
    else:
        for stage, *figures in result.rows():
            console.print(f"{stage}: p50 {figures[0]} ms, p95 {figures[1]} ms, p99 {figures[2]} ms")
    for remark in result.remarks():
        console.print(remark)
