from __future__ import annotations

from pathlib import Path

from lungsev.inference.tensorrt.cuda.board import board_name


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_device_tree_names_the_board(tmp_path: Path) -> None:
    write(tmp_path / "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    assert board_name(tmp_path) == "NVIDIA Jetson AGX Orin Developer Kit"
    write(tmp_path / "proc/device-tree/model", "\0")
    assert board_name(tmp_path) is None
    assert board_name(tmp_path / "a server") is None
