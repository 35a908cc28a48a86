"""The `engine` command of `lungsev-run` and `lungsev-export`: one set of options, one implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from lungsev.inference.tensorrt.build import Progress


def engine(
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle: folder, .zip or name. Default: the packaged one.")
    ] = None,
    named_bundle: Annotated[Path | None, typer.Option("--bundle", help="The same as BUNDLE.")] = None,
    capability: Annotated[
        str | None,
        typer.Option("--for", help="Compute capability of another device, for example 8.9; needs TensorRT-RTX here."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the engine. Default: the engine cache; with --for: engines."),
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="fp16 or fp32. Default: fp16 if the bundle has it.")
    ] = None,
    workspace: Annotated[
        int | None,
        typer.Option(
            "--workspace-mib",
            min=16,
            help="Memory for the builder in MiB. Default: a quarter of the free memory, at most 1024.",
        ),
    ] = None,
    level: Annotated[
        int | None, typer.Option("--level", min=0, max=5, help="Optimisation level of the builder.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Build again although there is an engine.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Build the TensorRT engine of this device and compare it with the FP32 graph.

    It takes minutes once; afterwards every start takes seconds, and the first image does not wait for the build. With
    --for the engine is built for another device and cannot be compared here.
    """
    import json

    from rich.console import Console

    from lungsev.bundle.archive import demand_trust, read_bundle
    from lungsev.inference.tensorrt.engine import find_target
    from lungsev.inference.tensorrt.prepare import build_ahead_of_time, prepare_engine
    from lungsev.inference.tensorrt.settings import EngineSettings

    if precision not in (None, "fp16", "fp32"):
        raise typer.BadParameter(f"{precision} is neither fp16 nor fp32", param_hint="--precision")
    if bundle is not None and named_bundle is not None:
        raise typer.BadParameter("give the bundle once, as BUNDLE or with --bundle", param_hint="--bundle")
    opened = read_bundle(bundle or named_bundle)
    demand_trust(opened)
    settings = EngineSettings(precision=precision, workspace_mib=workspace, level=level, cache=out)  # type: ignore[arg-type]
    notes = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with _builder_progress(notes) as progress:
        if capability is not None:
            built = build_ahead_of_time(opened, capability, out or Path("engines"), settings, progress)
        else:
            built = prepare_engine(find_target(opened, settings), notes.print, progress, fresh)
    if json_output:
        document: dict[str, Any] = {
            "engine": str(built.path),
            "device": built.key.device,
            "bytes": len(built.plan),
            "build_seconds": built.build_seconds,
            "half_layers": built.half_layers,
            "layers": built.layers,
            "parity": built.parity,
        }
        print(json.dumps(document, indent=2))
        return
    print(
        f"{built.path}: {built.key.precision} for {built.key.device}, {len(built.plan) / 1e6:.1f} MB, "
        f"built in {built.build_seconds:.1f} s, {built.half_layers} of {built.layers} layers in half precision, "
        + ("compared" if built.parity else "not compared: it runs on another device")
    )


@contextmanager
def _builder_progress(console: Console) -> Iterator[Progress]:
    """Show the builder's phases: a bar in a terminal; elsewhere a line for each phase and each tenth of it."""
    if not console.is_terminal:
        yield _plain_lines(console.print)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("building the engine", total=1.0)
        yield lambda phase, share: bar.update(task, description=phase[:40], completed=share)


def _plain_lines(say: Callable[[str], object]) -> Progress:
    last: tuple[str, int] | None = None

    def show(phase: str, share: float) -> None:
        nonlocal last
        step = (phase, int(share * 10))
        if step != last:
            last = step
            say(f"{phase}: {share:.0%}")

    return show
