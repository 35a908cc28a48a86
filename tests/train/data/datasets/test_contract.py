"""What every dataset offers to training."""

from __future__ import annotations

from pathlib import Path

from lungsev.schemes import load_scheme
from lungsev.train.data.datasets import GradedDataset, GradedImage


def image(name: str, **readings: tuple[float, ...]) -> GradedImage:
    return GradedImage(name, Path(name), name, readings)


def test_the_first_reader_is_the_reference() -> None:
    graded = image("a", senior=(1.0, 2.5), junior=(0.0, 0.0))
    assert graded.reference == (1.0, 2.5)
    assert graded.total == 3.5


def test_readers_are_listed_once_in_order_of_appearance() -> None:
    images = (image("a", junior=(0.0,)), image("b", senior=(1.0,), junior=(1.0,)), image("c", other=(1.0,)))
    dataset = GradedDataset("x", Path("x"), load_scheme("extent"), images)
    assert dataset.readers == ("junior", "senior", "other")
