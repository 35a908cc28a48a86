"""What scores, and why, reaches the health pages, systemd and the board."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from lungsev.inference.status import BackendStatus
from lungsev.runtime.watcher.backend_status import BackendReporter, read_backend

BUILDING = BackendStatus("onnxruntime", "cpu", "fp32", "building", "the engine is built", "tactics", 0.03)


def test_a_status_is_told_to_everyone_and_forgotten_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BackendStatus] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        reporter = BackendReporter(tmp_path, told.append)
        reporter.hear(BUILDING)
        message = systemd.recv(1000).decode()
    assert told == [BUILDING]
    assert message.splitlines() == [
        "STATUS=onnxruntime fp32 on cpu: the engine is built (3%, tactics)",
        "EXTEND_TIMEOUT_USEC=60000000",
    ]
    assert read_backend(tmp_path) == ("onnxruntime fp32 on cpu: the engine is built (3%, tactics)", False)
    reporter.hear(replace(BUILDING, state="failed", reason="TensorRT failed", phase=""))
    assert read_backend(tmp_path) == ("onnxruntime fp32 on cpu: TensorRT failed", True)
    reporter.close()
    assert read_backend(tmp_path) == ("", False)
    reporter.close()


def test_the_board_follows_what_is_new_of_a_build_and_not_each_step(tmp_path: Path) -> None:
    reporter = BackendReporter(tmp_path, lambda status: None)
    shown = []
    for phase, share in (("tactics 0%", 0.03), ("tactics 0%", 0.09), ("tactics 10%", 0.09), ("tactics 0%", 0.13)):
        reporter.hear(replace(BUILDING, phase=phase, share=share))
        shown.append(read_backend(tmp_path)[0].partition("(")[2])
    assert shown == ["3%, tactics 0%)", "3%, tactics 0%)", "9%, tactics 10%)", "13%, tactics 0%)"]


def test_a_full_disk_costs_the_boards_line_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[BackendStatus] = []
    BackendReporter(tmp_path / "missing", told.append).hear(BUILDING)
    assert told == [BUILDING]
    assert "not shown on the board" in caplog.text


@pytest.mark.parametrize("content", ["", "[1]", '{"text": "x"}', "\x00"])
def test_a_damaged_file_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "backend.json").write_text(content)
    assert read_backend(tmp_path) == ("", False)
