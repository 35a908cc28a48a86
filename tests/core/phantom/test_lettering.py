"""Letters have the stated place, height, width and brightness."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.phantom.lettering import draw_text, text_width


def drawn(text: str, value: float = 1.0) -> np.ndarray:
    image = np.zeros((60, 200), np.float32)
    draw_text(image, text, (10.0, 10.0), 30.0, value)
    return image


def test_a_word_fills_its_box() -> None:
    rows, columns = np.nonzero(drawn("HMH") > 0.5)
    assert (rows.min(), rows.max()) == pytest.approx((10, 40), abs=4)
    assert (columns.min(), columns.max()) == pytest.approx((10, 10 + text_width("HMH", 30.0)), abs=4)


def test_small_letters_are_written_as_capitals_and_unknown_ones_left_out() -> None:
    np.testing.assert_array_equal(drawn("ap"), drawn("AP"))
    assert not drawn("?").any()
    assert not np.array_equal(drawn("A?P"), drawn("AP"))


def test_the_brightness_is_the_stated_one() -> None:
    assert drawn("L", value=0.7).max() == pytest.approx(0.7)


def test_an_empty_line_has_no_width() -> None:
    assert text_width("", 30.0) == 0.0
