"""The image with its result drawn on it, as a PNG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lungsev.drawing.overlay import draw_overlay, encode_png
from lungsev.pipeline import ScoredRadiograph
from lungsev.system import write_atomically


@dataclass(frozen=True)
class OverlayPng:
    """Every image; one without a score gets a picture that says so and why."""

    name: str = "overlay"
    folder: str = "overlays"
    suffix: str = ".png"

    def write(self, scored: ScoredRadiograph, target: Path) -> Path:
        write_atomically(target, encode_png(draw_overlay(scored)))
        return target
