"""A report is one page with its figures inside, and its tables once more as Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest
from graded_runs import predictions
from matplotlib.figure import Figure

from lungsev.train.evaluation.reporting import write
from lungsev.train.evaluation.reporting.load import RunReport
from lungsev.train.evaluation.reporting.tables import Table


def test_the_page_holds_every_figure_and_escapes_what_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [("drawn", "what <b> shows", lambda: Figure(figsize=(1, 1))), ("empty", "nothing", lambda: None)]
    monkeypatch.setattr(write, "_plans", lambda runs: plans)
    monkeypatch.setattr(write, "all_tables", lambda runs: [Table("Runs & more", ("run",), (("<1>",),), "A note.")])
    predictions(4, 0).save(tmp_path / "predictions-test.json")
    (tmp_path / "metrics.json").write_text("{}")
    page = write.write_report([tmp_path], tmp_path / "page", "A & B").read_text()
    assert "<h1>A &amp; B</h1>" in page
    assert "<h2>Runs &amp; more</h2>" in page
    assert "<td>&lt;1&gt;</td>" in page
    assert "what &lt;b&gt; shows" in page
    assert page.count("data:image/png;base64,") == 1
    assert [path.name for path in (tmp_path / "page" / "figures").iterdir()] == ["drawn.png"]
    assert "| <1> |" in (tmp_path / "page" / "tables.md").read_text()


def test_a_caption_names_the_parts_that_were_measured_once_each(runs: list[RunReport]) -> None:
    assert write.measured_parts(runs) == "test part"
    consensus = RunReport(Path("x"), "x", {}, {}, {"consensus": predictions(3, 0)}, None, [])
    assert write.measured_parts([*runs, consensus]) == "test or consensus part"
