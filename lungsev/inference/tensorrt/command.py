"""The `engine` command of `lungsev-run` and `lungsev-export`: one set of options, one implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from lungsev.bundle.archive import Bundle
    from lungsev.inference.tensorrt.device_client import Listener
    from lungsev.inference.tensorrt.progress import Progress
    from lungsev.inference.tensorrt.settings import EngineSettings


def engine(
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle: folder, .zip or name. Default: the packaged one.")
    ] = None,
    named_bundle: Annotated[Path | None, typer.Option("--bundle", help="The same as BUNDLE.")] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file of settings; its model.bundle and model.engine are used."),
    ] = None,
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

    It takes minutes once; afterwards watch and score use it, whatever it was built with. With --for the engine is built
    for another device and cannot be compared here. The build runs in a process of its own: a crash of NVIDIA's
    libraries is told, and an engine that was given up after two of them is tried again.
    """
    import json

    from rich.console import Console

    from lungsev.bundle.archive import demand_trust, read_bundle
    from lungsev.inference.tensorrt.settings import read_engine_settings

    if precision not in (None, "fp16", "fp32"):
        raise typer.BadParameter(f"{precision} is neither fp16 nor fp32", param_hint="--precision")
    if bundle is not None and named_bundle is not None:
        raise typer.BadParameter("give the bundle once, as BUNDLE or with --bundle", param_hint="--bundle")
    options = {"precision": precision, "workspace_mib": workspace, "level": level, "cache": out}
    found, settings = read_engine_settings(config, bundle or named_bundle, options)
    opened = read_bundle(found)
    demand_trust(opened)
    notes = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with _builder_progress(notes) as progress:
        document = _build(opened, settings, capability, fresh, notes.print, progress)
    if json_output:
        print(json.dumps(document, indent=2))
        return
    print(
        f"{document['engine']}: {document['precision']} for {document['device']}, {document['bytes'] / 1e6:.1f} MB, "
        f"built in {document['build_seconds']:.1f} s, {document['half_layers']} of {document['layers']} layers in half "
        "precision, " + ("compared" if document["parity"] else "not compared: it runs on another device")
    )


def _build(
    bundle: Bundle,
    settings: EngineSettings,
    capability: str | None,
    fresh: bool,
    say: Callable[[str], None],
    progress: Progress,
) -> dict[str, Any]:
    from lungsev.errors import BackendError
    from lungsev.inference.tensorrt.device_client import DeviceDiedError, Listener
    from lungsev.system import notify_progress

    def show(phase: str, share: float) -> None:
        notify_progress(f"building the engine: {share:.0%} ({phase})")
        progress(phase, share)

    listener = Listener(say, show)
    try:
        return _in_child(bundle, settings, capability, fresh, listener)
    except DeviceDiedError as error:
        raise BackendError(
            f"{error}; lower --workspace-mib if memory ran out (sudo dmesg says so), else update driver and TensorRT; "
            "images are scored on the CPU meanwhile"
        ) from None


def _in_child(
    bundle: Bundle, settings: EngineSettings, capability: str | None, fresh: bool, listener: Listener
) -> dict[str, Any]:
    from lungsev.inference.tensorrt.device_client import build_ahead_in_child, prepare_in_child
    from lungsev.inference.tensorrt.hardware import has_nvidia_gpu

    if capability is None and not has_nvidia_gpu():
        capability = settings.capability  # of the file: this is where engines are built, not where they run
    if capability is not None:
        return build_ahead_in_child(bundle, capability, settings.cache or Path("engines"), settings, listener)
    return prepare_in_child(bundle, settings, listener, fresh, asked=True)


@contextmanager
def _builder_progress(console: Console) -> Iterator[Progress]:
    """Show the builder's phases: a bar in a terminal; elsewhere a line for what is new."""
    if not console.is_terminal:
        yield _plain_lines(console.print)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("building the engine", total=1.0)
        yield lambda phase, share: bar.update(task, description=phase[:40], completed=share)


def _plain_lines(say: Callable[[str], object]) -> Progress:
    from lungsev.inference.tensorrt.progress import BuildNews

    news = BuildNews()

    def show(phase: str, share: float) -> None:
        if news.is_new(phase, share):
            say(f"building the engine: {share:.0%} ({phase})")

    return show
