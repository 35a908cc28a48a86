"""The phantom is the same on every machine, and its lungs and grades are true."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.phantom import PhantomOptions, PhantomRadiograph, make_phantom

PLAIN = PhantomOptions(plain=True)
HEALTHY = (0, 0, 0, 0, 0, 0)


def test_radiograph_is_a_radiograph_with_both_lungs_on_their_sides() -> None:
    radiograph = make_phantom(3, size_px=256)
    assert radiograph.pixels.dtype == np.float32
    assert max(radiograph.pixels.shape) == 256
    assert 0.0 <= radiograph.pixels.min() < 0.15 < 0.8 < radiograph.pixels.max() <= 1.0
    assert set(np.unique(radiograph.lung_mask)) == {0, 1, 2}
    right_x = np.nonzero(radiograph.lung_mask == 1)[1].mean()
    left_x = np.nonzero(radiograph.lung_mask == 2)[1].mean()
    assert right_x < left_x, "the patient's right lung is on the image's left"


def test_same_seed_gives_the_same_radiograph() -> None:
    first, second = make_phantom(11, size_px=192), make_phantom(11, size_px=192)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.grades == second.grades
    assert not np.allclose(first.pixels[:100, :100], make_phantom(12, size_px=(192, 192)).pixels[:100, :100])


def test_radiograph_is_the_same_on_every_machine() -> None:
    """Values written down once; machines may differ in the last bits only."""
    radiograph = make_phantom(5, grades=(0, 1, 2, 3, 2, 1), size_px=(128, 128), options=PLAIN)
    found = radiograph.pixels.reshape(4, 32, 4, 32).mean(axis=(1, 3))
    np.testing.assert_allclose(found, GOLDEN, atol=2e-3)


def test_size_changes_the_pixels_and_not_the_patient() -> None:
    small, large = make_phantom(21, size_px=(128, 128)), make_phantom(21, size_px=(512, 512))
    shrunk = large.pixels.reshape(128, 4, 128, 4).mean(axis=(1, 3))
    assert np.corrcoef(shrunk.ravel(), small.pixels.ravel())[0, 1] > 0.97
    assert np.mean((large.lung_mask[2::4, 2::4] > 0) != (small.lung_mask > 0)) < 0.01


@pytest.mark.parametrize("zone", range(6))
def test_each_zone_is_where_the_brixia_score_has_it(zone: int) -> None:
    grades = [0] * 6
    grades[zone] = 3
    healthy = make_phantom(31, grades=HEALTHY, size_px=(240, 240), options=PLAIN)
    ill = make_phantom(31, grades=grades, size_px=(240, 240), options=PLAIN)
    brighter = np.clip(ill.pixels - healthy.pixels, 0, None)
    assert _zone_means(brighter, healthy).argmax() == zone


def test_each_grade_is_denser_than_the_one_before() -> None:
    radiographs = [make_phantom(8, grades=(g,) * 6, size_px=(256, 256), options=PLAIN) for g in range(4)]
    density = [float(radiograph.pixels[radiograph.lung_mask > 0].mean()) for radiograph in radiographs]
    assert np.all(np.diff(density) > 0.015), density


def test_consolidation_hides_the_diaphragm_that_healthy_lungs_show() -> None:
    edges = []
    for grades in (HEALTHY, (3,) * 6):
        radiograph = make_phantom(14, grades=grades, size_px=(256, 256), options=PLAIN)
        rows = np.nonzero((radiograph.lung_mask == 1)[:, 70])[0]
        above, below = (
            radiograph.pixels[rows[-1] - 14 : rows[-1] - 4, 66:74],
            radiograph.pixels[rows[-1] + 4 : rows[-1] + 14, 66:74],
        )
        edges.append(float(below.mean() - above.mean()))
    assert edges[0] > 0.2
    assert edges[1] < edges[0] / 2


def test_seed_draws_grades_as_hospitals_see_them() -> None:
    grades = np.array([make_phantom(seed, size_px=(64, 64)).grades for seed in range(40)])
    assert set(np.unique(grades)) == {0, 1, 2, 3}
    assert grades[:, [2, 5]].mean() > grades[:, [0, 3]].mean(), "bases are worse than apices"
    assert (grades.sum(axis=1) == 0).any()


def test_exposure_seed_takes_another_radiograph_of_the_same_patient() -> None:
    day_1 = make_phantom(9, grades=HEALTHY, size_px=128, options=PhantomOptions(exposure_seed=1))
    day_2 = make_phantom(9, grades=HEALTHY, size_px=128, options=PhantomOptions(exposure_seed=2))
    assert day_1.seed == day_2.seed
    assert day_1.pixels.shape != day_2.pixels.shape or not np.allclose(day_1.pixels, day_2.pixels, atol=0.05)


def test_lungs_stay_inside_the_open_field() -> None:
    for seed in range(6):
        radiograph = make_phantom(seed, size_px=128)
        y0, x0, y1, x1 = radiograph.content_box_px
        outside = radiograph.lung_mask.copy()
        outside[y0:y1, x0:x1] = 0
        assert not outside.any()


@pytest.mark.parametrize("grades", [(0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 4), (-1, 0, 0, 0, 0, 0)])
def test_grades_outside_the_scheme_are_refused(grades: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected six values 0-3"):
        make_phantom(1, grades=grades)


def test_radiograph_too_small_to_hold_a_chest_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        make_phantom(1, size_px=(40, 200))


def _zone_means(image: np.ndarray, radiograph: PhantomRadiograph) -> np.ndarray:
    """Mean over each lung's upper, middle and lower third."""
    means = []
    for side in (1, 2):
        rows = np.nonzero((radiograph.lung_mask == side).any(axis=1))[0]
        for block in np.array_split(rows, 3):
            inside = radiograph.lung_mask[block] == side
            means.append(image[block][inside].mean())
    return np.array(means)


GOLDEN = np.array(
    [
        [0.4812, 0.5297, 0.6775, 0.4538],
        [0.4648, 0.5328, 0.7138, 0.4766],
        [0.4913, 0.7215, 0.8041, 0.4144],
        [0.6124, 0.8688, 0.8642, 0.5436],
    ]
)
