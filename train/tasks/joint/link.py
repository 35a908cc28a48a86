"""What a lung's extent and degree of opacity say of the sum of its zones: a table that rises along both."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from lungsev.errors import ConfigError
from lungsev.schemes import Scheme
from lungsev.train.tasks.joint.settings import Link, TieSettings

Array = npt.NDArray[np.float32]
SIDES = ("right", "left")
PRIOR_LUNGS = 4.0  # that each entry of the table before weighs, so that what no lung shows stays as it was
MIN_LUNGS = 20


def lung_grades(grades: npt.NDArray[np.floating], scheme: Scheme) -> npt.NDArray[np.float64]:
    """Return the mean position on the scale of the right and the left lung's region: [N, R, G] -> [N, 2], NaN unknown.

    Raises:
        ConfigError: The scheme has not one region per lung.
    """
    places = [[place for place, region in enumerate(scheme.regions) if region.side == side] for side in SIDES]
    if [len(found) for found in places] != [1, 1]:
        raise ConfigError(f"tie: {scheme.name} has not one region per lung, expected a score of each lung as ralo")
    chosen = grades[:, [found[0] for found in places]].astype(np.float64)
    mean = chosen @ np.arange(scheme.num_grades)
    return np.where(chosen.sum(axis=-1) > 0, mean, np.nan)


def lung_sums(grades: npt.NDArray[np.floating], scheme: Scheme) -> npt.NDArray[np.float64]:
    """Return the expected sum of each lung's regions: [N, R, G] -> [N, 2] right and left, NaN where one is unknown."""
    expected = grades.astype(np.float64) @ np.asarray(scheme.grades, dtype=np.float64)
    expected = np.where(grades.sum(axis=-1) > 0, expected, np.nan)
    return np.stack(
        [expected[:, [region.side == side for region in scheme.regions]].sum(axis=1) for side in SIDES], axis=1
    )


def linked(extent: npt.NDArray[np.float64], opacity: npt.NDArray[np.float64], tie: TieSettings) -> Array:
    """Return `link` at extent and opacity, linear between its entries; NaN where either is unknown."""
    table = np.asarray(tie.link, dtype=np.float64)
    found = (_corner_shares(extent, opacity, table.shape) @ table.ravel()).reshape(extent.shape)
    return np.where(np.isnan(extent) | np.isnan(opacity), np.nan, found).astype(np.float32)


def fitted_link(
    extent: npt.NDArray[np.float64], opacity: npt.NDArray[np.float64], sums: npt.NDArray[np.float64], tie: TieSettings
) -> Link:
    """Return the table nearest to what readers said of lungs, by least squares, that still rises along both axes.

    Args:
        extent: [N, 2] as predicted for images whose patients the network had not seen, NaN unknown.
        opacity: [N, 2] likewise.
        sums: [N, 2] readers' sums of the zones, NaN unknown.
        tie: Its table is the one before, which each entry is drawn to; a row and a column of zeros stay.

    Raises:
        ConfigError: There are too few lungs.
    """
    from scipy.optimize import nnls

    known = ~(np.isnan(extent) | np.isnan(opacity) | np.isnan(sums))
    if known.sum() < MIN_LUNGS:
        raise ConfigError(f"tie.link_from: found {known.sum()} lungs to fit the link on, expected {MIN_LUNGS} or more")
    before = np.asarray(tie.link, dtype=np.float64)
    shares = _corner_shares(extent[known], opacity[known], before.shape)
    rising = _rising_tables(before)
    weight = np.sqrt(PRIOR_LUNGS)
    amounts, _ = nnls(
        np.concatenate([shares @ rising.T, weight * rising.T]), np.concatenate([sums[known], weight * before.ravel()])
    )
    table = np.minimum(amounts @ rising, before.max()).reshape(before.shape)
    return tuple(tuple(round(float(value), 3) for value in row) for row in table)


def _rising_tables(before: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Tables of 0 and 1 that rise along both axes: every table that rises is a sum of such, each some times.

    A first row or column of zeros stays.

    Returns:
        [tables, entries].
    """
    rows, columns = before.shape
    top, left = int(not before[0].any()), int(not before[:, 0].any())
    tables = []
    for starts in combinations_with_replacement(range(columns, left - 1, -1), rows - top):
        table = np.zeros(before.shape)
        for row, start in enumerate(starts):
            table[top + row, start:] = 1.0
        if table.any():
            tables.append(table.ravel())
    return np.stack(tables)


def _corner_shares(
    extent: npt.NDArray[np.float64], opacity: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """What each entry of a table counts for each point, of the four around it: [points, entries]."""
    weights = []
    for values, size in ((extent.ravel(), shape[0]), (opacity.ravel(), shape[1])):
        place = np.clip(np.nan_to_num(values), 0, size - 1)
        weights.append(np.clip(1 - np.abs(place[:, None] - np.arange(size)), 0, None))
    return np.einsum("pi,pj->pij", *weights).reshape(len(weights[0]), -1)
