"""A watcher as a process of its own, for tests that kill it: the real one around the quick scorer.

`python bedside_program.py ROOT [--stay] [--jumping-clock] [SETTING=VALUE ...]` watches ROOT/incoming into ROOT/out.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from pathlib import Path

from bedside_images import QUICK_BEDSIDE, QuickModel

from lungsev.config import load_model, parse_assignments
from lungsev.errors import LungsevError
from lungsev.runtime.logs import logging_to
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher import failpoints
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.watcher import Watcher, prepare_folders, stop_on_signals


def main() -> None:
    run(*sys.argv[1:])


def run_with_fault(fault: str, root: str, *options: str) -> None:
    """The same in a forked process, which has no environment of its own."""
    failpoints._active = failpoints._parse(fault)
    run(root, *options)


def run(root: str, *options: str) -> None:
    overrides = {**_flat(QUICK_BEDSIDE.model_dump(mode="json")), **parse_assignments([o for o in options if "=" in o])}
    settings = load_model(BedsideSettings, None, overrides)
    incoming, layout = Path(root) / "incoming", Layout(Path(root) / "out")
    prepare_folders(incoming, layout, settings)
    stop = threading.Event()
    stop_on_signals(stop)
    if "--jumping-clock" in options:
        let_the_clock_jump()
    try:
        with logging_to(layout.log, "debug", console=False):
            Watcher(incoming, layout, settings, QuickModel).run(stop, once="--stay" not in options)
    except LungsevError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def let_the_clock_jump() -> None:
    """By up to four years, either way, at every look."""
    real, chance = time.time, random.Random(0)
    time.time = lambda: real() + chance.choice((0.0, -1e8, 1e8, -1e4, 1e4))


def _flat(data: dict[str, object]) -> dict[str, object]:
    watch = data["watch"]
    assert isinstance(watch, dict)
    return {"outputs": data["outputs"], **{f"watch.{key}": value for key, value in watch.items()}}


if __name__ == "__main__":
    main()
