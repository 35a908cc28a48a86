"""The image decides where its header is not to be relied on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungsev.phantom import make_phantom
from lungsev.reading.polarity import INVERTED_LIKENESS, chest_likeness, correct_polarity
from lungsev.reading.read import read_radiograph
from lungsev.reading.values.brightness import Brightness


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("grade", [0, 3])
def test_a_chest_looks_like_one_and_its_negative_does_not(seed: int, grade: int) -> None:
    pixels = make_phantom(seed, grades=[grade] * 6, size_px=(128, 112)).pixels
    box = (0, 0, *pixels.shape)
    assert chest_likeness(pixels, box) > 0.1
    assert chest_likeness(1 - pixels, box) == pytest.approx(-chest_likeness(pixels, box), abs=1e-4)


def test_an_image_without_contrast_looks_like_nothing() -> None:
    assert chest_likeness(np.full((100, 100), 0.7, np.float32), (0, 0, 100, 100)) == 0.0


@pytest.mark.parametrize(
    ("negative", "tags_invert", "tags_conflict", "note"),
    [
        (False, False, False, None),
        (False, True, False, None),
        (False, True, True, None),
        (True, True, False, "polarity_corrected"),
        (True, False, True, "polarity_corrected"),
        (True, True, True, "polarity_corrected"),
        (True, False, False, "polarity_doubtful"),
    ],
)
def test_only_contradictory_or_wrong_headers_are_overruled(
    negative: bool, tags_invert: bool, tags_conflict: bool, note: str | None
) -> None:
    bright = make_phantom(
        3,
        size_px=(128, 112),
    ).pixels
    pixels = 1 - bright if negative else bright
    shown, notes = correct_polarity(
        Brightness(pixels), (0, 0, *pixels.shape), tags_invert=tags_invert, tags_conflict=tags_conflict
    )
    assert notes == ((note,) if note else ())
    np.testing.assert_allclose(shown.pixels, pixels if note == "polarity_doubtful" else bright, atol=1e-6)


@pytest.mark.shared
def test_no_real_chest_radiograph_counts_as_inverted(shared_dir: Path) -> None:
    radiographs = sorted((shared_dir / "cxr" / "lung-masks" / "images").iterdir())[::8]
    likeness = []
    for path in radiographs:
        radiograph = read_radiograph(path)
        assert "polarity_doubtful" not in radiograph.notes
        likeness.append(chest_likeness(radiograph.pixels, radiograph.content_box_px))
    assert min(likeness) > INVERTED_LIKENESS + 0.1
    assert np.median(likeness) > 0.4


@pytest.mark.shared
def test_a_radiograph_with_the_wrong_polarity_tag_is_read_as_its_twin(shared_dir: Path) -> None:
    right, wrong = (read_radiograph(path) for path in sorted((shared_dir / "dicom").glob("rsna_*")))
    assert "polarity_corrected" in wrong.notes
    assert "polarity_corrected" not in right.notes
    np.testing.assert_allclose(wrong.pixels, right.pixels, atol=1e-6)
