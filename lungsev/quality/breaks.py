"""Breaks in a picture: lines at which it does not go on, and parts that no detector made.

One exposure has neither. Two pictures on one have a seam or a gap between them; a cut or damaged transmission leaves
flat, stretched, repeated, displaced or random lines. Everything is measured on rows and on columns, and the larger
value counts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt

Greys = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

WORK_PX = 256  # longer side at which a picture is looked at
_FEWEST = 32  # lines; a smaller picture has nothing to measure
_INNER = (0.2, 0.8)  # of the picture, where a seam counts: markers, shutters and clothes have edges near the border
_SMOOTHED = 7  # pixels along a line
_REACH = 5  # lines beside a step at which its surroundings are measured
_JUMP = 2, 6  # times the steps beside it, plus greys of 255
_FLAT = 3, 0.97  # greys of 255 around the line's median, share of its pixels
_STILL = 0.05  # of the usual change from line to line
_LIVELY = 20  # greys of 255 between darkest and brightest of a line that is not flat
_LAG = 0.125  # of the picture: nearer lines are alike anyway
_CELLS = 32  # of a line that is compared with others
_QUIET = 25  # percentile of the lines' change that stands for the undamaged part


@dataclass(frozen=True)
class Breaks:
    """Shares of a picture, 0 to 1, each the larger of rows and columns.

    Attributes:
        seam: Share of a line across which the grey jumps, of the line inside the picture where it jumps most.
        gap: Width of the widest flat band with picture on both sides.
        still: Length of the longest run of lines that repeat the line before them.
        repeated: Length of the longest run of lines that come a second time.
        noise: Length of the longest run of lines that change several times as much as the quiet ones.
    """

    seam: float = 0.0
    gap: float = 0.0
    still: float = 0.0
    repeated: float = 0.0
    noise: float = 0.0


def find_breaks(content: FloatImage) -> Breaks:
    """Measure a picture.

    Args:
        content: float32 [rows, columns], 0-1, without the border around it.
    """
    scale = WORK_PX / max(content.shape)
    size = max(1, round(content.shape[1] * scale)), max(1, round(content.shape[0] * scale))
    small = cv2.resize(content, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    greys = np.asarray(np.clip(small * 255, 0, 255), dtype=np.uint8)
    if min(greys.shape) < _FEWEST:
        return Breaks()
    by_axis = [_breaks_of_rows(greys), _breaks_of_rows(np.ascontiguousarray(greys.T))]
    return Breaks(**{field.name: max(getattr(each, field.name) for each in by_axis) for field in fields(Breaks)})


def _breaks_of_rows(greys: Greys) -> Breaks:
    change = cv2.absdiff(greys[1:], greys[:-1]).mean(axis=1)
    lively = greys.max(axis=1).astype(np.int16) - greys.min(axis=1) > _LIVELY
    still = (change < _STILL * np.median(change)) & lively[1:]
    noisy = change > 6 * np.percentile(change, _QUIET) + 2
    return Breaks(_seam(greys), _gap(greys), _longest(still), _repeated(greys, lively), _longest(noisy))


def _seam(greys: Greys) -> float:
    smooth = cv2.blur(greys, (_SMOOTHED, 1)).astype(np.int16)
    step = np.abs(smooth[2:] - smooth[:-2])  # across line 1, 2, ...
    beside = np.maximum(_largest_of_three(step[: -2 * _REACH]), _largest_of_three(step[2 * _REACH :]))
    jumps = np.count_nonzero(step[_REACH:-_REACH] > _JUMP[0] * beside + _JUMP[1], axis=1) / step.shape[1]
    first, last = (int(share * len(greys)) - _REACH - 1 for share in _INNER)
    return float(jumps[max(first, 0) : last].max(initial=0.0))


def _largest_of_three(step: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    return np.asarray(cv2.dilate(step, np.ones((3, 1), np.uint8)), dtype=np.int16)


def _gap(greys: Greys) -> float:
    tolerance, share = _FLAT
    median = np.median(greys[:, ::2], axis=1).astype(np.int16)[:, None]
    alike = np.abs(greys.astype(np.int16) - median) <= tolerance
    flat = np.count_nonzero(alike, axis=1) >= share * greys.shape[1]
    inside = np.flatnonzero(~flat)
    if len(inside) < 2:
        return 0.0
    widths, middle = np.diff(inside) - 1, (inside[1:] + inside[:-1]) / 2 / len(greys)
    return float(widths[(middle > 1 - _INNER[1]) & (middle < _INNER[1])].max(initial=0) / len(greys))


def _repeated(greys: Greys, lively: npt.NDArray[np.bool_]) -> float:
    """Lines are alike when they differ less than neighbours do."""
    lines = cv2.resize(greys, (_CELLS, len(greys)), interpolation=cv2.INTER_AREA).astype(np.float32)
    squares = (lines**2).sum(axis=1)
    # OpenCV multiplies in this thread; OpenBLAS would start others, on the CPUs that the network has just used.
    products = cv2.gemm(lines, lines, 1, np.empty(0), 0, flags=cv2.GEMM_2_T)
    apart = squares[:, None] + squares[None] - 2 * products
    near = np.maximum(((lines[1:] - lines[:-1]) ** 2).sum(axis=1), 4.0 * _CELLS)
    alike = (apart[1:] <= near[:, None]) & lively[1:, None] & lively[None]
    return _longest_run(_diagonals(alike, int(_LAG * len(lines)))) / len(lines)


def _diagonals(alike: npt.NDArray[np.bool_], lag: int) -> npt.NDArray[np.bool_]:
    """Return all pairs of lines that are more than `lag` apart, one distance after the other, a False between them.

    Args:
        alike: [N - 1, N]: whether the lines 1, 2, ... are like the lines 0, 1, ...
        lag: Lines, at least 1.
    """
    count = alike.shape[1]
    sheared = np.zeros((count, 2 * count + 1), np.bool_)  # a row of it is one longer than one of `padded`
    padded = sheared.ravel()[: count * 2 * count].reshape(count, 2 * count)
    padded[:-1, :count] = alike
    return np.ascontiguousarray(sheared[:, count + 2 : 2 * count + 2 - lag].T).ravel()


def _longest(lines: npt.NDArray[np.bool_]) -> float:
    return _longest_run(lines) / max(len(lines), 1)


def _longest_run(lines: npt.NDArray[np.bool_]) -> int:
    ends = np.flatnonzero(np.diff(np.concatenate(([False], lines, [False])).astype(np.int8)))
    return int((ends[1::2] - ends[::2]).max(initial=0))
