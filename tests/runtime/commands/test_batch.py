from __future__ import annotations

from pathlib import Path

import pytest
from bedside_images import QuickModel, png

from lungsev.errors import BackendError, LungsevError
from lungsev.model import Model
from lungsev.runtime.commands.batch import score_images


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number:02d}.png" for number in range(12)]
    for number, path in enumerate(paths):
        path.write_bytes(png(number))
    return paths


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_image_is_scored_once_and_every_model_closed(images: list[Path], jobs: int) -> None:
    opened: list[QuickModel] = []

    def open_model() -> Model:
        opened.append(QuickModel())
        return opened[-1]

    results = list(score_images(images, None, open_model, jobs))
    assert sorted(result.path for result in results) == images
    assert all(result.report.status == "scored" for result in results)
    assert sorted(path for model in opened for path in model.seen) == images
    assert len(opened) == jobs
    assert all(model.closed for model in opened)


def test_a_device_that_fails_ends_the_batch(images: list[Path]) -> None:
    model = QuickModel(score_error=lambda radiograph: BackendError("the GPU stopped"))
    with pytest.raises(BackendError, match="the GPU stopped"):
        list(score_images(images, None, lambda: model))
    assert model.closed
    assert len(model.seen) < len(images)


def test_a_caller_that_has_enough_ends_the_batch(images: list[Path]) -> None:
    model = QuickModel()
    results = score_images(images, None, lambda: model)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert model.closed
    assert len(model.seen) < len(images)


def test_a_folder_of_results_that_cannot_be_made_is_said_before_a_model_is_opened(
    images: list[Path], tmp_path: Path
) -> None:
    def open_model() -> Model:
        raise AssertionError("opened")

    (tmp_path / "file").write_text("")
    with pytest.raises(LungsevError, match=r"cannot make folder .*; choose another --out"):
        list(score_images(images, tmp_path / "file" / "out", open_model))


def test_a_disk_that_refuses_says_what_is_kept(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lungsev.runtime.outputs import contract

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(contract, "write_atomically", full)
    expected = "cannot write results to .*: No space left on device; what was finished is kept"
    with pytest.raises(LungsevError, match=expected):
        list(score_images(images, tmp_path / "out", QuickModel))
