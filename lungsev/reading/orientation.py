"""Patient Orientation to the radiological view: rows run to the patient's left, columns to the feet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lungsev.errors import SkippedImageError

Stored = npt.NDArray[np.integer]

_SIDE = frozenset("LR")
_LENGTH = frozenset("HF")


def turn_to_radiological(stored: Stored, orientation: tuple[str, ...]) -> tuple[Stored, tuple[str, ...]]:
    """Turn an image so that its orientation becomes L and F (PS3.3 C.7.6.1.1.1).

    Args:
        stored: [rows, columns].
        orientation: Direction of the rows and of the columns; the first letter of each is the main one.

    Returns:
        The image, and notes: `side_not_verified` where the tag is silent, `orientation_corrected` where it was turned.

    Raises:
        SkippedImageError: `lateral`, when an axis runs from front to back.
    """
    main = tuple(value[:1] for value in orientation)
    if len(main) != 2 or not set(main) <= set("LRHFAP"):
        return stored, ("side_not_verified",)
    if set(main) & set("AP"):
        raise SkippedImageError(
            "lateral", "the file says that this X-ray is taken from the side, expected from the front or back"
        )
    across, down = main
    if across in _LENGTH and down in _SIDE:
        stored, across, down = stored.T, down, across
    elif not (across in _SIDE and down in _LENGTH):
        return stored, ("side_not_verified",)
    if across == "R":
        stored = stored[:, ::-1]
    if down == "H":
        stored = stored[::-1]
    notes = () if main == ("L", "F") else ("orientation_corrected",)
    return np.ascontiguousarray(stored), notes
