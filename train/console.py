"""Messages of a training: rich on a terminal, plain lines elsewhere, nothing on other ranks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from lungsev.train.threads import pool_threads

Item = TypeVar("Item")
_aside = False


def is_main_process() -> bool:
    """False on the other processes of a torchrun."""
    return os.environ.get("RANK", "0") == "0"


def leave_stdout_to_machines(yes: bool) -> None:
    """Send messages to standard error, so that with --json a pipe gets JSON and nothing else."""
    global _aside
    _aside = yes


def print_json(data: Any) -> None:
    """One line of JSON on standard output, ASCII so that any name of a file can be printed by any locale."""
    if is_main_process():
        sys.stdout.write(json.dumps(data, ensure_ascii=True, allow_nan=False) + "\n")


def console() -> Console:
    """Return a new console for people; silent on the other processes of a torchrun."""
    return Console(quiet=not is_main_process(), highlight=False, soft_wrap=True, stderr=_aside)


def say(text: str) -> None:
    """One plain line."""
    console().print(escape(text))


def warn(text: str) -> None:
    """One line that asks for attention."""
    console().print(f"[yellow]note:[/yellow] {escape(text)}")


@contextmanager
def progress_of(title: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A callback (done, of) that moves a bar on a terminal; elsewhere a plain line at the start. No title, no word."""
    if not title or not console().is_terminal:
        if title and total > 1:
            say(f"{title}: {total}")
        yield lambda done, of: None
        return
    with Progress(*_columns(), console=console(), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def track(items: Iterable[Item], title: str, total: int) -> Iterator[Item]:
    """Pass items on and show how far it is; a plain line at the start where there is no terminal."""
    screen = console()
    if not console().is_terminal or not is_main_process():
        if total > 1:
            screen.print(f"{title}: {total}")
        yield from items
        return
    with Progress(*_columns(), console=screen, transient=True) as progress:
        task = progress.add_task(title, total=total)
        for item in items:
            yield item
            progress.advance(task)


def in_threads(work: Callable[[int], None], count: int, title: str) -> None:
    """Call `work` with 0 to count - 1, as many at once as this process has threads, and show how far it is.

    Raises:
        Exception: The first that `work` raised.
    """
    with ThreadPoolExecutor(pool_threads()) as pool:
        for _ in track(pool.map(work, range(count)), title, count):
            pass


def _columns() -> tuple[ProgressColumn, ...]:
    return TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
