"""Decisions that bfloat16 may take otherwise than FP32, because they lie close to their border.

The lungs, the alignment and the image check are computed in FP32, and so is all that the quality gate says of them.
What is left are the grades and their mean probability.
"""

from __future__ import annotations

import numpy as np

from lungsev.bundle.bfloat16 import Bfloat16
from lungsev.bundle.manifest import Manifest
from lungsev.grading import grade_distances
from lungsev.inference.backend import Outputs
from lungsev.quality.measures import measure_grades


def close_decision(outputs: Outputs, manifest: Manifest, measured: Bfloat16) -> str:
    """Return which decision is closer to its border than its margin, in words; empty where none is.

    A result that is not a number is close to everything.

    Args:
        outputs: Of the first pass, for one image.
        manifest: Schemes, calibration and limits, which make the borders.
        measured: The margins.
    """
    for scheme in manifest.schemes:
        probabilities = np.asarray(outputs[f"probabilities.{scheme.name}"][0], np.float64)
        distances = grade_distances(probabilities, manifest.scheme_calibration(scheme.name).decision)
        for region, distance in zip(scheme.regions, distances, strict=True):
            if not distance > measured.grade_margins[scheme.name]:  # NaN is not
                return f"the {scheme.name} grade of {region.code} is close to another"
    confidence = measure_grades(outputs)["grade_confidence"]
    if not abs(confidence - manifest.quality.grade_confidence_warn) > measured.confidence_margin:
        return "the mean probability of the grades is close to its limit"
    return ""
