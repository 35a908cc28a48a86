from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from lungsev.errors import LungsevError
from lungsev.runtime.cli import app
from lungsev.runtime.commands.outbox import outbox
from lungsev.runtime.delivery.destinations import Destination
from lungsev.runtime.delivery.outbox import Outbox
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Two destinations: one is away, one refuses."""

    def sender(destination: Destination, path: Path, name: str) -> None:
        raise SendLaterError("no answer") if destination.name == "away" else SendRefusedError("not such an object")

    fields = {"kind": "folder", "path": "/mnt", "sends": ["json"]}
    destinations = [TypeAdapter(Destination).validate_python({"name": name, **fields}) for name in ("away", "picky")]
    box = Outbox(tmp_path / "outbox", destinations, sender)
    report = tmp_path / "one.json"
    report.write_text("{}", encoding="utf-8")
    box.queue("one", [("json", report)])
    box.deliver_due()
    yield tmp_path
    box.close()


def test_the_table_shows_every_destination_and_how_to_retry(out: Path) -> None:
    shown = CliRunner().invoke(app, ["outbox", "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    rows = [line.split() for line in shown.stdout.splitlines() if line.split()[:1] in (["away"], ["picky"])]
    assert rows[0][:3] == ["away", "0", "1"]
    assert rows[0][-3:] == ["0", "no", "answer"]
    assert rows[1] == ["picky", "0", "0", "1", "not", "such", "an", "object"]
    assert shown.stdout.splitlines()[-1].endswith("lungsev-run outbox --retry DESTINATION")


def test_refused_files_are_queued_again(out: Path) -> None:
    again = CliRunner().invoke(app, ["outbox", "--out", str(out), "--retry", "picky", "--json"])
    by_name = {state["destination"]: state for state in json.loads(again.stdout)}
    assert (by_name["picky"]["queued"], by_name["picky"]["refused"]) == (1, 0)


def test_an_unknown_destination_is_refused_with_the_known_ones(out: Path) -> None:
    with pytest.raises(LungsevError, match="found no destination ward-7, expected one of away, picky"):
        outbox(out, retry="ward-7")


def put_missing(out: Path, count: int) -> None:
    """Outputs that could not be written, in the table that the watcher keeps."""
    with contextlib.closing(sqlite3.connect(out / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("CREATE TABLE missing_outputs (image TEXT, output TEXT, reason TEXT, at REAL)")
        rows = [
            (f"20261122T081500-0000000{number % 10}", "hl7", "The study has no UID.", float(number))
            for number in range(count)
        ]
        ledger.executemany("INSERT INTO missing_outputs VALUES (?, ?, ?, ?)", rows)


def test_outputs_that_could_not_be_written_are_rows_with_their_reason_also_without_destinations(
    tmp_path: Path,
) -> None:
    put_missing(tmp_path, 2)
    shown = CliRunner().invoke(app, ["outbox", "--out", str(tmp_path)])
    rows = [line.split() for line in shown.stdout.splitlines() if line.split()[:1] == ["hl7"]]
    assert [row[1] for row in rows] == ["20261122T081500-00000001", "20261122T081500-00000000"]
    assert "study" in rows[0]
    assert "destination" not in shown.stdout
    listed = json.loads(CliRunner().invoke(app, ["outbox", "--out", str(tmp_path), "--json"]).stdout)
    assert listed[0] == {
        "destination": None, "state": "missing", "image": "20261122T081500-00000001", "output": "hl7",
        "reason": "The study has no UID.", "at": 1.0,
    }  # fmt: skip


def test_many_missing_outputs_are_counted(out: Path) -> None:
    put_missing(out, 25)
    shown = CliRunner().invoke(app, ["outbox", "--out", str(out)]).stdout
    assert "away" in shown
    assert shown.splitlines()[-1] == "5 more are missing; --json shows all"


def test_without_destinations_it_says_where_they_are_named(tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="name `destinations` in the watcher's --config"):
        outbox(tmp_path)
