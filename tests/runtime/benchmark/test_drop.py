from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lungsev.bundle.archive import Bundle
from lungsev.errors import LungsevError
from lungsev.inference.status import BackendStatus, State
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.runtime.benchmark import drop as drop_module
from lungsev.runtime.benchmark.drop import measure_drops
from lungsev.runtime.delivery.destinations import FolderDestination
from lungsev.runtime.settings import BedsideSettings, DashboardSettings, HealthSettings, ListenSettings, ModelSettings
from lungsev.runtime.watcher.watcher import Watcher


@pytest.fixture
def settings(tiny_bundle: Bundle) -> BedsideSettings:
    return BedsideSettings(model=ModelSettings(bundle=tiny_bundle.path, backend="onnxruntime"))


@pytest.mark.slow
def test_each_phantom_is_scored_by_the_watcher_itself_and_nothing_is_left(
    settings: BedsideSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drop_module, "PORTABLE_IMAGE", (500, 400))
    finished: list[str] = []
    original = Watcher._finish_image
    monkeypatch.setattr(
        Watcher, "_finish_image", lambda self, image: (finished.append(image.state), original(self, image))[1]
    )
    seen: list[tuple[int, int]] = []
    times = measure_drops(settings, None, 2, tmp_path, lambda done, of: seen.append((done, of)), warm_up=1)
    assert finished == ["done"] * 3
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert len(times) == 2
    for found in times:
        assert found.work > 0
        assert found.scored_by == "onnxruntime fp32 on cpu"
        assert found.total == pytest.approx(found.wait + found.work)
        assert found.wait >= settings.watch.closed_settle_seconds * 1000 * 0.9
    assert list(tmp_path.iterdir()) == []


def test_an_image_of_the_user_is_dropped_again_and_again_and_is_no_duplicate(
    settings: BedsideSettings, tmp_path: Path
) -> None:
    image = write_phantom_dicom(make_phantom(1), tmp_path / "mine.dcm")
    assert len(measure_drops(settings, image, 2, tmp_path, warm_up=0)) == 2
    assert image.is_file()


@pytest.mark.slow
def test_an_image_that_cannot_be_scored_is_said(settings: BedsideSettings, tmp_path: Path) -> None:
    image = tmp_path / "mine.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 200)
    quick = settings.watch.model_copy(update={"settle_seconds": 0.1, "incomplete_seconds": 0.2, "scan_seconds": 0.1})
    with pytest.raises(LungsevError, match="cannot be timed in the watched folder: it was quarantined"):
        measure_drops(settings.model_copy(update={"watch": quick}), image, 1, tmp_path, warm_up=0)


@pytest.mark.slow
def test_a_watcher_that_takes_no_image_says_why(
    settings: BedsideSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drop_module, "_IMAGE_SECONDS", 1.0)
    full = settings.watch.model_copy(update={"min_free_mb": 1e12})
    image = write_phantom_dicom(make_phantom(1), tmp_path / "mine.dcm")
    with pytest.raises(LungsevError, match=r"no result in time \(.*disk.*full.*; --drops 0 leaves it out"):
        measure_drops(settings.model_copy(update={"watch": full}), image, 1, tmp_path, warm_up=0)


def test_a_model_that_does_not_open_is_said(tmp_path: Path) -> None:
    settings = BedsideSettings(model=ModelSettings(bundle=tmp_path / "none"))
    image = tmp_path / "mine.dcm"
    image.touch()
    with pytest.raises(LungsevError, match="no bundle"):
        measure_drops(settings, image, 1, tmp_path, warm_up=0)


def test_nothing_reaches_outside_the_folder(tmp_path: Path) -> None:
    settings = BedsideSettings(
        destinations=(FolderDestination(name="archive", kind="folder", path=tmp_path, sends=("json",)),),
        listen=ListenSettings(enabled=True),
        health=HealthSettings(enabled=True),
        dashboard=DashboardSettings(enabled=True),
        outputs=("json", "overlay"),
    )
    kept = drop_module._kept_inside(settings, tmp_path / "in", tmp_path / "out")
    assert (kept.listen.enabled, kept.hl7_listen.enabled, kept.health.enabled, kept.dashboard.enabled) == (False,) * 4
    assert kept.destinations == ()
    assert kept.outputs == ("json", "overlay")
    assert (kept.watch.incoming, kept.watch.out) == (tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("state", "starting"), [(None, True), ("starting", True), ("comparing", True), ("ready", False), ("fixed", False)]
)
def test_no_image_is_dropped_before_the_engine_is_loaded(
    settings: BedsideSettings, tmp_path: Path, state: State | None, starting: bool
) -> None:
    watched = drop_module._Watched(tmp_path, settings)
    if state is not None:
        watched._watcher.health.set_backend(BackendStatus("tensorrt", "gpu", "fp16", state))
    assert watched._is_starting() == starting


def test_a_folder_that_is_not_there_is_said(settings: BedsideSettings, tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="the watched folder cannot be made in"):
        measure_drops(settings, None, 1, tmp_path / "none")
    assert shutil.disk_usage(tmp_path).free > 0
