from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from lungsev.runtime.checks.deliveries import check_deliveries
from lungsev.runtime.delivery.destinations import Destination
from lungsev.runtime.delivery.outbox import Outbox
from lungsev.runtime.delivery.statuses import SendRefusedError


def deliver(out: Path, error: Exception | None) -> None:
    """Queue one file for one destination and try to send it."""

    def sender(destination: Destination, path: Path, name: str) -> None:
        if error is not None:
            raise error

    fields = {"name": "pacs", "kind": "folder", "path": "/mnt", "sends": ["json"]}
    with contextlib.closing(Outbox(out / "outbox", [TypeAdapter(Destination).validate_python(fields)], sender)) as box:
        (out / "one.json").write_text("{}")
        box.queue("one", [("json", out / "one.json")])
        box.deliver_due()


def test_a_folder_from_which_nothing_was_sent_has_nothing_to_say(tmp_path: Path) -> None:
    assert list(check_deliveries(tmp_path)) == []
    assert list(check_deliveries(tmp_path / "absent")) == []


def test_files_that_arrived_are_in_order_and_refused_ones_are_not(tmp_path: Path) -> None:
    deliver(tmp_path, None)
    (check,) = check_deliveries(tmp_path)
    assert (check.ok, check.found) == (True, "1 file sent, 0 on the way")


def test_refused_files_are_named_with_the_reason_and_what_to_do(tmp_path: Path) -> None:
    deliver(tmp_path, SendRefusedError("it does not take this kind of object"))
    (check,) = check_deliveries(tmp_path)
    assert not check.ok
    assert check.found == ("Results have not arrived at pacs: 1 were refused (it does not take this kind of object).")
    assert "--retry DESTINATION" in check.advice


def test_outputs_that_could_not_be_written_are_a_warning(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("CREATE TABLE missing_outputs (image TEXT, output TEXT, reason TEXT, at REAL)")
        ledger.execute("INSERT INTO missing_outputs VALUES ('a', 'hl7', 'The study has no UID.', 1.0)")
    (check,) = check_deliveries(tmp_path)
    assert (check.name, check.ok, check.warning) == ("outputs", True, True)
    assert check.found == "1 output could not be written, the last one hl7: The study has no UID."


@pytest.mark.parametrize("file", ["outbox/outbox.sqlite", "ledger.sqlite"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / file).write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    (check,) = check_deliveries(tmp_path)
    assert (check.ok, "cannot read" in check.found) == (False, True)
