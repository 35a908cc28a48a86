"""The report's page: one HTML file that needs nothing beside it, for a screen and for paper."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

from lungsev.report import DISCLAIMER
from lungsev.train.evaluation.reporting.cells import Table
from lungsev.train.evaluation.reporting.formats import as_html

STYLE = """
:root { --ink: #1d1d1f; --soft: #5a5a60; --line: #dcdce0; --warn: #8a5a00; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: var(--ink); background: #fff;
  max-width: 1240px; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; border-bottom: 2px solid var(--ink); padding-bottom: .2rem; }
h3 { font-size: 1.02rem; margin: 1.9rem 0 .5rem; }
nav { columns: 3 15rem; font-size: 13px; margin: 1rem 0; } nav a { display: block; padding: .1rem 0; }
a { color: #1b5c94; text-decoration: none; } a:hover { text-decoration: underline; }
.method { border: 1px solid var(--line); border-left: 4px solid #1b6ca8; padding: .8rem 1.1rem; font-size: 13.5px; }
.method dl { display: grid; grid-template-columns: 10rem 1fr; gap: .35rem 1rem; margin: 0; }
.method dt { font-weight: 600; } .method dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; border-top: 2px solid var(--ink);
  border-bottom: 2px solid var(--ink); }
th { text-align: left; vertical-align: bottom; font-weight: 600; padding: .4rem .7rem;
  border-bottom: 1px solid var(--ink); line-height: 1.3; max-width: 12rem; }
td { vertical-align: top; padding: .35rem .7rem; border-bottom: 1px solid var(--line); max-width: 21rem;
  overflow-wrap: break-word; }
td:first-child { min-width: 9.5rem; font-weight: 500; } #provenance td { overflow-wrap: anywhere; min-width: 6rem; }
small { display: block; font-weight: 400; font-size: 11.5px; color: var(--soft); line-height: 1.35; }
td.measured { font-variant-numeric: tabular-nums; overflow-wrap: normal; }
td.measured > span, .interval { white-space: nowrap; } #table-1 td:last-child { min-width: 9.5rem; }
td.caution { color: var(--warn); font-style: italic; } td.caution small { color: inherit; opacity: .85; }
sup { line-height: 0; font-style: normal; }
figure { margin: 1.6rem 0; } img { max-width: 100%; height: auto; display: block; }
figcaption, .note { color: var(--soft); font-size: 13px; margin: .4rem 0; max-width: 62rem; }
figcaption b { color: var(--ink); } .disclaimer { color: #8a1c1c; }
td:not(.measured) small { min-width: 9.5rem; }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { font-size: 10pt; max-width: none; margin: 0; padding: 0; }
  table { font-size: 7.4pt; } small { font-size: 6.6pt; } td, th { padding: .15rem .35rem; }
  .wide { overflow: visible; } nav { display: none; } a { color: inherit; }
  h2, h3 { break-after: avoid; } tr, figure, .method { break-inside: avoid; } thead { display: table-header-group; }
  figure { margin: .6rem 0; } img { max-height: 165mm; } figcaption, .note { font-size: 8pt; }
}
"""


@dataclass(frozen=True)
class Picture:
    """A drawn figure: its name, title, caption and picture, PNG or JPEG."""

    name: str
    title: str
    caption: str
    image: bytes


def page_of(title: str, method: Sequence[tuple[str, str]], tables: Sequence[Table], pictures: Sequence[Picture]) -> str:
    """Return the page; figures are embedded as pixels, since a vector's fonts differ from screen to screen."""
    links = [(table.name, table.title) for table in tables]
    links += [(picture.name, f"Figure {number}: {picture.title}") for number, picture in enumerate(pictures, start=1)]
    contents = "".join(f"<a href='#{html.escape(name)}'>{html.escape(text)}</a>" for name, text in links)
    box = "".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in method)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
        f"<p class='note disclaimer'>{html.escape(DISCLAIMER)}</p><nav>{contents}</nav>",
        f"<h2>How these numbers were made</h2><div class='method'><dl>{box}</dl></div>",
        "<h2>Tables</h2>",
        *(as_html(table) for table in tables),
        *(["<h2>Figures</h2>"] if pictures else []),
        *(_figure(number, picture) for number, picture in enumerate(pictures, start=1)),
    ]
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _figure(number: int, picture: Picture) -> str:
    image = base64.b64encode(picture.image).decode()
    kind = "png" if picture.image.startswith(b"\x89PNG") else "jpeg"
    title, caption = html.escape(picture.title), html.escape(picture.caption)
    return (
        f"<figure id='{html.escape(picture.name)}'><img alt='{title}' src='data:image/{kind};base64,{image}'>"
        f"<figcaption><b>Figure {number}. {title}.</b> {caption}</figcaption></figure>"
    )
