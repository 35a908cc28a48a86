"""Writes the report: one HTML file that needs nothing beside it, tables.md, and the figures as PNG."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

import lungsev
from lungsev.report import DISCLAIMER
from lungsev.system import write_atomically
from lungsev.train.console import track
from lungsev.train.evaluation.reporting import figures
from lungsev.train.evaluation.reporting.load import RunReport, load_runs
from lungsev.train.evaluation.reporting.tables import Table, all_tables

Plan = tuple[str, str, Callable[[], Figure | None]]  # name, caption, drawing

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d1d1f; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; font-size: 13px; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
td:nth-child(-n+2) { white-space: normal; min-width: 8rem; max-width: 24rem; }
th { background: #f5f5f7; } figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: 13px; } .disclaimer { color: #8a1c1c; }
"""


def write_report(paths: Sequence[Path], out: Path, title: str) -> Path:
    """Write the report of some run or evaluation folders.

    Returns:
        Path of the page.

    Raises:
        LungsevError: A folder is no finished severity run.
    """
    runs = load_runs(paths)
    tables = all_tables(runs)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    plotted = []
    plans = _plans(runs)
    for name, caption, draw in track(plans, "Plotting figures", len(plans)):
        figure = draw()
        if figure is not None:
            data = _png(figure)
            (out / "figures" / f"{name}.png").write_bytes(data)
            plotted.append((name, caption, data))
    write_atomically(out / "tables.md", "\n".join(table.markdown() for table in tables))
    page = out / "report.html"
    write_atomically(page, _page(title, tables, plotted))
    return page


def _plans(runs: Sequence[RunReport]) -> list[Plan]:
    plans: list[Plan] = []
    for scheme in dict.fromkeys(run.predictions.scheme.name for run in runs):
        same = [run for run in runs if run.predictions.scheme.name == scheme]
        plans += [
            (
                f"{scheme}-mae-by-region",
                f"Mean absolute error per region, {measured_parts(same)}. Numbers on bars: the change against spatial "
                "normalisation alone with the same backbone, where that was run; green is better.",
                partial(figures.mae_by_region, same),
            ),
            (
                f"{scheme}-confusion",
                f"Reader's grade and the most likely grade, {measured_parts(same)}.",
                partial(figures.confusion, same),
            ),
            (
                f"{scheme}-reliability",
                "Confidence and agreement; on the dashed line the probabilities mean what they say. Larger points hold "
                f"more regions, fewer than {figures.MIN_REGIONS} are not shown.",
                partial(figures.reliability, same),
            ),
            (
                f"{scheme}-learning-curves",
                "Learning curves: training dashed, validation solid. Training numbers are of changed images.",
                partial(figures.learning_curves, same),
            ),
        ]
    for number, run in enumerate(runs, start=1):
        one = " (of the first fold or network)" if run.metrics.get("folds") or run.metrics.get("networks") else ""
        plans += [
            (f"run{number}-totals", f"{run.label}: total beside the reader's.", partial(figures.totals, [run])),
            (
                f"run{number}-samples",
                f"{run.label}{one}: images over the whole range and the worst graded one. Green zones agree with the "
                "reader; orange ones do not, the reader's grade in brackets. Below: expected grade by place.",
                partial(figures.samples, run),
            ),
            (
                f"run{number}-embeddings",
                f"{run.label}{one}: t-SNE of region embeddings.",
                partial(figures.embeddings, run),
            ),
        ]
    return plans


def measured_parts(runs: Sequence[RunReport]) -> str:
    """Name the part that the numbers of some runs are from, e.g. `test or consensus part`."""
    return f"{' or '.join(dict.fromkeys(run.measured for run in runs))} part"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _page(title: str, tables: Sequence[Table], plotted: Sequence[tuple[str, str, bytes]]) -> str:
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
        f"<p class='note'>lungsev {lungsev.__version__}. <span class='disclaimer'>{html.escape(DISCLAIMER)}</span></p>",
    ]
    parts += [_table(table) for table in tables]
    if plotted:
        parts.append("<h2>Figures</h2>")
    for name, caption, data in plotted:
        image = base64.b64encode(data).decode()
        parts.append(
            f"<figure id='{html.escape(name)}'><img alt='{html.escape(caption)}' src='data:image/png;base64,{image}'>"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f"<p class='note'>{html.escape(table.note)}</p>" if table.note else ""
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<h2>{html.escape(table.title)}</h2><div class='wide'>{body}</div>{note}"
