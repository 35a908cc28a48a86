from __future__ import annotations

from pathlib import Path

from lungsev.inference.tensorrt.cuda.board import available_bytes, board_name


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_device_tree_names_the_board(tmp_path: Path) -> None:
    write(tmp_path / "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    assert board_name(tmp_path) == "NVIDIA Jetson AGX Orin Developer Kit"
    write(tmp_path / "proc/device-tree/model", "\0")
    assert board_name(tmp_path) is None
    assert board_name(tmp_path / "a server") is None


def test_memory_is_what_the_kernel_would_give(tmp_path: Path) -> None:
    write(tmp_path / "proc/meminfo", "MemTotal:  7802844 kB\nMemFree:  311000 kB\nMemAvailable:  4194304 kB\n")
    assert available_bytes(tmp_path) == 4 << 30
    for text in ("MemTotal: 7802844 kB\n", "MemAvailable:\n", "MemAvailable: much\n"):
        write(tmp_path / "proc/meminfo", text)
        assert available_bytes(tmp_path) is None
    assert available_bytes(tmp_path / "absent") is None
