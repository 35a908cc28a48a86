"""Manifest of a bundle: what a model is, its input and outputs, and where it comes from."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lungsev.bundle.bfloat16 import Bfloat16
from lungsev.grading import Calibration
from lungsev.quality.limits import QualityLimits
from lungsev.schemes import Scheme, main_scheme

FORMAT_VERSION = 1

Precision = Literal["fp32", "fp16"]


class InputSpec(BaseModel):
    """The graph's one input: float32 [1, channels, size_px, size_px], 0-1, bone bright."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["image"] = "image"
    channels: Literal[1] = 1
    size_px: int = Field(default=512, ge=32, le=4096)


class OutputSpec(BaseModel):
    """One output of the graph; `shape` begins with the batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    shape: tuple[int, ...]
    meaning: str = ""


class PrecisionIsland(BaseModel):
    """A part of the half-precision graph that stays FP32, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: str
    reason: str


class GraphSpec(BaseModel):
    """One ONNX file of the bundle.

    Attributes:
        gflop: 1e9 floating-point operations of one image (a multiply-add counts as two).
        half_share: Share of the arithmetic that runs in half precision.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    opset: int
    gflop: float | None = None
    half_share: float | None = Field(default=None, ge=0.0, le=1.0)
    fp32_islands: tuple[PrecisionIsland, ...] = ()


class Provenance(BaseModel):
    """Where the weights come from. Holds no path of the machine that trained them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    created_at: str
    run: str | None = None
    commit: str | None = None
    data: tuple[str, ...] = ()
    split_sha256: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class Manifest(BaseModel):
    """manifest.yaml, format version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")
    input: InputSpec = InputSpec()
    preprocessing_version: str
    schemes: tuple[Scheme, ...] = Field(min_length=1)
    outputs: tuple[OutputSpec, ...]
    mask_size_px: int = Field(ge=8)
    graphs: dict[Precision, GraphSpec]
    quality: QualityLimits = QualityLimits()
    calibration: dict[str, Calibration] = Field(default_factory=dict)
    bfloat16: Bfloat16 | None = None  # None: not measured, so it is not graded in bfloat16
    provenance: Provenance
    metrics: dict[str, Any] = Field(default_factory=dict)
    licence: str = Field(min_length=1)
    intended_use: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_consistent(self) -> Manifest:
        shapes = {output.name: output.shape for output in self.outputs}
        names = [scheme.name for scheme in self.schemes]
        if len(set(names)) != len(names):
            raise ValueError(f"schemes must differ, found {names}")
        if "fp32" not in self.graphs:
            raise ValueError("graphs must state the fp32 graph")
        side = self.mask_size_px
        # One mask or frame for both lungs, or one for each, the patient's right lung first.
        expected: dict[str, tuple[tuple[int, ...], ...]] = {
            "lung_mask": ((1, 1, side, side), (1, 2, side, side)),
            "theta": ((1, 2, 3), (1, 2, 2, 3)),
        }
        for scheme in self.schemes:
            expected[f"probabilities.{scheme.name}"] = ((1, scheme.num_regions, scheme.num_grades),)
        for name, possible in expected.items():
            if shapes.get(name) not in possible:
                said = " or ".join(str(list(shape)) for shape in possible)
                raise ValueError(f"output {name} must have shape {said}, found {shapes.get(name)}")
        for scheme in self.schemes:
            shape = shapes.get(f"severity_map.{scheme.name}", ())
            if len(shape) != 3 or shape[0] != 1:
                raise ValueError(f"output severity_map.{scheme.name} must have shape [1, rows, columns], found {shape}")
        if self.bfloat16 is not None and set(self.bfloat16.grade_margins) != set(names):
            raise ValueError(f"bfloat16 has margins for {sorted(self.bfloat16.grade_margins)}, schemes are {names}")
        unknown = sorted(set(self.calibration) - set(names))
        if unknown:
            raise ValueError(f"calibration is given for {unknown}, schemes are {names}")
        return self

    @property
    def main_scheme(self) -> Scheme:
        """The scheme that is shown first."""
        schemes = {scheme.name: scheme for scheme in self.schemes}
        return schemes[main_scheme(schemes)]

    def scheme_calibration(self, scheme: str) -> Calibration:
        """Return the calibration of a scheme; the defaults where it was not calibrated."""
        return self.calibration.get(scheme, Calibration())


def without_paths(value: Any) -> Any:
    """Return the same settings with every path cut to its last part, since it is valid on one machine only."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if isinstance(value, str):
        return " ".join(_last_part(word) for word in value.split(" "))
    return value


def _last_part(word: str) -> str:
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(word)
        if path.is_absolute() or word.startswith(("../", "~/", "./")):
            return path.name or word
    return word
