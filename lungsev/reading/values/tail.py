"""The end of an image in memory: values that an unfinished copy did not reach."""

from __future__ import annotations

import numpy as np

from lungsev.reading.values.sign import Stored

LINES_BEFORE = 8
SHORTER = 0.02  # of a line's length, that the last line with values must end before the lines above it


def ends_inside_a_line(stored: Stored) -> bool:
    """Whether one value fills everything from the middle of a line on, as empty memory behind a cut does.

    A shutter's edge is straight: the lines above it end where it says, each a little before or behind the next. A copy
    ends at some byte: the line there stops, and the lines above it do not.

    Args:
        stored: [rows, columns] in the order of the file.
    """
    last = stored[-1, -1]
    if not (stored[-1] == last).all():
        return False
    empty = (stored == last).all(axis=1)
    first = len(empty) - int(np.argmin(empty[::-1]))  # the first of the empty lines at the end
    if empty.all() or first < LINES_BEFORE + 1:
        return False
    ends = [_end(line, last) for line in stored[first - 1 - LINES_BEFORE : first]]
    *above, end = ends
    return min(above) - end > SHORTER * stored.shape[1] + 3 * (max(above) - min(above))


def _end(line: Stored, value: np.integer) -> int:
    """How many values of a line there are up to the last that is another."""
    return int(np.flatnonzero(line != value).max(initial=-1)) + 1
