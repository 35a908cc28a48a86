"""A picture that ends where a copy or a decoder did is seen at its edges; a shutter and a border are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungsev.reading.values.brightness import Brightness
from lungsev.reading.values.edge_bands import EDGES, note_edges

NOISE = np.random.default_rng(0)
TISSUE = NOISE.uniform(0.2, 0.8, (600, 560)).astype(np.float32)
SMALL = TISSUE[:200, :160]


def notes_on(edge: str, ended: np.ndarray) -> tuple[str, ...]:
    """Notes on a picture whose lower end is put to this edge."""
    return note_edges(Brightness(np.ascontiguousarray(np.rot90(ended, EDGES.index(edge)))))


def ended(end: np.ndarray | float, kept: float, whole: np.ndarray = TISSUE) -> np.ndarray:
    picture = whole.copy()
    picture[round(kept * len(picture)) :] = end
    return picture


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("edge", EDGES)
def test_half_an_image_in_one_grey_is_missing(grey: float, edge: str) -> None:
    assert notes_on(edge, ended(grey, 0.5, SMALL)) == ("part_missing",)


def test_borders_on_both_sides_and_small_shutters_are_not_missing() -> None:
    assert note_edges(Brightness(SMALL)) == ()
    both = SMALL.copy()
    both[:60], both[-60:] = 0.0, 0.0
    assert note_edges(Brightness(both)) == ()
    assert note_edges(Brightness(np.zeros((40, 40), np.float32))) == ()
    shutter = ended(0.0, 0.75)
    for line in range(30):  # its edge is not sharp
        shutter[420 + line] *= 1 - line / 30
    assert note_edges(Brightness(shutter)) == ("dark_at_bottom",)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("kept", [0.8, 0.9, 0.95])
def test_black_from_one_line_to_the_next_may_be_a_missing_part(kept: float, edge: str) -> None:
    expected = ("part_may_be_missing", f"cut_at_{edge}")
    assert notes_on(edge, ended(0.0, kept)) == expected
    inside_a_line = ended(0.0, kept)
    inside_a_line[round(kept * len(inside_a_line)) - 1, 200:] = 0.0
    assert notes_on(edge, inside_a_line) == expected
    assert notes_on(edge, ended(0.0, 0.99)) == ("black_edge", f"dark_at_{edge}")


def test_black_behind_a_row_of_blocks_that_ends_early_may_be_a_missing_part() -> None:
    picture = ended(0.0, 0.9)
    picture[524:540, 100:] = 0.0
    assert note_edges(Brightness(picture)) == ("part_may_be_missing", "cut_at_bottom")


@pytest.mark.parametrize("grey", [0.1, 0.5, 1.0])
def test_no_shutter_is_grey(grey: float) -> None:
    assert note_edges(Brightness(ended(grey, 0.9))) == ("part_missing",)
    assert note_edges(Brightness(ended(grey, 0.98))) == ("part_may_be_missing", "cut_at_bottom")
    assert note_edges(Brightness(ended(grey, 0.997))) == ()


def test_grey_on_one_edge_and_black_on_the_other_are_no_pair() -> None:
    picture = ended(0.5, 0.94)
    picture[:60] = 0.0
    assert note_edges(Brightness(picture)) == ("part_missing",)


def test_a_frame_may_be_of_any_grey_and_wider_on_one_side() -> None:
    picture = ended(0.5, 0.92)
    picture[:8] = 0.5
    assert note_edges(Brightness(picture)) == ()


@pytest.mark.parametrize("kept", [0.9, 0.99])
def test_the_last_line_again_and_again_is_a_missing_part(kept: float) -> None:
    assert note_edges(Brightness(ended(TISSUE[300], kept))) == ("part_missing",)


def test_lines_that_all_come_several_times_are_not_missing() -> None:
    assert note_edges(Brightness(np.repeat(np.repeat(TISSUE, 4, axis=0), 4, axis=1))) == ()


def test_an_end_without_noise_may_be_a_missing_part_of_a_large_image() -> None:
    smooth = cv2.resize(np.random.default_rng(3).uniform(0.2, 0.8, (9, 9)).astype(np.float32), TISSUE.shape[::-1])
    assert note_edges(Brightness(ended(smooth[500:560], 0.9))) == ("part_may_be_missing",)
    assert note_edges(Brightness(ended(smooth[180:200, :160], 0.9, SMALL))) == ()
    assert note_edges(Brightness(cv2.GaussianBlur(TISSUE, (0, 0), 2))) == ()


@pytest.mark.parametrize("kept", [0.8, 0.95])
def test_an_end_of_nothing_but_noise_may_be_a_missing_part_of_a_large_image(kept: float) -> None:
    rng = np.random.default_rng(4)
    calm = cv2.resize(rng.uniform(0.2, 0.8, (9, 9)).astype(np.float32), TISSUE.shape[::-1])
    calm += rng.normal(0, 0.01, calm.shape).astype(np.float32)
    noise = rng.uniform(0, 1, (600 - round(kept * 600), 560))
    assert note_edges(Brightness(calm)) == ()
    assert "part_may_be_missing" in note_edges(Brightness(ended(noise, kept, calm)))
    assert note_edges(Brightness(ended(noise[:6], 0.99, calm))) == ()  # a line of letters
