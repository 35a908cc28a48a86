"""What is due in a folder, done without a watcher."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest
from bedside_images import QUICK_BEDSIDE, Bedside, QuickModel, drop, png

from lungsev.errors import LungsevError
from lungsev.runtime.commands.decisions.work_off import WorkDone, work_off
from lungsev.runtime.delivery.destinations import FolderDestination
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.amending import Amendment
from lungsev.runtime.watcher.watcher import Watcher


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    """A scored image whose correction is not given out yet."""
    side = Bedside.make(tmp_path)
    drop(side.incoming, "image.png", png(1))
    Watcher(side.incoming, side.layout, QUICK_BEDSIDE, QuickModel).run(threading.Event(), once=True)
    (image,) = side.reports()
    with closing(Decisions(side.layout.root)) as decisions:
        decisions.correct(image, side.reports()[image], "brixia", {"A": 0}, "effusion", "AB")
    return side


def sending_to(share: Path) -> BedsideSettings:
    destination = FolderDestination(kind="folder", name="share", path=share, sends=("json",))
    return QUICK_BEDSIDE.model_copy(update={"destinations": (destination,)})


def test_what_is_due_is_amended_and_sent(side: Bedside, tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    amended: list[Amendment] = []
    with closing(Decisions(side.layout.root)) as decisions:
        done = work_off(side.layout, sending_to(tmp_path / "share"), decisions, amended.append, QuickModel)
        assert done == WorkDone(scored=0, amended=1, unsent=0)
        again = work_off(side.layout, sending_to(tmp_path / "share"), decisions, None, QuickModel)
    (image,) = side.reports()
    assert [(item.image.id, item.revision) for item in amended] == [(image, 2)]
    assert [path.name for path in (tmp_path / "share").iterdir()] == [f"{image}.r2.json"]
    assert again == WorkDone(0, 0, 0)


def test_what_a_destination_does_not_take_now_is_counted(side: Bedside, tmp_path: Path) -> None:
    with closing(Decisions(side.layout.root)) as decisions:
        done = work_off(side.layout, sending_to(tmp_path / "unmounted"), decisions, None, QuickModel)
    assert done.unsent == 1


def test_a_disk_that_refuses_is_one_line(side: Bedside, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lungsev.runtime.watcher.amending.write_outputs", refuse)
    with closing(Decisions(side.layout.root)) as decisions, pytest.raises(LungsevError, match="No space left"):
        work_off(side.layout, QUICK_BEDSIDE, decisions, None, QuickModel)
