"""Severity report: the result for one image. No I/O here; output formats are in `lungsev.runtime.outputs`.

The JSON form (schema version 2) is the reference. Its JSON Schema, `report_schema_v2.json`, is made by
`lungsev.report_schema` from the classes below: from their types, docstrings and `Field` remarks. The remarks describe
what lungsev writes; a report from elsewhere is not refused for them.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.schemes import main_scheme
from lungsev.scores.score import PartialTotal, StandingScore
from lungsev.scores.score import RegionScore as RegionScore
from lungsev.scores.score import SchemeScore as SchemeScore
from lungsev.scores.score import format_likely as format_likely
from lungsev.standing import Change, OutputState, Standing

SCHEMA_VERSION = 2
DISCLAIMER = "Research use only. Not for clinical use."

Status = Literal["scored", "skipped", "failed"]
Verdict = Literal["ok", "warn", "refused"]
Severity = Literal["info", "warn", "refuse"]

_Sha256 = Annotated[str, Field(json_schema_extra={"pattern": "^[0-9a-f]{64}$"})]
_Code = Annotated[str, Field(json_schema_extra={"pattern": "^[a-z0-9_]+$"})]
_Text = Annotated[str, Field(json_schema_extra={"minLength": 1})]
_Pixels = Annotated[int, Field(json_schema_extra={"minimum": 1})]
_Milliseconds = Annotated[float, Field(json_schema_extra={"minimum": 0})]
_AffineRow = Annotated[tuple[float, ...], Field(json_schema_extra={"minItems": 3, "maxItems": 3})]


@dataclass(frozen=True)
class ImageInfo:
    """The image as its file describes it.

    Attributes:
        patient_id, acquired_at: As in the report's `patient` and `acquired`, which say more.
        patient, acquired: Become parts of the report; not written with the image.
        sha256: Of the file's bytes.
        pixel_sha256: Of the decoded values; the same for every lossless encoding and photometric interpretation, but
            for an image that its decoder read at half size.
    """

    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_class_uid: str | None = None
    accession_number: str | None = None
    patient_id: str | None = None
    acquired_at: Annotated[
        str | None, Field(description="ISO 8601 at the precision of the header, without time zone.")
    ] = None
    modality: str | None = None
    view: str | None = None
    rows: _Pixels | None = None
    columns: _Pixels | None = None
    sha256: Annotated[_Sha256 | None, Field(description="Of the file's bytes.")] = None
    pixel_sha256: Annotated[
        _Sha256 | None, Field(description="Of the decoded values, in the order of MONOCHROME2.")
    ] = None
    transfer_syntax: str | None = None
    decoder: str | None = None
    patient: Annotated[PatientInfo, Field(exclude=True)] = field(default_factory=PatientInfo, compare=False)
    acquired: Annotated[Moment | None, Field(exclude=True)] = field(default=None, compare=False)


@dataclass(frozen=True)
class ModelInfo:
    """The model, and where it ran. `bundle_sha256` is the hash of the bundle's SHA256SUMS; `reason` says why there."""

    name: str
    version: str
    bundle_sha256: _Sha256
    backend: str
    device: str
    precision: Annotated[str, Field(json_schema_extra={"enum": ["fp32", "bf16", "fp16"]})]
    reason: str = ""


@dataclass(frozen=True)
class QualityFlag:
    """One remark on the image's quality, in a sentence that a nurse understands."""

    code: _Code
    severity: Severity
    message: _Text


@dataclass(frozen=True)
class Quality:
    """The quality gate's verdict, its remarks, and the numbers it measured."""

    verdict: Verdict = "ok"
    flags: tuple[QualityFlag, ...] = ()
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """Milliseconds of each stage."""

    decode: _Milliseconds = 0.0
    prepare: _Milliseconds = 0.0
    infer: _Milliseconds = 0.0
    total: _Milliseconds = 0.0


@dataclass(frozen=True)
class SeverityReport:
    """The result for one image. An image that is not `scored` has nothing that looks like a score."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="constants")

    status: Status
    image: ImageInfo
    model: ModelInfo | None = None
    reason: Annotated[_Code | None, Field(description="Why an image was skipped.")] = None
    error: Annotated[_Code | None, Field(description="What went wrong with an image that failed.")] = None
    message: Annotated[_Text | None, Field(description="One sentence for people.")] = None
    scores: Annotated[
        dict[str, SchemeScore],
        Field(
            description="By name of the scheme.",
            json_schema_extra={"propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,31}$"}},
        ),
    ] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)
    alignment: Annotated[
        tuple[_AffineRow, ...] | tuple[tuple[_AffineRow, ...], ...] | None,
        Field(
            description="Affine map [2][3] from the normalised aligned frame to the normalised canvas; or two of them, "
            "of the patient's right and left lung, each for its half of the aligned frame."
        ),
    ] = None
    timing_ms: Timing = field(default_factory=Timing)
    patient: PatientInfo = field(default_factory=PatientInfo)
    merged_into: Annotated[
        PatientInfo | None,
        Field(description="The identity that a person, or the hospital's system, merged this one into."),
    ] = None
    acquired: Annotated[Moment | None, Field(description="When the image was taken.")] = None
    standing: Standing = field(default_factory=Standing)
    change: Annotated[Change | None, Field(description="Since an earlier image of the course.")] = None
    stop: Annotated[_Text | None, Field(description="Red stop: the images of this identity name different people.")] = (
        None
    )
    outputs: tuple[OutputState, ...] = ()
    schema_version: Annotated[int, Field(json_schema_extra={"const": SCHEMA_VERSION})] = SCHEMA_VERSION
    disclaimer: Annotated[str, Field(json_schema_extra={"const": DISCLAIMER})] = DISCLAIMER

    def __post_init__(self) -> None:
        if self.status == "scored" and not self.scores:
            raise ValueError("a scored report needs scores")
        if self.status != "scored" and (self.scores or self.alignment is not None):
            raise ValueError(f"a {self.status} report must not hold anything that looks like a score")
        if (self.status == "skipped") != (self.reason is not None):
            raise ValueError("a skipped report, and no other, has a reason")
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("a failed report, and no other, has an error")

    @property
    def main_scheme(self) -> str:
        """Name of the scheme that is shown first: Brixia where the model scores it, else the model's first.

        Raises:
            ValueError: The image has no score.
        """
        if not self.scores:
            raise ValueError(f"a {self.status} report has no scheme")
        return main_scheme(self.scores)

    def standing_score(self, scheme: str) -> StandingScore:
        """Return the score that stands under a scheme.

        Raises:
            KeyError: The image has no score of it.
        """
        score = self.scores[scheme]
        signed = self.standing.grades.get(scheme)
        grades = {region.code: region.grade if signed is None else signed.get(region.code) for region in score.regions}
        known = {code: grade for code, grade in grades.items() if grade is not None}
        partial = score.partial if signed is None else None
        if signed is not None and len(known) < len(grades):
            highest = score.grades[-1]
            partial = PartialTotal(sum(known.values()), highest * len(known), tuple(known), len(grades))
        return StandingScore(
            grades=grades,
            total=sum(known.values()) if partial is None else None,
            total_max=score.total_max,
            interval=score.total_interval if signed is None else None,
            model_total=score.total,
            partial=partial,
        )

    def remarks(self) -> tuple[str, ...]:
        """Return what a person must read beside the score: the red stop first, then the quality flags."""
        return (*([self.stop] if self.stop else []), *(flag.message for flag in self.quality.flags))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; empty optional parts (`reason`, `error`, `message`, `model`) are left out."""
        data: dict[str, Any] = report_adapter().dump_python(self, mode="json", exclude=self._empty_parts())
        return data

    def to_json(self, indent: int | None = 2) -> str:
        """Return the reference form.

        Raises:
            ValueError: A number is NaN or infinite.
        """
        text = report_adapter().dump_json(self, indent=indent, exclude=self._empty_parts()).decode("utf-8")
        if "NaN" in text or "Infinity" in text:  # a number, which JSON does not have, or part of a text
            json.dumps(self.to_dict(), allow_nan=False)
        return text

    def _empty_parts(self) -> dict[str, Any]:
        """Return what pydantic is to leave out: optional parts without a value, here and in scores and regions."""
        empty: dict[str, Any] = {name: True for name in OPTIONAL_PARTS if getattr(self, name) is None}
        scores = {name: _empty_score_parts(score) for name, score in self.scores.items()}
        return {**empty, "scores": scores} if any(scores.values()) else empty

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SeverityReport:
        """Build a report from what `to_dict` returned. Unknown keys are ignored.

        Raises:
            ValueError: The schema version is unknown, a required part is missing or has another type.
        """
        if not isinstance(data, dict):
            raise ValueError(f"not a valid report: found a {type(data).__name__}, expected an object")
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(f"found report schema version {version!r}, expected {SCHEMA_VERSION}")
        try:
            return report_adapter().validate_python(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise ValueError(f"not a valid report: {key}: {first['msg']}") from None

    @classmethod
    def from_json(cls, text: str | bytes) -> SeverityReport:
        """Build a report from its reference form, also from one of schema version 1.

        Raises:
            ValueError: The text is not JSON; or as `from_dict`.
        """
        data = from_json(text)
        _upgrade(data)
        return cls.from_dict(data)


OPTIONAL_PARTS = ("model", "reason", "error", "message", "alignment", "merged_into", "acquired", "change", "stop")
OPTIONAL_SCORE_PARTS = ("partial", "scale")
OPTIONAL_REGION_PARTS = ("lung_share", "not_assessable")


@cache
def report_adapter() -> TypeAdapter[SeverityReport]:
    """Return pydantic's converter to and from JSON, made when it is first used, which takes some milliseconds."""
    return TypeAdapter(SeverityReport)


def _empty_score_parts(score: SchemeScore) -> dict[str, Any]:
    empty: dict[str, Any] = {name: True for name in OPTIONAL_SCORE_PARTS if getattr(score, name) is None}
    regions = {
        index: {name for name in OPTIONAL_REGION_PARTS if getattr(region, name) is None}
        for index, region in enumerate(score.regions)
    }
    return {**empty, "regions": regions}


def _upgrade(data: Any) -> None:
    """Bring a report of schema version 1, perhaps from before regions had a side, to the present form."""
    with contextlib.suppress(TypeError, KeyError, AttributeError):  # not a report at all: the validation says so
        for score in data["scores"].values():
            for region in score["regions"]:
                if "side" not in region:
                    first = region["name"].partition(" ")[0]
                    region["side"] = first if first in ("right", "left") else "both"
        if data["schema_version"] == 1:
            data["schema_version"] = SCHEMA_VERSION
            image = data["image"]
            data["patient"] = {"id": image.get("patient_id")}
            if moment := Moment.from_iso(image.get("acquired_at") or ""):
                data["acquired"] = asdict(moment)
