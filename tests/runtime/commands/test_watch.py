from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from bedside_images import Bedside, QuickModel, drop, png

from lungsev.errors import LungsevError
from lungsev.runtime.commands.watch import watch
from lungsev.runtime.watcher import watcher as watcher_module


@pytest.fixture
def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bedside]:
    """A watched folder; no network, and the signal handlers and loggers of this process as before."""
    monkeypatch.setattr(watcher_module, "Watcher", partial(watcher_module.Watcher, open_model=QuickModel))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    level = logging.getLogger("lungsev").level
    yield Bedside.make(tmp_path)
    logging.getLogger("lungsev").setLevel(level)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "quick.yaml"
    path.write_text(
        "watch: {scan_seconds: 0.05, settle_seconds: 0, unrecognised_settle_seconds: 0, min_free_mb: 0}\n"
        "outputs: [json]\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize(("count", "said"), [(1, "1 image processed; results in "), (2, "2 images processed; results")])
def test_once_scores_what_is_there_and_counts_it(
    side: Bedside, config: Path, capsys: pytest.CaptureFixture[str], count: int, said: str
) -> None:
    for number in range(count):
        drop(side.incoming, f"{number}.png", png(number))
    watch(side.incoming, out=side.layout.root, config=config, once=True)
    lines = capsys.readouterr().out.splitlines()
    assert sum("  scored  brixia 1/3 (0-2)" in line for line in lines) == count
    assert lines[-1].startswith(said)


def test_json_lines_name_the_result_of_every_image(
    side: Bedside, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(side.incoming, "good.png", png(1))
    drop(side.incoming, "bad.txt", b"no image")
    watch(side.incoming, out=side.layout.root, config=config, once=True, json_lines=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_state = {line["state"]: line for line in lines}
    assert set(by_state) == {"done", "quarantined"}
    assert by_state["quarantined"]["code"] == "unknown_format"
    assert all(Path(line["result"]).is_file() for line in lines)


def test_without_a_folder_it_says_where_to_name_one() -> None:
    with pytest.raises(LungsevError, match="no folder to watch: give INCOMING"):
        watch()
