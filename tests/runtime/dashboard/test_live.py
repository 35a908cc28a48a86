"""Live updates of open pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from exam_makers import course_key, put_report, scored_report

from lungsev.runtime.dashboard import live as live_module
from lungsev.runtime.dashboard.live import Live
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.record import Record


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(live_module, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(live_module, "SETTLE_SECONDS", 0.02)


def record_of(out: Path) -> Record:
    return Record(out, Decisions(out))


@asynccontextmanager
async def watched(live: Live) -> AsyncIterator[AsyncIterator[bytes]]:
    """The events of a page of a dashboard whose folder is polled."""
    task = asyncio.create_task(live.watch())
    events = live.events()
    try:
        yield events
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await events.aclose()  # type: ignore[attr-defined]


async def next_named(events: AsyncIterator[bytes], name: str) -> dict[str, Any]:
    """The data of the next event of this name."""
    async for event in events:
        if event.startswith(f"event: {name}\n".encode()):
            data: dict[str, Any] = json.loads(event.partition(b"data: ")[2])
            assert event.endswith(b"\n\n")
            return data
    raise AssertionError("the stream ended")


def test_a_page_first_hears_a_beat_with_the_servers_time(out: Path) -> None:
    async def first() -> bytes:
        return await anext(Live(record_of(out), str).events())

    event = asyncio.run(first())
    assert event.startswith(b"event: beat\ndata: ")
    assert json.loads(event.partition(b"data: ")[2])["at"] > 1_700_000_000_000


def test_silence_is_filled_with_beats(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "BEAT_SECONDS", 0.01)

    async def beats() -> list[bytes]:
        events = Live(record_of(out), str).events()
        return [(await anext(events)).partition(b"\n")[0] for _ in range(3)]

    assert asyncio.run(beats()) == [b"event: beat"] * 3


def test_a_new_report_is_announced(out: Path) -> None:
    async def scenario() -> None:
        async with watched(Live(record_of(out), str)) as events:
            await next_named(events, "beat")
            await next_named(events, "changed")  # the folder as it was found
            put_report(out, "new", scored_report("WARD-9"))
            await next_named(events, "changed")

    asyncio.run(scenario())


def test_a_decision_of_any_process_is_announced_to_every_page(out: Path) -> None:
    async def scenario() -> list[dict[str, Any]]:
        record = record_of(out).update()
        live = Live(record, str)
        exam = record.exam("a2")
        assert exam is not None
        async with watched(live):
            pages = [live.events() for _ in range(3)]
            for page in pages:
                await anext(page)
            heard = [asyncio.create_task(next_named(page, "changed")) for page in pages]
            Decisions(out).agree("a2", exam.report, "AB")
            return await asyncio.gather(*heard)

    heard = asyncio.run(scenario())
    assert [event["patients"] for event in heard] == [[course_key("WARD-1")]] * 3


def test_a_folder_that_cannot_be_read_is_a_problem_until_it_can(out: Path) -> None:
    async def scenario() -> None:
        live = Live(record_of(out / "reports"), str)
        async with watched(live) as events:
            await next_named(events, "changed")
            assert live.problem is None
            (out / "reports").rename(out / "elsewhere")
            await next_named(events, "changed")
            assert live.problem is not None
            assert live.problem.startswith("cannot read reports in")
            (out / "elsewhere").rename(out / "reports")
            await next_named(events, "changed")
            assert live.problem is None

    asyncio.run(scenario())


def test_an_event_names_who_changed_and_no_one_else(out: Path) -> None:
    async def scenario() -> tuple[dict[str, Any], dict[str, Any]]:
        record = record_of(out).update()
        async with watched(Live(record, lambda patient: f"alias of {patient}")) as events:
            first = await next_named(events, "beat")
            put_report(out, "new", scored_report("WARD-9"))
            return first, await next_named(events, "changed")

    first, changed = asyncio.run(scenario())
    assert changed["patients"] == [f"alias of {course_key('WARD-9')}"]
    assert changed["version"] == first["version"] + 1


def test_changes_between_two_events_are_told_together_and_numbered(out: Path) -> None:
    async def scenario() -> dict[str, Any]:
        live = Live(record_of(out), str)
        events = live.events()
        await anext(events)
        await live.tell(["A"])
        await live.tell(["B", "A"])
        return {**await next_named(events, "changed"), "newest": live.version}

    changed = asyncio.run(scenario())
    assert changed["patients"] == ["A", "B"]
    assert changed["version"] == changed["newest"]


@pytest.mark.parametrize("names", [[f"P{number}" for number in range(101)], None])
def test_too_many_to_name_means_anyone(out: Path, names: list[str] | None) -> None:
    async def scenario() -> dict[str, Any]:
        live = Live(record_of(out), str)
        events = live.events()
        await anext(events)
        for number in range(1 if names else 257):  # one more than are remembered
            await live.tell(names or [f"P{number % 3}"])
        return await next_named(events, "changed")

    assert asyncio.run(scenario())["patients"] is None
