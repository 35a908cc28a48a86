"""Change between two radiographs of one patient: its probability, whether it is called, and the words for it.

What is known of an image is a mean and a variance of its total (or of one region's grade). The errors of two images of
one patient share a part (anatomy, exposure, the reader's habit), which cancels in their difference:

    noise = (1 - shared_error) * (variance before + variance after)

The true total drifts, by `drift_per_day` points² a day, and in `step_share` of the intervals it steps besides, by a
change of variance `step_variance`. From the observed difference follows, by Bayes' rule over "drift" and "drift and
step", the distribution of the true change; `margin` points or more make it worse or better. The parameters are the
model's own measured repeatability (`lungsev-train change`) and come with its bundle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lungsev.scores.severity import Severity as Severity
from lungsev.scores.severity import comparable, compared_zones, moved_points, region_share
from lungsev.standing import Change, Direction

if TYPE_CHECKING:
    from lungsev.report import ModelInfo
    from lungsev.scores.score import RegionScore, SchemeScore

Obstacle = Literal["identity", "model", "order", "unmeasured", "zones"]

SURE_FROM_PERCENT = 95  # from here on "worse", below it "probably worse"
NO_CLEAR_CHANGE = "no clear change"
# Half the variance of the difference of two radiologists' totals on one image, as a share of the squared span: SD 2.60
# of 18 points on 139 public images (Signoroni et al. 2021, Cohen subset). For a region's grade: SD 0.71 of 3.
READER_VARIANCE = 0.5 * (2.60 / 18) ** 2
READER_VARIANCE_REGION = 0.5 * (0.71 / 3) ** 2
# Of that, the share that stays the same when one radiologist reads two images of a patient: 0.595 points² of extent are
# left of 1.103 in the differences of each reader's extents between images (RALO, patients of the fit part).
READER_SHARED_ERROR = 0.46
_LEAST_VARIANCE = 1e-12
_OBSTACLES = {
    "identity": "the images name different people: not compared",
    "model": "scored by another model: not comparable",
    "order": "same day, order unknown",
    "unmeasured": "not settled: this model's repeatability was not measured",
    "zones": "not comparable: no zone has a grade on both images",
}


@dataclass(frozen=True)
class Repeatability:
    """A model's repeatability in one scheme, and how patients change; points are those of the total.

    Attributes:
        shared_error: Share of the variance of an image's total that is the same in another image of the patient.
        drift_per_day: Variance of the true total's drift in a day, points².
        step_share: Share of the intervals between two images in which the true total steps besides.
        step_variance: Variance of a step, points².
        region_shared_error: As `shared_error`, of one region's grade.
        region_process: Drift and steps of one region's grade, in grades², as a share of those of the total.
        margin: The smallest true change, in points, that counts as one.
        call_from: A change is called when its probability is at least this.
        evidence: Schemes with the points that one point of their expected total counts; together they tell the change,
            where that was measured to be better than the scheme's own total alone, which none stands for.
        evidence_offset: Points to add to them, so that they are on the scale of the scheme's own total.
    """

    shared_error: float
    drift_per_day: float
    step_share: float
    step_variance: float
    region_shared_error: float
    region_process: float
    margin: float
    call_from: float
    evidence: tuple[tuple[str, float], ...] = ()
    evidence_offset: float = 0.0

    def __post_init__(self) -> None:
        for name in ("shared_error", "region_shared_error", "step_share"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be at least 0 and below 1, found {getattr(self, name)}")
        for name in ("drift_per_day", "step_variance", "region_process", "margin"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more, found {getattr(self, name)}")
        if not 0.5 < self.call_from < 1.0:
            raise ValueError(f"call_from must be between 0.5 and 1, found {self.call_from}")
        numbers = [self.evidence_offset, *(weight for _, weight in self.evidence)]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"weights and offset of the evidence must be finite, found {numbers}")


@dataclass(frozen=True)
class ChangeEstimate:
    """The change from one image to a later one.

    Attributes:
        points: Difference of the shown totals or grades.
        worse, better: Probability that the true value rose or fell by the margin or more; the rest is neither.
        expected: Mean of the true change's distribution, in points: nearer to 0 than what was observed.
        hours: From the first image to the second; None when it is not known.
        called: Whether the larger of the two is large enough to be called a change.
        obstacle: Why nothing can be said, if so.
        zones: How many of the scheme's regions were compared, and how many it has, where they are not all.
    """

    points: int | None
    worse: float = 0.0
    better: float = 0.0
    expected: float = 0.0
    hours: float | None = None
    called: bool = False
    obstacle: Obstacle | None = None
    zones: tuple[int, int] | None = None

    @property
    def direction(self) -> Direction:
        """`worse` or `better` when called, `none` when not, `unknown` when nothing can be said."""
        if self.obstacle is not None:
            return "unknown"
        if not self.called:
            return "none"
        return "worse" if self.worse > self.better else "better"

    @property
    def probability(self) -> float | None:
        """Of what `direction` says; None when it is unknown. For `none`: that neither way reaches the margin."""
        if self.obstacle is not None:
            return None
        chances = {"worse": self.worse, "better": self.better, "none": 1.0 - self.worse - self.better}
        return chances[self.direction]

    @property
    def words(self) -> str:
        """Return `probably worse, 92 %`, `worse, 99 %`, `no clear change`, or why nothing can be said.

        Where not all regions could be compared, it follows how many: `no clear change (5 of 6 zones)`.
        """
        if self.obstacle is not None:
            return _OBSTACLES[self.obstacle]
        said = change_words(self.direction, max(self.worse, self.better)) if self.called else NO_CLEAR_CHANGE
        return said if self.zones is None else f"{said} ({self.zones[0]} of {self.zones[1]} zones)"


def change_words(direction: Direction, probability: float) -> str:
    """Return the words for a called change: `probably worse, 92 %`. Never more than 99 %."""
    percent = min(99, math.floor(100 * probability + 0.5))
    return f"{direction if percent >= SURE_FROM_PERCENT else f'probably {direction}'}, {percent} %"


def change_sentence(change: Change, earlier: str = "the previous image") -> str:
    """Say a change in one sentence, for every output: `Probably worse, 92 %: +4 points in 24 h since ... .`."""
    if change.direction == "unknown" or change.points is None or change.hours is None:
        return f"{capitalised(change.words)}."
    moved = f"{signed_points(change.points)} in {format_hours(change.hours)}"
    if change.direction != "none":
        return f"{capitalised(change.words)}: {moved} since {earlier}."
    words, _, drift = change.words.partition("; ")
    return f"{capitalised(words)} since {earlier}: {moved}." + (f" {capitalised(drift)}." if drift else "")


def capitalised(text: str) -> str:
    """Return a text with a capital first letter; the others stay as they are."""
    return text[:1].upper() + text[1:]


def format_hours(hours: float) -> str:
    """Return a length of time as `20 min`, `6 h` or, from two days on, `3 days`."""
    if hours < 1:
        return f"{round(hours * 60)} min"
    return f"{round(hours)} h" if hours < 48 else f"{round(hours / 24)} days"


def signed_points(points: int) -> str:
    """Return `+4 points`, `-1 point` or `±0 points`."""
    return f"{f'{points:+d}' if points else '±0'} {'point' if abs(points) == 1 else 'points'}"


def model_source(model: ModelInfo) -> str:
    """Return what tells one model's measurements from another's: name, version and bundle."""
    return f"{model.name} {model.version} ({model.bundle_sha256[:8]})"


def model_severity(score: SchemeScore, source: str) -> Severity:
    """Return the total that a model scored, with the variance of its distribution, regions taken as independent.

    Regions without a grade are left out.
    """
    regions = ((region.code, model_region_severity(region, score.grades, source)) for region in score.regions)
    parts = tuple((code, part) for code, part in regions if part is not None)
    mean, variance = sum(part.mean for _, part in parts), sum(part.variance for _, part in parts)
    points = sum(part.points for _, part in parts)
    return Severity(points, mean, variance, source, parts=parts, of=len(score.regions))


def model_region_severity(region: RegionScore, grades: Sequence[int], source: str) -> Severity | None:
    """Return the grade that a model gave a region; None for a region that is not assessable."""
    if region.grade is None or region.probabilities is None:
        return None
    return Severity(region.grade, *_moments(region.probabilities, grades), source)


def reader_severity(total: int, total_max: int, reader: str) -> Severity:
    """Return the total that a reader wrote, with the variance by which readers differ."""
    return Severity(total, float(total), READER_VARIANCE * total_max**2, reader, reader=True)


def reader_region_severity(grade: int, grades: Sequence[int], reader: str) -> Severity:
    """Return the grade that a reader wrote for a region."""
    return Severity(grade, float(grade), READER_VARIANCE_REGION * (grades[-1] - grades[0]) ** 2, reader, reader=True)


def change_between(
    before: Severity,
    after: Severity,
    hours: float | None,
    repeatability: Repeatability | None,
    *,
    region: bool = False,
) -> ChangeEstimate:
    """Return the change of the total from one image to the next.

    Args:
        before: The earlier image.
        after: The later image.
        hours: Between the two; None when it is not known which came first.
        repeatability: Of the model that scored the images; None where it was not measured.
        region: Whether the two are grades of one region.
    """
    before, after = comparable(before, after)
    points = moved_points(before, after)
    if points is None:
        return ChangeEstimate(None, hours=hours, obstacle="zones")
    if hours is None:
        return ChangeEstimate(points, obstacle="order")
    if not (before.reader or after.reader) and before.source != after.source:
        return ChangeEstimate(points, hours=hours, obstacle="model")
    if repeatability is None:
        return ChangeEstimate(points, hours=hours, obstacle="unmeasured")
    noise = difference_noise(before, after, repeatability, region=region)
    ways = movements(repeatability, hours, region=region, share=region_share(after))
    change = judged_change(points, after.mean - before.mean, noise, ways, hours, repeatability)
    return replace(change, zones=compared_zones(after))


def judged_change(
    points: int,
    difference: float,
    noise: float,
    processes: Sequence[tuple[float, float]],
    hours: float,
    repeatability: Repeatability,
) -> ChangeEstimate:
    """Return the change that an observed difference shows; arguments as of `tail_probabilities`."""
    worse, better = tail_probabilities(difference, noise, processes, repeatability.margin)
    # The shown totals must agree with it: no "worse" beside a total that fell or stayed.
    agrees = points > 0 if worse > better else points < 0
    called = agrees and max(worse, better) >= repeatability.call_from
    return ChangeEstimate(points, worse, better, expected_change(difference, noise, processes), hours, called=called)


def movements(
    repeatability: Repeatability, hours: float, *, region: bool = False, share: float = 1.0
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return weight and variance of the true change in some hours: by drift alone, and by drift and a step.

    Args:
        repeatability: Of the model.
        hours: Between the two images.
        region: Whether it is the change of one region's grade.
        share: Of the scheme's regions that are compared; what a total moves by is shared out among them.
    """
    scale = repeatability.region_process if region else share
    drift = repeatability.drift_per_day * max(hours, 0.0) / 24 * scale
    return (1 - repeatability.step_share, drift), (
        repeatability.step_share,
        drift + repeatability.step_variance * scale,
    )


def shared_error(severity: Severity, repeatability: Repeatability, *, region: bool = False) -> float:
    """Return the share of a measurement's variance that another one of its source has in common with it."""
    if severity.reader:
        return READER_SHARED_ERROR
    return repeatability.region_shared_error if region else repeatability.shared_error


def difference_noise(before: Severity, after: Severity, repeatability: Repeatability, *, region: bool = False) -> float:
    """Return the variance of the difference of two measurements of a value that did not change."""
    shared = shared_error(before, repeatability, region=region) if before.source == after.source else 0.0
    return (1 - shared) * (before.variance + after.variance)


def tail_probabilities(
    difference: float, noise: float, processes: Sequence[tuple[float, float]], margin: float
) -> tuple[float, float]:
    """Return the probabilities that the true change is at least `margin`, or at most `-margin`.

    Args:
        difference: Observed.
        noise: Its variance when nothing changes.
        processes: Weight and variance of the true change under each of the hypotheses.
        margin: Of a change that counts.
    """
    worse = better = 0.0
    for weight, (_, variance) in zip(hypothesis_weights(difference, noise, processes), processes, strict=True):
        spread = max(noise + variance, _LEAST_VARIANCE)
        mean = difference * variance / spread
        deviation = math.sqrt(max(variance * noise / spread, _LEAST_VARIANCE))
        worse += weight * _normal_cdf((mean - margin) / deviation)
        better += weight * _normal_cdf((-mean - margin) / deviation)
    return min(1.0, worse), min(1.0, better)


def expected_change(difference: float, noise: float, processes: Sequence[tuple[float, float]]) -> float:
    """Return the mean of the true change after a difference was seen; arguments as of `tail_probabilities`."""
    weights = hypothesis_weights(difference, noise, processes)
    shares = [variance / max(noise + variance, _LEAST_VARIANCE) for _, variance in processes]
    return difference * sum(weight * share for weight, share in zip(weights, shares, strict=True))


def hypothesis_weights(difference: float, noise: float, processes: Sequence[tuple[float, float]]) -> list[float]:
    """Return the probability of each hypothesis after the difference was seen; arguments as of `tail_probabilities`."""
    logs = []
    for weight, variance in processes:
        spread = max(noise + variance, _LEAST_VARIANCE)
        logs.append((math.log(weight) if weight > 0 else -math.inf) - 0.5 * (math.log(spread) + difference**2 / spread))
    peak = max(logs)
    weights = [math.exp(value - peak) for value in logs]
    return [weight / sum(weights) for weight in weights]


def _moments(probabilities: Sequence[float], grades: Sequence[int]) -> tuple[float, float]:
    share = sum(probabilities)
    mean = sum(p * grade for p, grade in zip(probabilities, grades, strict=True)) / share
    square = sum(p * grade**2 for p, grade in zip(probabilities, grades, strict=True)) / share
    return mean, max(0.0, square - mean**2)


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
