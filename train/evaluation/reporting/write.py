"""Writes the report: `report.html`, `tables/` as Markdown, LaTeX and CSV, and `figures/` as PNG, PDF and SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lungsev.system import write_atomically
from lungsev.train.console import track
from lungsev.train.evaluation.reporting.comparisons import compare
from lungsev.train.evaluation.reporting.figures import all_plans
from lungsev.train.evaluation.reporting.figures.style import as_jpeg, rendered
from lungsev.train.evaluation.reporting.formats import as_csv, as_latex, as_markdown
from lungsev.train.evaluation.reporting.load import load_runs
from lungsev.train.evaluation.reporting.method import method_of
from lungsev.train.evaluation.reporting.page import Picture, page_of
from lungsev.train.evaluation.reporting.tables import all_tables

FORMATS = {"md": as_markdown, "tex": as_latex, "csv": as_csv}


def write_report(paths: Sequence[Path], out: Path, title: str) -> Path:
    """Write the report of some run or evaluation folders.

    Returns:
        Path of the page.

    Raises:
        LungsevError: No folder holds a finished severity run.
    """
    runs = load_runs(paths)
    comparisons = compare(runs)
    tables = all_tables(runs, comparisons)
    for folder, suffixes in (("figures", ("png", "pdf", "svg")), ("tables", FORMATS)):
        _emptied(out / folder, suffixes)
    for table in tables:
        for suffix, formatted in FORMATS.items():
            write_atomically(out / "tables" / f"{table.name}.{suffix}", formatted(table))
    pictures = []
    plans = all_plans(runs)
    for plan in track(plans, "Plotting figures", len(plans)):
        figure = plan.draw()
        if figure is None:
            continue
        files = rendered(figure)
        for suffix, data in files.items():
            (out / "figures" / f"{plan.name}.{suffix}").write_bytes(data)
        image = as_jpeg(figure) if plan.radiographs else files["png"]
        pictures.append(Picture(plan.name, plan.title, plan.caption, image))
    page = out / "report.html"
    write_atomically(page, page_of(title, method_of(runs, comparisons), tables, pictures))
    return page


def _emptied(folder: Path, suffixes: Iterable[str]) -> None:
    """Make a folder, or remove what an earlier report of other runs left there."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in suffixes:
        for path in folder.glob(f"*.{suffix}"):
            path.unlink()
