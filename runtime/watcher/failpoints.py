"""Failpoints: named points at which tests kill, fail or delay the process. They do nothing without the variable.

`LUNGSEV_FAILPOINTS="report_written=kill"` kills at the first pass; `"claimed=kill@3"` kills at the third;
`"outputs=enospc@1-5"` raises OSError(ENOSPC) at passes one to five; `"decoded=sleep:0.5@1-"` waits at every pass.
Several are joined with commas. The variable is read once, when the process starts.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass, field

VARIABLE = "LUNGSEV_FAILPOINTS"

FAILPOINTS = (
    "seen",  # the ledger knows the file
    "settled",  # the file has settled
    "taken",  # the file is in work/, not yet in the ledger
    "claimed",  # the ledger knows that the file is in work/
    "attempted",  # an attempt is counted, nothing has been read
    "decoded",  # the pixels are in memory
    "scored",  # the ledger holds the report
    "outputs",  # before the first output file
    "report_written",  # one output of the image is on disk
    "written",  # the ledger knows that all outputs are on the disk
    "archived",  # the original has left work/, not yet in the ledger
    "reason_written",  # quarantine has the reason, not the image
    "quarantined",  # the image is in quarantine/, not yet in the ledger
    "done",  # the ledger knows that the image is finished
    "amending",  # the ledger knows what the next revision of a result says
    "kept",  # one output that no longer stands is in versions/
    "amended",  # the outputs of a revision are on the disk, none is queued
    "queued",  # they are queued, and the ledger does not know
    "received",  # listener: the peer's bytes are complete, not yet renamed
    "accepted",  # listener: renamed, not yet answered
)


@dataclass
class _Failpoint:
    action: str
    first: int
    last: float
    passes: int = field(default=0)


def pass_failpoint(point: str) -> None:
    """Do what the variable says for this point, if anything."""
    fault = _active.get(point)
    if fault is None:
        return
    fault.passes += 1
    if fault.first <= fault.passes <= fault.last:
        _trigger(fault.action)


def _parse(text: str) -> dict[str, _Failpoint]:
    faults = {}
    for word in filter(None, text.split(",")):
        point, _, rest = word.partition("=")
        action, _, passes = rest.partition("@")
        if point not in FAILPOINTS:
            raise ValueError(f"{VARIABLE}: {point!r} is not a failpoint; expected one of {', '.join(FAILPOINTS)}")
        first, dash, last = (passes or "1").partition("-")
        faults[point] = _Failpoint(action, int(first), float(last or "inf") if dash else int(first))
    return faults


def _trigger(action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action.startswith("sleep:"):
        time.sleep(float(action[6:]))
    else:
        number = getattr(errno, action.upper())
        raise OSError(number, os.strerror(number))


_active = _parse(os.environ.get(VARIABLE, ""))
