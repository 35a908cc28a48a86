"""Amended results without a watcher: what is due in a folder is done here and now."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from lungsev.errors import LungsevError
from lungsev.model import Model, load
from lungsev.runtime.delivery.deliveries import read_states
from lungsev.runtime.delivery.outbox import Outbox
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.amending import Amending, Amendment
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger


@dataclass(frozen=True)
class WorkDone:
    """How many images were scored again, how many results amended, and how many files were not sent."""

    scored: int
    amended: int
    unsent: int


def work_off(
    layout: Layout,
    settings: BedsideSettings,
    decisions: Decisions,
    on_amended: Callable[[Amendment], None] | None = None,
    open_model: Callable[[], Model] | None = None,
) -> WorkDone:
    """Amend every result that is due, and send what can be sent. The caller holds the folder's lock.

    Args:
        layout: Folders of the watcher.
        settings: Name its outputs, destinations and model.
        decisions: Of the folder.
        on_amended: Called for every amended result.
        open_model: Opens the model; None opens the one of the settings.

    Raises:
        LungsevError: The model cannot be opened, or the disk refuses; what is left is due in the next run.
    """
    model = settings.model
    with contextlib.ExitStack() as stack:
        ledger = Ledger.open(layout.ledger)
        stack.callback(ledger.close)
        outbox = None
        if settings.destinations:
            outbox = Outbox(layout.root / "outbox", settings.destinations)
            stack.callback(outbox.close)
        opened = stack.enter_context(
            open_model()
            if open_model
            else load(model.bundle_path(), model.backend, model.threads, allow_unsigned=model.allow_unsigned)
        )
        outputs = open_outputs(settings.outputs, settings.site.zone)
        layout.create_folders(tuple(output.folder for output in outputs))
        queue = outbox.queue if outbox is not None else _send_nothing
        amending = Amending(layout, ledger, decisions, outputs, settings.watch, lambda: opened, queue)
        done = []
        try:
            while (amendment := amending.step()) is not None:
                if amendment.revision is not None:
                    done.append(amendment)
                    if on_amended is not None:
                        on_amended(amendment)
            if outbox is not None:
                outbox.deliver_due()
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise LungsevError(f"cannot use {layout.root}: {reason}; check the disk and run it again") from None
    unsent = sum(state.queued + state.refused for state in read_states(layout.root))
    return WorkDone(sum(item.scored_again for item in done), len(done), unsent)


def _send_nothing(image_id: str, files: object, revision: int) -> None:
    """Stand in for the outbox when there are no destinations."""
