"""Images of something else: each kind is there, varies, and is not a chest."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.phantom import NON_CHEST_KINDS, make_non_chest


@pytest.mark.parametrize("kind", NON_CHEST_KINDS)
def test_every_kind_is_a_radiograph_that_its_seed_decides(kind: str) -> None:
    radiograph = make_non_chest(kind, 1, size_px=160)
    assert radiograph.dtype == np.float32
    assert radiograph.ndim == 2
    assert max(radiograph.shape) == 160
    assert 0.0 <= radiograph.min() <= radiograph.max() <= 1.0
    np.testing.assert_array_equal(radiograph, make_non_chest(kind, 1, size_px=160))
    others = [make_non_chest(kind, seed, size_px=160) for seed in range(2, 8)]
    assert any(other.shape != radiograph.shape or not np.array_equal(other, radiograph) for other in others)


def test_constant_is_constant_and_body_parts_are_not() -> None:
    assert np.ptp(make_non_chest("constant", 3, size_px=96)) == 0.0
    for kind in ("hand", "hip", "knee", "abdomen", "lateral"):
        for seed in range(1000, 1006):
            middle = make_non_chest(kind, seed, size_px=128)[32:-32, 24:-24]
            assert np.percentile(middle, 95) - np.percentile(middle, 5) > 0.2, "something is to be seen"


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="expected one of hand, hip"):
        make_non_chest("foot", 1)
