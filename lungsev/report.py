"""The report: what lungsev says of one image. No I/O here; output formats live in `lungsev.runtime.outputs`.

The JSON form (schema version 1) is the reference, published as `report_schema_v1.json`.
"""

from __future__ import annotations

import json
import types
import typing
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal

SCHEMA_VERSION = 1
DISCLAIMER = "Research use only. Not for clinical use."

Status = Literal["scored", "skipped", "failed"]
Verdict = Literal["ok", "warn", "refused"]
Severity = Literal["info", "warn", "refuse"]
Point = tuple[float, float]


@dataclass(frozen=True)
class ImageInfo:
    """The image. `acquired_at` is ISO 8601 without zone; `sha256` is of the file's bytes, `pixel_sha256`
    of the decoded values (the same whatever lossless encoding and photometric interpretation carried them)."""

    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_class_uid: str | None = None
    patient_id: str | None = None
    acquired_at: str | None = None
    modality: str | None = None
    view: str | None = None
    rows: int | None = None
    columns: int | None = None
    sha256: str | None = None
    pixel_sha256: str | None = None
    transfer_syntax: str | None = None
    decoder: str | None = None


@dataclass(frozen=True)
class ModelInfo:
    name: str
    version: str
    bundle_sha256: str
    backend: str
    device: str
    precision: str


@dataclass(frozen=True)
class RegionScore:
    """One region. `expected` is the mean of the grade's distribution; `likely` holds every grade that the
    calibrated distribution does not rule out ("2 (could be 1-2)"); `polygon` is in original image pixels."""

    code: str
    name: str
    grade: int
    expected: float
    probabilities: tuple[float, ...]
    likely: tuple[int, int]
    polygon: tuple[Point, ...]


@dataclass(frozen=True)
class SchemeScore:
    """One scheme. `total_interval` covers the reader's total with probability `total_interval_coverage`."""

    regions: tuple[RegionScore, ...]
    total: int
    total_expected: float
    total_interval: tuple[int, int]
    total_interval_coverage: float
    total_max: int

    @property
    def grades(self) -> tuple[int, ...]:
        """All grades of the scheme, ascending: as many as probabilities, up to a region's share of the total."""
        highest = self.total_max // len(self.regions)
        return tuple(range(highest - len(self.regions[0].probabilities) + 1, highest + 1))


@dataclass(frozen=True)
class QualityFlag:
    """One doubt about the image, in words a nurse understands."""

    code: str
    severity: Severity
    message: str


@dataclass(frozen=True)
class Quality:
    verdict: Verdict = "ok"
    flags: tuple[QualityFlag, ...] = ()
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """Milliseconds of each stage."""

    decode: float = 0.0
    prepare: float = 0.0
    infer: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class SeverityReport:
    """One image's result. An image that is not `scored` has no `scores` and no `alignment`."""

    status: Status
    image: ImageInfo
    model: ModelInfo | None = None
    reason: str | None = None
    error: str | None = None
    message: str | None = None
    scores: dict[str, SchemeScore] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)
    alignment: tuple[tuple[float, ...], ...] | None = None
    timing_ms: Timing = field(default_factory=Timing)
    schema_version: int = SCHEMA_VERSION
    disclaimer: str = DISCLAIMER

    def __post_init__(self) -> None:
        if self.status == "scored" and not self.scores:
            raise ValueError("a scored report needs scores")
        if self.status != "scored" and (self.scores or self.alignment is not None):
            raise ValueError(f"a {self.status} report must not hold anything that looks like a score")
        if (self.status == "skipped") != (self.reason is not None):
            raise ValueError("a skipped report, and no other, has a reason")
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("a failed report, and no other, has an error")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; empty optional parts (`reason`, `error`, `message`, `model`) are left out."""
        data: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {key: value for key, value in data.items() if value is not None}

    def to_json(self, indent: int | None = 2) -> str:
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SeverityReport:
        """The way back from `to_dict`.

        Raises:
            ValueError: The schema version is unknown, a required part is missing or is of another form.
        """
        if not isinstance(data, dict):
            raise ValueError(f"not a valid report: found a {type(data).__name__}, expected an object")
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(f"found report schema version {version!r}, expected {SCHEMA_VERSION}")
        return typing.cast(SeverityReport, _build(cls, data))

    @classmethod
    def from_json(cls, text: str) -> SeverityReport:
        return cls.from_dict(json.loads(text))


def _build(kind: Any, value: Any) -> Any:
    """Rebuild dataclasses, tuples and dicts from plain JSON by their annotations."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if value is None:
        return None
    if origin in (typing.Union, types.UnionType):
        return _build(next(argument for argument in arguments if argument is not type(None)), value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        try:
            return kind(**{key: _build(hints[key], item) for key, item in value.items() if key in known})
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a valid report: {error}") from None
    if origin in (tuple, dict) and not isinstance(value, list if origin is tuple else dict):
        raise ValueError(f"not a valid report: found a {type(value).__name__}, expected a {origin.__name__}")
    if origin is tuple:
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_build(item_kind, item) for item_kind, item in zip(inner, value, strict=True))
    if origin is dict:
        return {key: _build(arguments[1], item) for key, item in value.items()}
    return float(value) if kind is float else value
