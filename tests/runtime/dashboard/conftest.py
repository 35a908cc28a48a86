"""An output folder of four patients, and the dashboard that serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_browser import EVIL, TOKEN, Browser, served
from exam_makers import failed_report, put_report, scored_report, skipped_report

from lungsev.report import QualityFlag
from lungsev.runtime.settings import BedsideSettings, DashboardSettings


@pytest.fixture
def out(tmp_path: Path) -> Path:
    root = tmp_path / "out"
    for folder in ("reports", "images", "maps", "overlays"):
        (root / folder).mkdir(parents=True)
    put_report(root, "a1", scored_report("WARD-1", "2026-11-20T08:00:00", "000111"))
    put_report(root, "a2", scored_report("WARD-1", "2026-11-21T08:00:00", "012321"))
    put_report(root, "b1", scored_report(EVIL, "2026-11-21T09:00:00", flags=(QualityFlag("odd", "warn", EVIL),)))
    put_report(root, "c1", skipped_report())
    put_report(root, "d1", failed_report(), with_image=False)
    return root


@pytest.fixture
def port(out: Path) -> Iterator[int]:
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    from lungsev.runtime.dashboard.app import create_app

    settings = BedsideSettings(dashboard=DashboardSettings(board_hours=8760))  # the images are not of today
    with served(create_app(out, TOKEN, settings)) as port:
        yield port


@pytest.fixture
def stranger(port: int) -> Browser:
    return Browser(port)


@pytest.fixture
def browser(port: int) -> Browser:
    signed_in = Browser(port)
    status, headers, _ = signed_in.ask("GET", f"/?token={TOKEN}")
    assert (status, headers["Location"]) == (303, "/")
    return signed_in
