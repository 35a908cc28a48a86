"""How a bundle's network is graded in bfloat16 without a changed grade: measured for its graph, and for no other.

A decision may lie so close to its border that bfloat16 decides otherwise. Closer than the margin, the image is graded
again in FP32. A margin is the largest difference between the two that any image at hand showed.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field

PACKAGED_FILE = "packaged_bfloat16.yaml"


class Bfloat16(BaseModel):
    """Part of the manifest.

    Attributes:
        entry_depth: Convolutions of the severity network, from the warped image, that stay FP32.
        grade_margins: By scheme: distance of a grade from its border (`lungsev.grading.grade_distances`) up to which an
            image is graded again.
        confidence_margin: The same for the mean probability of the grades, which has a limit to be warned about.
        images, grades: On how many they were measured.
        changed: Grades that one pass alone changed; with the second pass none did.
        again: Share of these images that were graded again, 0-1.
        emulated: The rounding was written out in FP32, on a processor without bfloat16.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry_depth: int = Field(ge=0)
    grade_margins: dict[str, float]
    confidence_margin: float = Field(ge=0.0)
    images: int = Field(ge=1)
    grades: int = Field(ge=1)
    changed: int = Field(ge=0)
    again: float = Field(ge=0.0, le=1.0)
    emulated: bool


@cache
def packaged_bfloat16() -> dict[str, Bfloat16]:
    """Return what was measured for graphs that state nothing themselves, by the SHA-256 of the FP32 graph."""
    text = (resources.files("lungsev.bundle") / PACKAGED_FILE).read_text(encoding="utf-8")
    return {digest: Bfloat16.model_validate(measured) for digest, measured in yaml.safe_load(text).items()}
