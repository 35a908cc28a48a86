from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from lungsev.bundle.archive import Bundle
from lungsev.report import SeverityReport
from lungsev.runtime.commands import demo


def test_images_arrive_one_by_one_and_every_overlay_named_is_there(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_IMAGE_SIZE_PX", 256)
    monkeypatch.setattr(demo, "_PAUSE_SECONDS", 0.0)
    demo.demo(tmp_path / "demo", count=2, seed=3, bundle=tiny_bundle.path, backend="onnxruntime", threads=1)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("chest-") for line in lines) == 2
    assert any(line.startswith("hand.png") for line in lines)
    overlays = [Path(line.split(": ")[1]) for line in lines[lines.index("overlays:") + 1 : -1]]
    assert len(overlays) == 3
    assert all(cv2.imread(str(path)) is not None for path in overlays)
    (run,) = (tmp_path / "demo").iterdir()
    reports = [SeverityReport.from_json(path.read_text()) for path in (run / "reports").iterdir()]
    assert len(reports) == 3
    assert list((run / "incoming").iterdir()) == []


def test_the_same_seed_makes_the_same_images(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for image, write in demo.demo_images(1, 5):
            write(tmp_path / name / image)
    for image in (tmp_path / "a").iterdir():
        assert image.read_bytes() == (tmp_path / "b" / image.name).read_bytes()
