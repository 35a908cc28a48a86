"""Padding and tables mean the numbers that the image holds, whatever sign they were written with."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.reading.grayscale import Grayscale, Lut, Window
from lungsev.reading.values.inputs import fit_grayscale

SIGNED = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
UNSIGNED = np.arange(4096, dtype=np.uint16).reshape(64, 64)
TABLE = np.arange(4096.0)


@pytest.mark.parametrize(
    ("values", "padding", "expected"),
    [
        (SIGNED, (63488, 63488), (-2048, -2048)),
        (SIGNED, (-2048, -2040), (-2048, -2040)),
        (UNSIGNED, (-1, -1), (65535, 65535)),
        (UNSIGNED, (4095, 4000), (4000, 4095)),
    ],
)
def test_padding_has_the_sign_of_the_values(
    values: np.ndarray, padding: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fit_grayscale(Grayscale(padding=padding), values, 12).padding == expected


@pytest.mark.parametrize(
    ("values", "slope", "first", "expected"),
    [
        (UNSIGNED, 1.0, 0, 0),
        (UNSIGNED, -1.0, 61441, -4095),
        (UNSIGNED, -1.0, -4095, -4095),
        (SIGNED, 1.0, 63488, -2048),
        (SIGNED, 1.0, -2048, -2048),
        (UNSIGNED, 16.0, -30000, 35536),
    ],
)
def test_a_voi_table_is_where_the_modality_values_are(
    values: np.ndarray, slope: float, first: int, expected: int
) -> None:
    fitted = fit_grayscale(Grayscale(slope=slope, voi_luts=(Lut(first, TABLE, 12),)), values, 12)
    assert [lut.first for lut in fitted.voi_luts] == [expected]
    assert not fitted.lut_unusable


def test_a_modality_table_is_where_the_stored_values_are_and_its_values_are_the_inputs_of_the_next() -> None:
    fitted = fit_grayscale(
        Grayscale(modality_lut=Lut(63488, TABLE + 40_000, 16), voi_luts=(Lut(40_000 - 65536, TABLE, 12),)), SIGNED, 12
    )
    assert fitted.modality_lut is not None
    assert (fitted.modality_lut.first, fitted.voi_luts[0].first) == (-2048, 40_000)


def test_a_table_that_no_value_reaches_is_told() -> None:
    for grayscale in (Grayscale(voi_luts=(Lut(20_000, TABLE, 12),)), Grayscale(modality_lut=Lut(20_000, TABLE, 12))):
        fitted = fit_grayscale(grayscale, UNSIGNED, 12)
        assert (fitted.modality_lut, fitted.voi_luts, fitted.lut_unusable) == (None, (), True)


@pytest.mark.parametrize(
    ("values", "slope", "center", "expected"),
    [
        (SIGNED, 1.0, 2048, 0),
        (SIGNED, 1.0, 0, 0),
        (SIGNED, -1.0, -2048, 0),
        (UNSIGNED, 1.0, 0, 2048),
        (UNSIGNED, 2.0, 0, 4096),
        (UNSIGNED, 1.0, 2048, 2048),
        (UNSIGNED, 1.0, 1200, 1200),
    ],
)
def test_a_window_for_the_other_sign_is_moved_to_the_values(
    values: np.ndarray, slope: float, center: float, expected: float
) -> None:
    given = Window(center, 4096 * abs(slope))
    fitted = fit_grayscale(Grayscale(slope=slope, windows=(given,)), values, 12)
    assert [(window.center, window.width) for window in fitted.windows] == [(expected, given.width)]
