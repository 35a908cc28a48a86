from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from lungsev.errors import LungsevError
from lungsev.runtime.delivery.deliveries import (
    describe_unsent,
    read_deliveries,
    read_states,
)
from lungsev.runtime.delivery.destinations import Destination
from lungsev.runtime.delivery.outbox import Outbox
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError


def a_folder(name: str) -> Destination:
    fields = {"name": name, "kind": "folder", "path": "/mnt", "sends": ["json"]}
    return TypeAdapter(Destination).validate_python(fields)


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Three destinations: one took both files, one is away, one refuses."""

    def sender(destination: Destination, path: Path, name: str) -> None:
        if destination.name == "away":
            raise SendLaterError("no answer")
        if destination.name == "picky":
            raise SendRefusedError("not such an object")

    outbox = Outbox(tmp_path / "outbox", [a_folder(name) for name in ("away", "share", "picky")], sender)
    for image in ("one", "two"):
        path = tmp_path / f"{image}.json"
        path.write_text("{}", encoding="utf-8")
        outbox.queue(image, [("json", path)])
    outbox.deliver_due()
    yield tmp_path
    outbox.close()


def test_the_state_of_each_destination_follows_from_the_answers_of_its_peer(out: Path) -> None:
    away, picky, share = read_states(out)
    assert (away.queued, away.sent, away.refused, away.message) == (2, 0, 0, "no answer")
    assert (picky.queued, picky.sent, picky.refused, picky.message) == (0, 0, 2, "not such an object")
    assert (share.queued, share.sent, share.refused, share.message) == (0, 2, 0, None)
    assert [delivery.state for delivery in read_deliveries(out, "one")] == ["queued", "sent", "refused"]


def test_a_short_wait_is_not_mentioned_and_hours_and_refusals_are(out: Path) -> None:
    states = read_states(out)
    since = states[0].waiting_since
    assert since is not None
    assert [sentence.split(":")[0] for sentence in describe_unsent(states, since + 10)] == [
        "Results have not arrived at picky"
    ]
    late = describe_unsent(states, since + 4 * 3600)[0]
    assert re.fullmatch(r"Results have not arrived at away: 2 wait since .{16} \(no answer\)\.", late)


def test_without_an_outbox_there_are_no_deliveries_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    assert read_states(tmp_path) == []
    assert read_deliveries(tmp_path, "one") == []
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "outbox.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(LungsevError, match="cannot read"):
        read_states(tmp_path)
