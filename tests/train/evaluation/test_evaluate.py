"""What a source was trained on is never called test, and a bundle must be told where the images are."""

from __future__ import annotations

from pathlib import Path

import pytest
from graded_runs import predictions

from lungsev.errors import ConfigError, LungsevError
from lungsev.train.data.datasets import GradedImage
from lungsev.train.data.splits import Split
from lungsev.train.evaluation import evaluate
from lungsev.train.evaluation.evaluate import EvaluateSettings
from lungsev.train.evaluation.summary import summarise
from lungsev.train.runs import Run


def graded(name: str, patient: str) -> GradedImage:
    return GradedImage(name, Path(name), patient, {"S": (0.0,) * 6})


def run_with(folder: Path, parts: dict[str, tuple[str, ...]]) -> Run:
    folder.mkdir()
    Split("holdout", 0, parts, {}, 0).save(folder / "splits.json")
    return Run(folder)


def test_images_any_source_trained_on_and_others_of_their_patients_are_not_test(tmp_path: Path) -> None:
    first = run_with(tmp_path / "a", {"train": ("a",), "validation": ("b",), "test": ("c", "d")})
    second = run_with(tmp_path / "b", {"train": ("c",)})
    images = [graded(*pair) for pair in (("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("new", "5"), ("more", "1"))]
    found = evaluate._parts(images, [first, second])
    assert found == {"train": [0, 2, 5], "validation": [1], "test": [3, 4]}


def test_numbers_without_a_new_image_come_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with(tmp_path / "a", {"train": ("a",)})
    assert evaluate._parts([graded("a", "1")], [run]) == {"train": [0]}
    assert "these numbers say nothing of new images" in capsys.readouterr().out
    assert evaluate._parts([graded("a", "1")], []) == {"test": [0]}
    assert "a bundle does not name the images it was trained on" in capsys.readouterr().out


def test_the_markdown_names_decisions_and_shows_intervals_and_a_dash_for_what_is_not_known() -> None:
    found = summarise(predictions(12, 0, ("senior",)), "test")
    for each in found["measurements"]:
        if (each["measure"], each["decision"]) == ("kappa", "argmax"):
            each["value"] = None
    head, _, row, *cautions = evaluate.metrics_table({"test": found}).splitlines()
    assert "| MAE (argmax), grades | MAE (median), grades | quadratic kappa (argmax) |" in head
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["test", "12", "12"]
    assert cells[6] == "-"
    assert cells[3].endswith("]")
    assert any("too wide to say much" in line for line in cautions)


def test_results_lie_beside_the_run_or_under_the_bundles_name(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    own = EvaluateSettings(sources=(tmp_path / "run",))
    assert evaluate.default_folder(own) == tmp_path / "run" / "evaluation" / "own"
    bundle = EvaluateSettings(sources=(tmp_path / "model.zip",), data=tmp_path / "new")
    assert evaluate.default_folder(bundle) == Path("runs/evaluate/model/new")
    with pytest.raises(LungsevError, match="expected the folder of a dataset"):
        evaluate.default_folder(EvaluateSettings(sources=(tmp_path / "run",), data=tmp_path / "absent"))
    with pytest.raises(ConfigError, match="give its folder with --data DIR"):
        evaluate.evaluate(EvaluateSettings(sources=(tmp_path / "model.zip",)), tmp_path / "out")
