"""Every notebook runs from its first cell to its last, and each of its figures shows something."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
FIGURES = {
    "1_score_and_look": 2,
    "2_own_scheme": 2,
    "3_train_and_report": 2,
    "4_embeddings_and_linear_probe": 2,
    "5_calibration_and_change": 3,
}


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the notebooks, where the third leaves a run for the fourth."""
    return Path(shutil.copytree(ROOT / "notebooks", tmp_path_factory.mktemp("notebooks") / "copies"))


# The third trains, and the fourth compares its run: `make test-slow`.
@pytest.mark.parametrize(
    "name",
    [pytest.param(path.stem, marks=[pytest.mark.slow] if path.stem[0] in "34" else []) for path in NOTEBOOKS],
)
def test_a_notebook_runs_and_its_figures_show_something(
    name: str, shared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for needed in ("matplotlib", *(["lightning"] if name[0] not in "12" else [])):
        pytest.importorskip(needed, reason="the extras train and notebooks are not installed")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(shared_folder)
    import matplotlib.pyplot as plt

    shown: list[float] = []

    def show() -> None:
        for number in plt.get_fignums():
            figure = plt.figure(number)
            figure.canvas.draw()
            shown.append(float(np.asarray(figure.canvas.buffer_rgba())[..., :3].std()))
            plt.close(figure)

    monkeypatch.setattr(plt, "show", show)
    if name[0] in "34":
        from lungsev.train.evaluation.reporting.figures import style

        for kind in ("pdf", "svg"):  # no notebook shows them, and they take half of the training's time
            monkeypatch.delitem(style.FORMATS, kind)
    runpy.run_path(f"{name}.py")
    assert len(shown) == FIGURES[name]
    assert min(shown) > 5  # of 0-255; an empty figure is white


def test_notebooks_are_short_explain_themselves_and_say_what_is_next() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(FIGURES)
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        cells = re.split(r"^# %%", text, flags=re.MULTILINE)[1:]
        assert cells[0].startswith(f" [markdown]\n# # {path.stem[0]}. ")
        assert "# ## Next\n" in cells[-1]
        assert sum(cell.startswith(" [markdown]") for cell in cells) >= 5
        assert len(text.splitlines()) < 200
        for link in re.findall(r"\]\(([^)]+\.py)\)", text):
            assert (path.parent / link).is_file()


@pytest.mark.slow
def test_the_first_notebook_becomes_a_page_with_its_pictures(tmp_path: Path) -> None:
    for needed in ("jupytext", "nbclient", "nbconvert", "ipykernel"):
        pytest.importorskip(needed, reason="the extra notebooks is not installed")
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    command = [sys.executable, str(ROOT / ".ci/notebooks.py"), str(tmp_path / "out"), "1"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    page = (tmp_path / "out/1_score_and_look.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64") == 2
    assert sorted(path.suffix for path in (tmp_path / "out").glob("1_score*")) == [".html", ".ipynb", ".py"]
