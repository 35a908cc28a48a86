"""Stored values become the same brightness whatever way the file describes it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_images import image_dataset
from pydicom.pixels import apply_voi_lut

from lungsev.reading.grayscale import Grayscale, Lut, Window, render, weighted_percentiles

Values = npt.NDArray[np.integer]


def shown_as(stored: Values, grayscale: Grayscale) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    brightness, notes = render(stored, grayscale)
    return brightness.pixels, notes


def ramp(top: int, dtype: str = "u2") -> Values:
    return np.linspace(0, top, 64 * 64).astype(dtype).reshape(64, 64)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_follow_the_standard_as_pydicom_reads_it(function: str) -> None:
    dataset = image_dataset(voi="window", bits=12, rescale=None)
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 1800.0, 2500.0, function
    stored = ramp(4095)
    expected = apply_voi_lut(stored, dataset).astype(np.float64)
    expected /= 4095
    shown = shown_as(stored, Grayscale(windows=[Window(1800.0, 2500.0, function)]))[0]
    np.testing.assert_allclose(shown, expected, atol=1 / 4000)


def test_a_linear_window_reaches_black_and_white_where_the_standard_says() -> None:
    shown = shown_as(ramp(4095), Grayscale(windows=[Window(2048, 4096)]))[0]
    assert shown.min() == 0.0
    assert shown.max() == 1.0
    assert shown.dtype == np.float32


def test_rescale_comes_before_the_window() -> None:
    stored = ramp(1000)
    plain = shown_as(stored, Grayscale(windows=[Window(500, 800)]))[0]
    rescaled = shown_as(stored, Grayscale(slope=2.0, intercept=-100, windows=[Window(899.5, 1599)]))[0]
    np.testing.assert_allclose(rescaled, plain, atol=1e-6)


def test_a_negative_slope_inverts() -> None:
    stored = ramp(1000)
    shown = shown_as(stored, Grayscale(slope=-1.0, intercept=1000, windows=[Window(500.5, 1001)]))[0]
    assert shown[0, 0] == 1.0
    assert shown[-1, -1] == 0.0


def test_a_modality_lut_replaces_rescale() -> None:
    stored = ramp(255)
    squared = Lut(first=0, entries=np.arange(256.0) ** 2, bits=16)
    shown = shown_as(stored, Grayscale(slope=7.0, modality_lut=squared, windows=[Window(32513, 65026)]))[0]
    np.testing.assert_allclose(shown, (stored / 255.0) ** 2, atol=1e-4)


def test_a_voi_lut_comes_before_the_window() -> None:
    stored = ramp(1023)
    lut = Lut(first=0, entries=np.linspace(0, 4095, 1024), bits=12)
    shown, notes = shown_as(stored, Grayscale(voi_luts=[lut], windows=[Window(100, 50)]))
    np.testing.assert_allclose(shown, stored / 1023, atol=1e-3)
    assert notes == ()


def test_inputs_beyond_a_lut_take_its_ends() -> None:
    lut = Lut(first=100, entries=np.array([10.0, 20.0, 30.0]), bits=8)
    np.testing.assert_array_equal(lut.apply(np.array([0.0, 100.0, 101.0, 500.0])), [10, 10, 20, 30])


def test_a_lut_that_fills_ten_of_its_sixteen_bits_still_reaches_white() -> None:
    lut = Lut(first=0, entries=np.arange(1024.0), bits=16)
    assert shown_as(ramp(1023), Grayscale(voi_luts=[lut]))[0].max() == 1.0


@pytest.mark.parametrize("bad", [Window(0, 0), Window(float("nan"), 10), Window(5, float("inf")), Window(60000, 2)])
def test_of_several_windows_the_first_that_shows_the_radiograph_is_taken(bad: Window) -> None:
    good = Window(2048, 4096)
    assert shown_as(ramp(4095), Grayscale(windows=[bad, good]))[1] == ()
    np.testing.assert_array_equal(
        shown_as(ramp(4095), Grayscale(windows=[bad, good]))[0],
        shown_as(ramp(4095), Grayscale(windows=[good]))[0],
    )


def test_a_window_that_hides_the_radiograph_is_ignored_aloud() -> None:
    shown, notes = shown_as(ramp(4095), Grayscale(windows=[Window(60000, 100)]))
    assert notes == ("window_ignored",)
    assert np.ptp(shown) > 0.99


def test_without_a_window_the_robust_range_is_shown() -> None:
    stored = ramp(1000)
    stored[0, 0] = 65535
    shown, notes = shown_as(stored, Grayscale())
    assert notes == ()
    assert 0.99 < np.quantile(shown, 0.995) <= 1.0


def test_a_constant_radiograph_is_grey_and_says_so() -> None:
    shown, notes = shown_as(np.full((64, 64), 700, np.uint16), Grayscale(windows=[Window(100, 50)]))
    assert "constant" in notes
    assert set(np.unique(shown)) == {0.5}


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    bits=st.integers(8, 16),
    slope=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    intercept=st.integers(-2000, 2000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", None]),
    center=st.floats(0.3, 0.7),
    width=st.floats(0.5, 1.5),
    seed=st.integers(0, 2**31),
)
def test_both_photometric_interpretations_give_the_same_bits(
    bits: int, slope: float, intercept: int, function: str | None, center: float, width: float, seed: int
) -> None:
    top = (1 << bits) - 1
    stored = np.random.default_rng(seed).integers(0, top, (32, 32), endpoint=True).astype(np.uint16)
    low, high = intercept, top * slope + intercept
    middle, span = round(low + center * (high - low)), round(width * (high - low))
    windows = [] if function is None else [Window(middle, span, function)]  # type: ignore[arg-type]
    # Mirrored modality values x' = low + high - x; LINEAR is centred half a unit below its centre.
    mirrored_middle = low + high - middle + (1 if function == "LINEAR" else 0)
    mirrored = [] if function is None else [Window(mirrored_middle, span, function)]  # type: ignore[arg-type]
    second = shown_as(stored, Grayscale(slope, intercept, windows=windows))[0]
    first = shown_as((top - stored).astype(np.uint16), Grayscale(slope, intercept, windows=mirrored, inverted=True))[0]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("dtype", ["i1", "i2"])
def test_signed_values_keep_their_order(dtype: str) -> None:
    stored = np.linspace(-100, 100, 64 * 64).astype(dtype).reshape(64, 64)
    shown = shown_as(stored, Grayscale(windows=[Window(0.5, 201)]))[0]
    np.testing.assert_allclose(shown, (stored + 100.0) / 200, atol=1e-6)


def test_padding_at_the_edge_is_black_and_inside_it_is_radiograph() -> None:
    stored = np.full((60, 60), 900, np.uint16)
    stored[10:50, 10:50] = ramp(800)[:40, :40]
    stored[30, 30] = 900
    shown = shown_as(stored, Grayscale(inverted=True, windows=[Window(450, 900)], padding=(900, 900)))[0]
    assert shown[0, 0] == shown[5, 55] == 0.0
    assert shown[30, 30] == shown_as(stored, Grayscale(inverted=True, windows=[Window(450, 900)]))[0][30, 30]


def test_padding_does_not_move_the_robust_range() -> None:
    stored = ramp(1000)
    padded = np.pad(stored, 20, constant_values=4000)
    shown = shown_as(padded, Grayscale(padding=(4000, 4095)))[0][20:-20, 20:-20]
    np.testing.assert_array_equal(shown, shown_as(stored, Grayscale())[0])


def test_a_radiograph_that_is_all_padding_is_still_shown() -> None:
    assert shown_as(ramp(100), Grayscale(padding=(0, 4095)))[0].max() == 1.0


def test_pictures_of_8_bits_are_shown_as_they_are_and_of_16_over_their_range() -> None:
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_allclose(shown_as(eight, Grayscale(display_ready=True))[0], eight / 255, atol=1e-6)
    assert shown_as(ramp(4095), Grayscale())[0].max() == 1.0


def test_percentiles_of_a_histogram_are_those_of_its_values() -> None:
    values = np.random.default_rng(0).integers(0, 1000, 50_000)
    counts = np.bincount(values, minlength=1000).astype(float)
    found = weighted_percentiles(np.arange(1000.0), counts, (1, 50, 99))
    np.testing.assert_allclose(found, np.percentile(values, (1, 50, 99)), atol=1)


def test_large_radiographs_and_old_opencv_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, grayscale = ramp(4095), Grayscale(windows=[Window(2000, 3000)])
    expected = shown_as(stored, grayscale)[0]
    monkeypatch.setattr("lungsev.reading.values.brightness._OPENCV_LOOKS_UP_16_BITS", False)
    monkeypatch.setattr("lungsev.reading.grayscale.EXACT_FLOAT32_COUNT", 1)
    np.testing.assert_array_equal(shown_as(stored, grayscale)[0], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_padding_is_black_also_where_the_image_uses_every_value(dtype: type) -> None:
    top = np.iinfo(dtype).max
    stored = np.arange(top + 1, dtype=dtype).reshape(-1, 256)
    padded = np.pad(stored, 2, constant_values=top)
    shown = shown_as(padded, Grayscale(windows=[Window(top / 2, top)], padding=(top, top)))[0]
    plain = shown_as(stored, Grayscale(windows=[Window(top / 2, top)]))[0]
    assert (shown[:2] == 0).all()
    assert (shown[:, -2:] == 0).all()
    np.testing.assert_array_equal(shown[2:-2, 2:-2].ravel()[:-1], plain.ravel()[:-1])
