"""`lungsev-run bench`: how fast this machine scores one image after the other, and how far that is from its floor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungsev.runtime.commands.options import BackendOverride, BundleOption, ConfigOption, JsonOption, ThreadsOption

if TYPE_CHECKING:
    from rich.console import Console

    from lungsev.runtime.benchmark.against import Comparison
    from lungsev.runtime.benchmark.measure import BenchPlan
    from lungsev.runtime.benchmark.result import BenchResult


def bench(
    image: Annotated[
        Path | None, typer.Argument(help="Your own image file. Default: a phantom of 2500 x 2048 pixels.")
    ] = None,
    bundle: BundleOption = None,
    backend: BackendOverride = None,
    threads: ThreadsOption = None,
    runs: Annotated[int, typer.Option("--runs", min=1, max=100_000, help="Number of times to score the image.")] = 30,
    pause: Annotated[
        float, typer.Option("--pause", min=0.0, max=60.0, help="Seconds of quiet before each, as at a bedside.")
    ] = 0.5,
    drops: Annotated[
        int, typer.Option("--drops", min=0, max=100, help="Number of images to drop into a watched folder.")
    ] = 10,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            exists=True,
            file_okay=False,
            writable=True,
            help="Where that folder is made: on the disk to measure. Default: the system's temporary folder.",
        ),
    ] = None,
    layers: Annotated[
        int, typer.Option("--layers", min=0, max=10_000, help="Number of the network's slowest layers to print.")
    ] = 10,
    cold_start: Annotated[bool, typer.Option("--cold-start/--warm", help="Also time a fresh process.")] = True,
    against: Annotated[
        Path | None, typer.Option("--against", help="An earlier result: print the ratio of every figure.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write the result to, as JSON.")] = None,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Measure every stage of an image, from its file to its report, beside the physical floor of this machine.

    The image takes the same way as in `score`, the reading in a child process included; then it is dropped into a
    folder that `watch` watches. The floor is the sum over the network's layers of the larger of arithmetic and memory
    traffic. docs/benchmark.md says what every figure means.

    Example: lungsev-run bench --out now.json --against before.json
    """  # fmt: skip
    from lungsev.config import load_model
    from lungsev.errors import LungsevError
    from lungsev.runtime.benchmark.against import compare_benches, read_bench
    from lungsev.runtime.benchmark.measure import BenchPlan
    from lungsev.runtime.console import open_console
    from lungsev.runtime.settings import BedsideSettings
    from lungsev.system import write_atomically

    overrides = {"model.bundle": bundle, "model.backend": backend, "model.threads": threads}
    settings = load_model(BedsideSettings, config, overrides)
    before = read_bench(against) if against is not None else None
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise LungsevError(f"cannot write {out}: expected a file in a folder that exists")
    result = _run_with_progress(
        BenchPlan(
            settings=settings, radiograph=image, runs=runs, pause_seconds=pause, drops=drops, drop_folder=folder,
            layers=layers > 0, cold_start=cold_start,
        )
    )  # fmt: skip
    comparison = compare_benches(result.to_dict(), before) if before is not None else None
    if out is not None:
        try:
            write_atomically(out, result.to_json() + "\n")
        except OSError as error:
            raise LungsevError(f"cannot write {out}: {error.strerror}; choose another --out") from None
    if json_output:
        print(_json(result, comparison))
        return
    console = open_console()
    _show(console, result, layers)
    if comparison is not None:
        _show_comparison(console, comparison)


def _run_with_progress(plan: BenchPlan) -> BenchResult:
    from dataclasses import replace

    from rich.progress import Progress

    from lungsev.runtime.benchmark import measure
    from lungsev.runtime.console import open_console

    notes = open_console(stderr=True)  # progress: the figures can be piped
    with Progress(console=notes, transient=True, refresh_per_second=2, disable=not notes.is_terminal) as progress:
        task = progress.add_task("")

        def show(what: str, done: int, of: int) -> None:
            progress.update(task, description=what, completed=done, total=of if of > 1 else None)

        return measure.run_bench(replace(plan, progress=show))


def _json(result: BenchResult, comparison: Comparison | None) -> str:
    import json
    from dataclasses import asdict

    document = result.to_dict()
    if comparison is not None:
        document["against"] = asdict(comparison)
    return json.dumps(document, indent=2)


def _show(console: Console, result: BenchResult, layers: int) -> None:
    from lungsev.runtime.benchmark.result import COLUMNS
    from lungsev.runtime.console import count_noun

    for line in result.heading():
        console.print(line, style="yellow" if line.startswith("warning") else None)
    console.print(f"image: {result.radiograph}")
    stages = [(name, *times.texts()) for name, times in result.stages.items()]
    apart = f", {result.pause_seconds:g} s apart" if result.pause_seconds else ", in a row"
    title = f"from file to JSON, ms, {count_noun(result.runs, 'image')}{apart}"
    _table(console, title, ("stage", *COLUMNS), stages)
    if result.drops:
        drops = [(name.replace("_", " "), *times.texts()) for name, times in result.drops.items()]
        count = next(iter(result.drops.values())).n
        disk = f", on {result.drop_disk}" if result.drop_disk else ""
        title = (
            f"from the watched folder to the result on the disk, ms, {count_noun(count, 'image')}, one at a time{disk}"
        )
        _table(console, title, ("stage", *COLUMNS), drops)
    rows = result.layer_rows(layers)
    if rows:
        _table(console, result.layer_title(), ("layer", "operator", "ms", "share", "GFLOP", "MB", "floor ms"), rows)
    elif result.layer_title():
        console.print(result.layer_title())
    for remark in result.remarks():
        console.print(remark)


def _show_comparison(console: Console, comparison: Comparison) -> None:
    rows = [
        (
            ratio.name,
            ratio.unit or "-",
            f"{ratio.before:.4g}",
            f"{ratio.now:.4g}",
            "-" if ratio.ratio is None else f"{ratio.ratio:.3f}",
        )
        for ratio in comparison.ratios
    ]
    title = f"against the result of {comparison.measured_at}"
    _table(console, title, ("figure", "unit", "before", "now", "now / before"), rows)
    for difference in comparison.differences:
        console.print(f"warning: {difference}", style="yellow")
    if comparison.missing:
        console.print(f"only in one of the two: {', '.join(comparison.missing)}")


def _table(console: Console, title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table on a terminal, a line for each row elsewhere: `read: median 94.7 ms`, `infer, median: ratio 0.91`."""
    from rich.table import Table

    console.print()
    if not console.is_terminal:
        console.print(f"{title}:")
        for name, *values in rows:
            told = ", ".join(f"{column} {value}" for column, value in zip(columns[1:], values, strict=True))
            console.print(f"{name}: {told}")
        return
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        text = index == 0 or column in ("operator", "unit")
        table.add_column(column, justify="left" if text else "right", no_wrap=index > 0, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    console.print(table)
