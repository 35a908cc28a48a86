"""Live updates of open pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from exam_makers import put_report, scored_report

from lungsev.runtime.dashboard import live as live_module
from lungsev.runtime.dashboard.live import Live
from lungsev.runtime.patients.history import History


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "POLL_SECONDS", 0.005)
    monkeypatch.setattr(live_module, "REFRESH_SECONDS", 0.05)


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


async def next_named(events: AsyncIterator[bytes], name: str) -> dict[str, int]:
    """The data of the next event of this name."""
    async for event in events:
        if event.startswith(f"event: {name}\n".encode()):
            data: dict[str, int] = json.loads(event.partition(b"data: ")[2])
            assert event.endswith(b"\n\n")
            return data
    raise AssertionError("the stream ended")


def test_a_page_first_hears_a_beat_with_the_servers_time(out: Path) -> None:
    async def first() -> bytes:
        return await anext(Live(History(out)).events())

    event = asyncio.run(first())
    assert event.startswith(b"event: beat\ndata: ")
    assert json.loads(event.partition(b"data: ")[2])["at"] > 1_700_000_000_000


def test_silence_is_filled_with_beats(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "BEAT_SECONDS", 0.01)

    async def beats() -> list[bytes]:
        events = Live(History(out)).events()
        return [(await anext(events)).partition(b"\n")[0] for _ in range(3)]

    assert asyncio.run(beats()) == [b"event: beat"] * 3


def test_a_new_report_is_announced(out: Path) -> None:
    async def scenario() -> None:
        async with watched(Live(History(out))) as events:
            await next_named(events, "beat")
            await next_named(events, "images")  # the folder as it was found
            put_report(out, "new", scored_report("WARD-9"))
            await next_named(events, "images")

    asyncio.run(scenario())


def test_a_correction_is_announced_to_every_page(out: Path) -> None:
    async def scenario() -> list[dict[str, int]]:
        live = Live(History(out))
        pages = [live.events() for _ in range(3)]
        for page in pages:
            await anext(page)
        heard = [asyncio.create_task(next_named(page, "images")) for page in pages]
        await asyncio.sleep(0.01)
        await live.announce()
        return await asyncio.gather(*heard)

    assert len(asyncio.run(scenario())) == 3


def test_a_folder_that_cannot_be_read_is_a_problem_until_it_can(out: Path) -> None:
    async def scenario() -> None:
        live = Live(History(out / "reports"))
        async with watched(live) as events:
            await next_named(events, "images")
            assert live.problem is None
            (out / "reports").rename(out / "elsewhere")
            await next_named(events, "images")
            assert live.problem is not None
            assert live.problem.startswith("cannot read reports in")
            (out / "elsewhere").rename(out / "reports")
            await next_named(events, "images")
            assert live.problem is None

    asyncio.run(scenario())
