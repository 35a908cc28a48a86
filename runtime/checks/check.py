"""One check, and how checks are printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from lungsev.runtime.console import open_console


@dataclass(frozen=True)
class Check:
    """One check. `advice` says what to do when it is not `ok`, or when it is and still a `warning`."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    warning: bool = False


def print_checks(checks: Sequence[Check], json_output: bool) -> None:
    """Print a line for each check, or JSON."""
    if json_output:
        print(json.dumps([asdict(check) for check in checks], indent=2))
        return
    console = open_console()
    for check in checks:
        mark = "FAIL" if not check.ok else "warn" if check.warning else "ok  "
        console.print(f"{mark} {check.name}: {check.found}")
        if check.advice and (check.warning or not check.ok):
            console.print(f"     what to do: {check.advice}")
