"""Score schemes: the regions of an image and the grades that each may get.

A scheme is data. The built-in ones are the YAML files of `configs/schemes/`; any other is a YAML file of the same form,
given by path. Boxes are fractions of the aligned frame (the lung field after spatial normalisation), in image
orientation: x grows from the patient's right to the patient's left. A region's `box` is what its features are pooled
over, and may overlap others; its `zone` is what is drawn and measured on the image.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from importlib import resources
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lungsev.config import load_model
from lungsev.errors import ConfigError

MAIN_SCHEME = "brixia"
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Box = tuple[Fraction, Fraction, Fraction, Fraction]


class Region(BaseModel):
    """One region of a scheme; `box` and `zone` are (y0, x0, y1, x1) in fractions of the aligned frame.

    Attributes:
        side: Of the patient.
        box: What the network's features are pooled over.
        zone: What is drawn on the image, measured, and said to be assessable; the box where it is not given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str = Field(pattern=r"^[A-Za-z0-9_-]{1,16}$")
    name: str = Field(min_length=1)
    side: Literal["right", "left", "both"]
    box: Box
    zone: Box = (0.0, 0.0, 1.0, 1.0)

    @model_validator(mode="before")
    @classmethod
    def _zone_is_box(cls, data: Any) -> Any:
        return (
            {**data, "zone": data["box"]} if isinstance(data, dict) and "box" in data and "zone" not in data else data
        )

    @model_validator(mode="after")
    def _boxes_have_area(self) -> Region:
        for name, (y0, x0, y1, x1) in (("box", self.box), ("zone", self.zone)):
            if y1 <= y0 or x1 <= x0:
                raise ValueError(f"{name} of region {self.code} is (y0, x0, y1, x1) and needs y0 < y1 and x0 < x1")
        return self


class Factor(BaseModel):
    """One of the things whose grades are multiplied, e.g. extent and density."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    grades: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=2)
    grade_names: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Factor:
        if list(self.grades) != sorted(set(self.grades)):
            raise ValueError(f"grades of factor {self.name} must ascend without repeats, found {list(self.grades)}")
        if self.grade_names and len(self.grade_names) != len(self.grades):
            raise ValueError(f"factor {self.name} has {len(self.grades)} grades and {len(self.grade_names)} names")
        return self


class Scheme(BaseModel):
    """Regions and grades. `grades` are the printed values, ascending, e.g. (0, 1, 2, 3).

    Attributes:
        factors: Where a region's grade is the product of several, as extent and density of RALE, these; `grades` and
            `grade_names` are then made from them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    title: str
    source: str
    grades: tuple[int, ...] = Field(min_length=2)
    grade_names: tuple[str, ...]
    regions: tuple[Region, ...] = Field(min_length=1)
    factors: tuple[Factor, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _grades_are_products(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data.get("factors"):
            return data
        factors = [Factor.model_validate(factor) for factor in data["factors"]]
        if len({factor.name for factor in factors}) < 2 or len({factor.name for factor in factors}) < len(factors):
            raise ValueError("a product needs two factors or more, of different names")
        named = _named_products(factors)
        made = {"grades": tuple(named), "grade_names": tuple(named.values())}
        return {**made, **data}

    @model_validator(mode="after")
    def _is_consistent(self) -> Scheme:
        codes = [region.code for region in self.regions]
        if len(set(codes)) != len(codes):
            raise ValueError(f"region codes must differ, found {codes}")
        if list(self.grades) != sorted(set(self.grades)):
            raise ValueError(f"grades must ascend without repeats, found {list(self.grades)}")
        if len(self.grade_names) != len(self.grades):
            raise ValueError(f"{len(self.grades)} grades need as many grade_names, found {len(self.grade_names)}")
        if self.factors and self.grades != tuple(_named_products(self.factors)):
            raise ValueError(f"grades {list(self.grades)} are not the products of the factors; leave them out")
        return self

    @property
    def num_regions(self) -> int:
        """Number of regions."""
        return len(self.regions)

    @property
    def num_grades(self) -> int:
        """Number of grades of a region."""
        return len(self.grades)

    @property
    def total_min(self) -> int:
        """Lowest total: every region has the lowest grade."""
        return self.num_regions * self.grades[0]

    @property
    def total_max(self) -> int:
        """Highest total: every region has the highest grade."""
        return self.num_regions * self.grades[-1]

    @property
    def product_indices(self) -> tuple[int, ...]:
        """Index in `grades` of the product of each combination of factors, the last factor changing fastest."""
        place = {grade: index for index, grade in enumerate(self.grades)}
        return tuple(place[prod(each)] for each in product(*(factor.grades for factor in self.factors)))

    @cached_property
    def flip_permutation(self) -> tuple[int, ...]:
        """Index of each region's partner when the image is flipped left to right.

        Raises:
            ValueError: A region has no partner with the flipped box.
        """
        partners = []
        for region in self.regions:
            y0, x0, y1, x1 = region.box
            flipped = (y0, 1 - x1, y1, 1 - x0)
            match = [i for i, other in enumerate(self.regions) if np.allclose(other.box, flipped, atol=1e-6)]
            if len(match) != 1:
                raise ValueError(f"region {region.code} of scheme {self.name} has no partner on the other side")
            partners.append(match[0])
        return tuple(partners)

    def pooling_matrix(self, rows: int, columns: int) -> npt.NDArray[np.float32]:
        """Return average pooling over each region's box as a constant matrix.

        A cell that a box covers in part counts in part, so a box means the same on every grid.

        Returns:
            float32 [R, rows * columns]; every row sums to 1.
        """
        weights = []
        for region in self.regions:
            y0, x0, y1, x1 = region.box
            covered = np.outer(_coverage(y0, y1, rows), _coverage(x0, x1, columns)).ravel()
            weights.append(covered / covered.sum())
        return np.stack(weights).astype(np.float32)


def _named_products(factors: Sequence[Factor]) -> dict[int, str]:
    """Return every product in ascending order, and the combinations it comes from, as `extent 1, density 2`."""
    named: dict[int, list[str]] = {}
    for grades in product(*(factor.grades for factor in factors)):
        words = ", ".join(f"{factor.name} {grade}" for factor, grade in zip(factors, grades, strict=True))
        named.setdefault(prod(grades), []).append(words)
    zeros = [f"{factor.name} 0" for factor in factors if 0 in factor.grades]
    return {grade: " or ".join(zeros if grade == 0 else words) for grade, words in sorted(named.items())}


def _coverage(start: float, stop: float, cells: int) -> npt.NDArray[np.float64]:
    """Return the share of each of `cells` equal cells of [0, 1] that is in [start, stop]."""
    edges = np.linspace(0.0, 1.0, cells + 1)
    return np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0.0, None)


def main_scheme(names: Collection[str]) -> str:
    """Return which of a model's schemes is shown first: Brixia where it is among them, else the model's first."""
    return MAIN_SCHEME if MAIN_SCHEME in names else next(iter(names))


def builtin_schemes() -> tuple[str, ...]:
    """Return the names of the schemes that come with lungsev."""
    folder = resources.files("lungsev.configs") / "schemes"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_scheme(name_or_path: str | Path) -> Scheme:
    """Load a built-in scheme by name, or any scheme by the path of its YAML file.

    Raises:
        ConfigError: No such scheme, or the file is not a valid scheme.
    """
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")):
        return load_model(Scheme, Path(text))
    if text not in builtin_schemes():
        known = ", ".join(builtin_schemes())
        raise ConfigError(f"scheme {text!r} is unknown; built in are {known}; or give the path of a .yaml file")
    with resources.as_file(resources.files("lungsev.configs") / "schemes" / f"{text}.yaml") as path:
        return load_model(Scheme, path)
