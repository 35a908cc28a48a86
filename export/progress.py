"""TensorRT's build phases as one bar in a terminal, and as nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def builder_progress() -> Iterator[Callable[[str, float], None] | None]:
    """Yields what a builder calls with its phase and the share done; None where nobody watches."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("building the engine", total=1.0)

        def show(phase: str, share: float) -> None:
            bar.update(task, description=phase[:40], completed=share)

        yield show
