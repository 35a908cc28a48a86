"""The score of an image under one scheme: regions with their grades, the total or the sum of some regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from lungsev.change import Repeatability

Side = Literal["right", "left", "both"]
Point = tuple[float, float]

_Text = Annotated[str, Field(json_schema_extra={"minLength": 1})]
_Probability = Annotated[float, Field(json_schema_extra={"minimum": 0, "maximum": 1})]


@dataclass(frozen=True)
class RegionScore:
    """The grade of one region, or why it cannot have one.

    Attributes:
        side: Of the patient.
        grade: None where the region is not assessable, as `not_assessable` then says.
        expected: Mean of the grade's distribution.
        probabilities: Of each grade, ascending.
        likely: Lowest and highest grade that the calibrated distribution does not rule out.
        polygon: x, y in original image pixels.
        lung_share: Share of the region's zone that is lung; None where it was not measured.
        not_assessable: Why it has no grade, in one sentence.
    """

    code: Annotated[str, Field(json_schema_extra={"pattern": "^[A-Za-z0-9_-]{1,16}$"})]
    name: _Text
    side: Annotated[Side, Field(description="Of the patient: the patient's right is on the image's left.")]
    grade: Annotated[int | None, Field(description="Null where the region is not assessable.")]
    expected: float | None
    probabilities: Annotated[tuple[_Probability, ...], Field(json_schema_extra={"minItems": 2})] | None
    likely: Annotated[
        tuple[int, int] | None,
        Field(description="Lowest and highest grade that the distribution does not rule out."),
    ]
    polygon: Annotated[
        tuple[Point, ...], Field(description="x, y in original image pixels.", json_schema_extra={"minItems": 3})
    ]
    lung_share: Annotated[
        _Probability | None, Field(description="Share of the region's zone that is lung, where it was measured.")
    ] = None
    not_assessable: Annotated[_Text | None, Field(description="Why the region has no grade, in one sentence.")] = None

    def __post_init__(self) -> None:
        if (self.grade is None) != (self.not_assessable is not None):
            raise ValueError(f"region {self.code} needs either a grade or the reason why it is not assessable")

    @property
    def is_settled(self) -> bool:
        """Whether the likely range spans at most half of all grades: a wider one settles none, and the model abstains.

        Another matter than a region without a grade, which is not assessable.
        """
        if self.likely is None or self.probabilities is None:
            return False
        return 2 * (self.likely[1] - self.likely[0] + 1) <= len(self.probabilities)

    @property
    def place(self) -> str:
        """Name without its side: `right upper zone` is `upper` where a column or a mark shows the side."""
        place = self.name if self.side == "both" else self.name.removeprefix(f"{self.side} ")
        return place.replace(" zone", "") or self.name


@dataclass(frozen=True)
class PartialTotal:
    """Sum of the grades where not every region has one: on a scale of its own, never comparable with a total.

    Attributes:
        points: Sum of the regions that have a grade.
        points_max: The highest that these can reach.
        regions: Their codes.
        of: Number of the scheme's regions.
        interval: Likely sums of the model, with the coverage of the total's interval; None when a reader signed.
    """

    points: int
    points_max: int
    regions: tuple[str, ...]
    of: int
    interval: tuple[int, int] | None = None

    @property
    def note(self) -> str:
        """Which part it is: `5 of 6 zones`."""
        return f"{len(self.regions)} of {self.of} zones"

    @property
    def words(self) -> str:
        """`9 of 15 (5 of 6 zones)`."""
        return f"{self.points} of {self.points_max} ({self.note})"


@dataclass(frozen=True)
class SchemeScore:
    """The score of one scheme. `total_interval` covers the reader's total with `total_interval_coverage`.

    Attributes:
        total, total_expected, total_interval: None where a region is not assessable: `partial` has the other regions.
        total_max: Of all regions.
        repeatability: Of the model, by which a change between two images is judged; None where it was not measured.
    """

    regions: Annotated[tuple[RegionScore, ...], Field(json_schema_extra={"minItems": 1})]
    total: Annotated[int | None, Field(description="Null where a region is not assessable.")]
    total_expected: float | None
    total_interval: Annotated[
        tuple[int, int] | None,
        Field(description="Covers the reader's total with probability total_interval_coverage."),
    ]
    total_interval_coverage: Annotated[float, Field(json_schema_extra={"exclusiveMinimum": 0, "exclusiveMaximum": 1})]
    total_max: int
    repeatability: Annotated[
        Repeatability | None, Field(description="Of the model: a change between two images is judged by it.")
    ] = None
    partial: Annotated[
        PartialTotal | None, Field(description="Sum of the regions that have a grade, where not all have one.")
    ] = None
    scale: Annotated[
        tuple[int, ...] | None, Field(description="All grades, ascending, where they are not consecutive numbers.")
    ] = None

    def __post_init__(self) -> None:
        if (self.total is None) != (self.partial is not None):
            raise ValueError("a score needs either a total or the sum of the regions that have a grade")

    @property
    def grades(self) -> tuple[int, ...]:
        """All grades, ascending: `scale`, or as many as probabilities, up to a region's share of the total."""
        if self.scale is not None:
            return self.scale
        highest = self.total_max // len(self.regions)
        number = next((len(region.probabilities) for region in self.regions if region.probabilities), highest + 1)
        return tuple(range(highest - number + 1, highest + 1))


class ShownScore:
    """What people read of a score: the total, or else the sum of the regions that have a grade."""

    total: int | None
    total_max: int
    interval: tuple[int, int] | None
    partial: PartialTotal | None

    @property
    def points(self) -> int:
        """The number."""
        return self.total if self.total is not None else self.partial.points if self.partial else 0

    @property
    def points_max(self) -> int:
        """What `points` is out of."""
        return self.partial.points_max if self.partial else self.total_max

    @property
    def likely(self) -> tuple[int, int] | None:
        """Likely range of `points`; None when a reader signed the grades."""
        return self.partial.interval if self.partial else self.interval

    @property
    def note(self) -> str:
        """`5 of 6 zones` where it is no total; else empty."""
        return self.partial.note if self.partial else ""

    @property
    def words(self) -> str:
        """`9 of 18`, or `9 of 15 (5 of 6 zones)`."""
        return self.partial.words if self.partial else f"{self.total} of {self.total_max}"


@dataclass(frozen=True)
class StandingScore(ShownScore):
    """The score that stands under one scheme: what is shown and sent.

    Attributes:
        grades: By region code, in the scheme's order; None for a region that is not assessable.
        total: None where a region has no grade; `partial` then has the sum of the others.
        total_max: Of all regions.
        interval: Likely totals; None when a reader signed the grades, and without a total.
        model_total: What the model said; None where it gave no total.
    """

    grades: dict[str, int | None]
    total: int | None
    total_max: int
    interval: tuple[int, int] | None
    model_total: int | None
    partial: PartialTotal | None = None


def format_likely(region: RegionScore) -> str:
    """Say the likely grades in words: `likely 2`, `could be 1-2`, `unsure: 0-2`, with an en dash; or `not assessable`.

    Unsure is a grade that the model does not settle.
    """
    if region.likely is None:
        return "not assessable"
    low, high = region.likely
    if not region.is_settled:
        return f"unsure: {low}–{high}"
    return f"likely {region.grade}" if low == high == region.grade else f"could be {low}–{high}"
