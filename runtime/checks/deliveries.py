"""Check of what was sent, and of what could not be written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from lungsev.errors import LungsevError
from lungsev.runtime.checks.check import Check
from lungsev.runtime.console import count_noun
from lungsev.runtime.delivery.deliveries import describe_unsent, read_missing, read_states

_ADVICE = "see lungsev-run outbox; files that were refused are sent again with --retry DESTINATION"


def check_deliveries(out: Path) -> Iterator[Check]:
    """Check that results have arrived and that every output could be written.

    Args:
        out: A watcher's output folder, which may not be there yet.
    """
    try:
        states, missing = read_states(out), read_missing(out)
    except LungsevError as error:
        yield Check("deliveries", False, str(error), "start watch: it repairs the file, or says what is wrong with it")
        return
    if states:
        unsent = describe_unsent(states, time.time())
        sent, queued = sum(state.sent for state in states), sum(state.queued for state in states)
        found = " ".join(unsent) or f"{count_noun(sent, 'file')} sent, {queued} on the way"
        yield Check("deliveries", not unsent, found, _ADVICE)
    if missing:
        found = f"{count_noun(len(missing), 'output')} could not be written, the last one {missing[0].output}: "
        yield Check("outputs", True, found + missing[0].reason, "see lungsev-run outbox", warning=True)
