"""Fixture: everything that is drawn on a sheet, in order, in design units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from lungsev.drawing.shapes import Sheet


class Text(NamedTuple):
    """A line of text at its anchor."""

    x: float
    y: float
    text: str
    size: float
    anchor: str = "ls"
    weight: int = 400


class Box(NamedTuple):
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: tuple[int, int, int]
    radius: float = 0


class Line(NamedTuple):
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    colour: tuple[int, int, int]
    width: float


class Pasted(NamedTuple):
    """A picture at its upper left corner, with its size in pixels."""

    x: float
    y: float
    width_px: int
    height_px: int


Drawn = Text | Box | Line | Pasted


def near(value: float) -> float:
    """A position to the next design unit: letters are not equally wide in every release of the font library."""
    return float(round(float(value)))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Drawn]:
    """What is drawn from now on."""
    calls: list[Drawn] = []
    text, rectangle, lines, paste = Sheet.text, Sheet.rectangle, Sheet.lines, Sheet.paste

    def note_text(self, x, y, line, size, colour, *, weight=400, anchor="ls", halo=None):
        calls.append(Text(near(x), near(y), line, near(size), anchor, weight))
        return text(self, x, y, line, size, colour, weight=weight, anchor=anchor, halo=halo)

    def note_rectangle(self, x, y, width, height, colour, *, radius=0, alpha=1.0):
        calls.append(Box(near(x), near(y), near(width), near(height), colour, near(radius)))
        rectangle(self, x, y, width, height, colour, radius=radius, alpha=alpha)

    def note_lines(self, points, colour, *, width, closed=False):
        corners = tuple((near(x), near(y)) for x, y in np.asarray(points))
        calls.append(Line(corners, colour, width))
        lines(self, points, colour, width=width, closed=closed)

    def note_paste(self, image, x, y):
        calls.append(Pasted(near(x), near(y), image.shape[1], image.shape[0]))
        paste(self, image, x, y)

    monkeypatch.setattr(Sheet, "text", note_text)
    monkeypatch.setattr(Sheet, "rectangle", note_rectangle)
    monkeypatch.setattr(Sheet, "lines", note_lines)
    monkeypatch.setattr(Sheet, "paste", note_paste)
    return calls
