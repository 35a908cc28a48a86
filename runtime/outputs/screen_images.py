"""What the dashboard lays together itself: the bare film, and the severity map as a transparent layer over it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.geometry import apply_theta
from lungsev.pipeline import ScoredFilm

from .atomic import write_atomically
from .film_view import film_pixels
from .overlay_png import encode_png, known_scheme, main_scheme
from .palette import severity_colours
from .side_panel import grade_range

FILM_LONGEST_PX = 1280
MAP_LONGEST_PX = 320


@dataclass(frozen=True)
class FilmPng:
    """Every film that could be read, upright, 8 bit grey, nothing drawn on it."""

    name: str = "film"
    folder: str = "films"
    suffix: str = ".png"

    def write(self, scored: ScoredFilm, target: Path) -> Path | None:
        if scored.film is None:
            return None
        longest = min(FILM_LONGEST_PX, max(scored.film.pixels.shape))
        write_atomically(target, encode_png(film_pixels(scored.film.pixels, longest)))
        return target


@dataclass(frozen=True)
class SeverityMapPng:
    """Scored films: the main scheme's map in film coordinates, transparent outside the lung field."""

    name: str = "severity_map"
    folder: str = "maps"
    suffix: str = ".png"

    def write(self, scored: ScoredFilm, target: Path) -> Path | None:
        if scored.report.status != "scored" or scored.film is None or scored.canvas is None:
            return None
        done, data = cv2.imencode(".png", cv2.cvtColor(severity_layer(scored), cv2.COLOR_RGBA2BGRA))
        if not done:
            raise ValueError("OpenCV could not encode the severity map")
        write_atomically(target, data.tobytes())
        return target


def severity_layer(scored: ScoredFilm) -> npt.NDArray[np.uint8]:
    """The severity map as RGBA [h, w, 4] over the whole film, longest side 320 px."""
    assert scored.film is not None
    assert scored.canvas is not None
    name = main_scheme(list(scored.report.scores))
    lowest, highest = grade_range(scored.report.scores[name], known_scheme(name, scored))
    values = scored.severity_map[name]
    rows, columns = scored.film.pixels.shape
    ratio = MAP_LONGEST_PX / max(rows, columns)
    size = (max(1, round(columns * ratio)), max(1, round(rows * ratio)))
    # Three corners of the canonical frame fix the affine map from its tokens to the film.
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    canvas = (apply_theta(np.array(scored.report.alignment), corners) + 1) / 2 * scored.canvas.frame.size_px
    on_film = scored.canvas.frame.to_image(canvas) * ratio
    cells_y, cells_x = values.shape
    cells = (corners + 1) / 2 * np.array([cells_x, cells_y])
    matrix = cv2.getAffineTransform((cells - 0.5).astype(np.float32), (on_film - 0.5).astype(np.float32))
    smooth = cv2.warpAffine(values, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    field = np.zeros(size[::-1], dtype=np.uint8)
    quad = np.array([on_film[0], on_film[1], on_film[1] + on_film[2] - on_film[0], on_film[2]])
    cv2.fillPoly(field, [np.round(quad * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    fraction = np.clip((smooth - lowest) / (highest - lowest), 0, 1)
    alpha = field.astype(np.float32) * (0.25 + 0.45 * fraction)
    return np.dstack([severity_colours(fraction), alpha]).astype(np.uint8)
