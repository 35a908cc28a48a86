"""What is known of the total of an image, or of one region's grade; and which parts of two totals can be compared."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Severity:
    """What is known of the total of an image, or of the grade of one region.

    Attributes:
        points: As it is shown: the sum of the chosen grades, or what the reader wrote.
        mean, variance: Of its distribution.
        source: Who measured: the model with its version, or the reader. Errors are shared within one source.
        reader: Whether a reader wrote it.
        parts: Code and severity of each region that a total sums; empty where they are not told apart.
        of: Number of the scheme's regions, with `parts`.
    """

    points: int
    mean: float
    variance: float
    source: str
    reader: bool = False
    parts: tuple[tuple[str, Severity], ...] = ()
    of: int = 0

    @property
    def regions(self) -> tuple[str, ...]:
        """Codes of the regions that it sums."""
        return tuple(code for code, _ in self.parts)

    def only(self, codes: Collection[str]) -> Severity:
        """Return the sum of some of its regions; the variance is shared out as the regions' own are."""
        kept = tuple((code, part) for code, part in self.parts if code in codes)
        whole = sum(part.variance for _, part in self.parts)
        share = sum(part.variance for _, part in kept) / whole if whole > 0 else len(kept) / len(self.parts)
        return replace(
            self,
            points=sum(part.points for _, part in kept),
            mean=sum(part.mean for _, part in kept),
            variance=self.variance * share,
            parts=kept,
        )


def comparable(before: Severity, after: Severity) -> tuple[Severity, Severity]:
    """Return both with those regions only that have a grade in both: sums of other regions are no change."""
    if before.regions == after.regions or not (before.of and after.of):
        return before, after
    common = set(before.regions) & set(after.regions)
    return before.only(common), after.only(common)


def moved_points(before: Severity, after: Severity) -> int | None:
    """Return by how many points two comparable severities differ; None where no region has a grade in both."""
    return None if after.of and not after.parts else after.points - before.points


def compared_zones(severity: Severity) -> tuple[int, int] | None:
    """Return how many regions a severity sums and how many there are; None where it sums all."""
    return (len(severity.parts), severity.of) if len(severity.parts) < severity.of else None


def region_share(severity: Severity) -> float:
    """Return the share of the scheme's regions that a severity sums."""
    return len(severity.parts) / severity.of if severity.of else 1.0
