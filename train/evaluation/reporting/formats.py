"""Tables as Markdown, LaTeX, CSV and HTML. The first, second and last are for people, CSV is for programs."""

from __future__ import annotations

import csv
import html
import io
import re
import textwrap
from typing import Any

from lungsev.train.evaluation.measurement import MeasuredDifference, Measurement
from lungsev.train.evaluation.reporting.cells import Measured, ShownCell, Table, plain, shown
from lungsev.train.evaluation.reporting.comparisons import CorrectedTest

LATEX_PREAMBLE = "% \\usepackage{booktabs,graphicx}"
LATEX_WIDTH = 24  # characters of a line in a cell
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\S{}",
    "¶": r"\P{}",
}
_SIGNED = re.compile(r"(?<![\w.])([+-])(?=\d)")
CSV_FIELDS = (
    "measure",
    "region",
    "part",
    "decision",
    "unit",
    "value",
    "low",
    "high",
    "coverage",
    "resampled",
    "n",
    "patients",
    "seeds",
    "sd",
    "patient_sd",
    "bins",
    "p_value",
    "p_holm",
    "caution",
)


def as_markdown(table: Table) -> str:
    """Return a table of Markdown with its notes."""
    found = shown(table)
    heads = [f"{label}<br>{source}" if source else label for label, source in found.heads]
    lines = [f"### {found.title}", "", _markdown_row(heads), "|" + "---|" * len(heads)]
    lines += [_markdown_row([cell.line() for cell in row]) for row in found.rows]
    return "\n".join([*lines, "", *(f"{note}  " for note in found.notes)]).rstrip() + "\n"


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_latex(table: Table) -> str:
    """Return a floating table with booktabs' rules; wide ones shrink to the width of the text."""
    found = shown(table)
    align = "".join(
        "r" if any(row[column].measured for row in found.rows) else "l" for column in range(len(found.heads))
    )
    heads = " & ".join(_latex_stack(label, source) for label, source in found.heads)
    body = [
        " & ".join(_latex_stack(f"{cell.text}{cell.mark}", cell.interval, cell.remark) for cell in row)
        for row in found.rows
    ]
    lines = [
        LATEX_PREAMBLE,
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{latex_text(found.title)}}}",
        rf"\label{{tab:{found.name}}}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}{align}@{{}}}}",
        r"\toprule",
        rf"{heads} \\",
        r"\midrule",
        *(rf"{line} \\[2pt]" for line in body),
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\smallskip{{\footnotesize {latex_text(note)}\par}}" for note in found.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_stack(text: str, *details: str) -> str:
    """Return a cell of several lines, its details small."""
    lines = [latex_text(line) for line in textwrap.wrap(text, LATEX_WIDTH)]
    lines += [rf"{{\scriptsize {latex_text(line)}}}" for each in details for line in textwrap.wrap(each, LATEX_WIDTH)]
    if len(lines) < 2:
        return "".join(lines)
    return "\n".join([r"\begin{tabular}[t]{@{}l@{}}", " \\\\\n".join(lines), r"\end{tabular}"])


def latex_text(text: str) -> str:
    """Escape text for LaTeX; the sign of a number becomes a minus or plus of mathematics."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    # A cell that begins with [ would be read as the optional length of the \\ before it.
    return _SIGNED.sub(r"$\1$", escaped).replace("[", "{[}").replace("]", "{]}")


def as_csv(table: Table) -> str:
    """Return one line per measured value, after the row's text cells; a table of text alone as it is.

    Values of unit `%` are in percent. Empty fields are not defined.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    measured = [index for index in range(len(table.columns)) if any(not isinstance(r[index], str) for r in table.rows)]
    texts = [index for index in range(len(table.columns)) if index not in measured]
    heads = [table.columns[index] for index in texts]
    writer.writerow([*heads, *CSV_FIELDS] if measured else heads)
    for row in table.rows:
        stub = [row[index] for index in texts]
        if not measured:
            writer.writerow(stub)
        for index in measured:
            cell = row[index]
            if not isinstance(cell, str):
                values = raw_values(cell)
                writer.writerow([*stub, *("" if values[field] is None else values[field] for field in CSV_FIELDS)])
    return buffer.getvalue()


def raw_values(cell: Measured) -> dict[str, Any]:
    """Return the fields of a value as a CSV file has them; None where one is not defined."""
    found = plain(cell)
    scale = 100.0 if found.unit == "%" else 1.0
    low, high = found.interval if found.interval is not None else (None, None)
    values: dict[str, Any] = {
        "measure": found.measure + ("" if isinstance(found, Measurement) else " difference"),
        "region": found.region,
        "part": found.part,
        "decision": found.decision,
        "unit": "percentage points" if isinstance(found, MeasuredDifference) and found.unit == "%" else found.unit,
        "value": _scaled(found.value, scale),
        "low": _scaled(low, scale),
        "high": _scaled(high, scale),
        "coverage": found.coverage if found.interval is not None else None,
        "resampled": found.resampled if found.interval is not None else None,
        "n": found.images,
        "patients": found.patients,
        "seeds": found.seeds,
        "sd": None,
        "patient_sd": None,
        "bins": None,
        "p_value": None,
        "p_holm": None,
        "caution": found.caution,
    }
    if isinstance(found, Measurement):
        values.update(sd=_scaled(found.sd, scale), patient_sd=_scaled(found.patient_sd, scale), bins=found.bins)
    else:
        values["p_value"] = found.p_value
    if isinstance(cell, CorrectedTest):
        values["p_holm"] = cell.p_holm
    return values


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None or value != value else value * scale


def as_html(table: Table) -> str:
    """Return a section with the table; every measured cell carries its raw values as data attributes."""
    found = shown(table)
    head = "".join(
        f"<th scope='col'>{html.escape(label)}" + (f"<small>{html.escape(source)}</small>" if source else "") + "</th>"
        for label, source in found.heads
    )
    rows = "".join(f"<tr>{''.join(_html_cell(cell) for cell in row)}</tr>" for row in found.rows)
    notes = "".join(f"<p class='note'>{html.escape(note)}</p>" for note in found.notes)
    return (
        f"<section id='{html.escape(found.name)}'><h3>{html.escape(found.title)}</h3><div class='wide'><table>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{notes}</section>"
    )


def _html_cell(cell: ShownCell) -> str:
    interval = f"<small class='interval'>{html.escape(cell.interval)}</small>" if cell.interval else ""
    details = interval + (f"<small>{html.escape(cell.remark)}</small>" if cell.remark else "")
    if cell.measured is None:
        return f"<td>{html.escape(cell.text)}{details}</td>"
    values = raw_values(cell.measured)
    data = "".join(
        f" data-{field.replace('_', '-')}='{html.escape(str(value))}'"
        for field, value in values.items()
        if value not in (None, "")
    )
    mark = f"<sup>{html.escape(cell.mark)}</sup>" if cell.mark else ""
    kind = "measured caution" if cell.mark else "measured"
    return f"<td class='{kind}'{data}><span>{html.escape(cell.text)}{mark}</span>{details}</td>"
