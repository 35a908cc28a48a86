"""One picture is one patient, whatever names a collection gave it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lungsev.train.data.cache import prepare
from lungsev.train.data.datasets import GradedImage, load_graded
from lungsev.train.data.duplicates import contradictions, find_twins, joined_patients

DatasetMaker = Callable[[str], Path]


def test_a_copy_in_another_size_and_quality_is_found_and_nothing_else(with_a_copy: Path, cache_dir: Path) -> None:
    images = load_graded(with_a_copy).images
    prepared = prepare(images, cache_dir).images
    assert find_twins([prepared[image.name] for image in images]) == [(0, len(images) - 1)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_chains_of_twins_end_at_one_patient(twins: list[tuple[int, int]]) -> None:
    names = [f"p{number}" for number in range(10)]
    joined = joined_patients(names, twins)
    assert all(joined[one] == joined[other] for one, other in twins)
    untouched = set(range(10)) - {row for twin in twins for row in twin}
    assert all(joined[row] == names[row] for row in untouched)
    assert all(names.index(patient) <= row for row, patient in enumerate(joined))


def test_one_picture_with_different_grades_is_told_from_one_that_comes_twice() -> None:
    nan = float("nan")
    readings = [(1.0, nan), (1.0, nan), (1.0, 2.0), (3.0, 2.0)]
    images = [GradedImage(f"i{n}", Path(f"i{n}"), "P1", {"A": grades}) for n, grades in enumerate(readings)]
    images.append(GradedImage("other reader", Path("x"), "P1", {"B": (0.0, 0.0)}))
    assert contradictions(images, [(0, 1), (1, 4)]) == {}
    assert contradictions(images, [(0, 1), (2, 3)]) == {2: "i2", 3: "i3"}
