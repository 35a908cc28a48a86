"""Quality gate: is this an upright frontal chest radiograph, and how far can its score be trusted?

Any other image is refused and gets no score. Severity is never a reason to refuse: the rules that refuse use shape,
place and polarity, not how white the lungs are. Less serious findings become warnings beside the score.

The evidence: the network's image check (where the bundle has one), the outline of the lungs that the network found,
and statistics of the image. The last two also work for bundles without an image check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lungsev.preprocessing.canvas import Canvas
from lungsev.quality.limits import QualityLimits
from lungsev.quality.lung_shape import LungShape, measure_lungs
from lungsev.quality.measures import Outputs, measure_alignment, measure_grades, measure_image, measure_shape
from lungsev.quality.messages import NOTES, make_flag
from lungsev.reading.values.edge_bands import EDGES
from lungsev.report import Quality, QualityFlag, Verdict

# Order of the image check's output; `lungsev.networks.image_check` is trained in this order.
IMAGE_CHECK_CLASSES = (
    *("frontal", "rotated_90", "rotated_180", "rotated_270", "inverted", "no_chest"),
    *("leaning", "several_images", "part_missing"),
)
NEARLY_ON_SIDE_DEG = 67.5  # nearer to a quarter turn than to half of one
FIRST_CLASSES = 6  # of bundles trained before the last three were added


def assess_quality(
    canvas: Canvas,
    outputs: Outputs,
    notes: Sequence[str] = (),
    limits: QualityLimits | None = None,
) -> Quality:
    """Judge one image.

    Args:
        canvas: The network's input.
        outputs: The graph's outputs for this image (batch of 1): `lung_mask`, `theta` and, where the bundle has them,
            `image_check` and `probabilities.<scheme>`.
        notes: Codes noted while the image was read; those with a message become flags.
        limits: Of the bundle; None takes the defaults.

    Returns:
        The verdict `refused`, `warn` or `ok`, the flags (the decisive refusal first) and the measures.
    """
    limits = limits or QualityLimits()
    probability = np.nan_to_num(np.asarray(outputs["lung_mask"], dtype=np.float32)[0]).max(axis=0)
    shape = measure_lungs(probability >= 0.5, canvas.pixels, canvas.frame)
    check = _image_check(outputs)
    measures = measure_image(canvas)
    if check is not None:
        measures["frontal_probability"] = float(check[0])
    if shape is not None:
        measures |= measure_shape(shape, probability)
        measures |= measure_alignment(outputs, probability)
    measures |= measure_grades(outputs)
    flags = tuple(make_flag(code) for code in find_flags(measures, shape, check, notes, limits))
    return Quality(_verdict(flags), flags, {key: round(value, 4) for key, value in measures.items()})


def find_flags(
    measures: Mapping[str, float],
    shape: LungShape | None,
    check: npt.NDArray[np.float64] | None,
    notes: Sequence[str],
    limits: QualityLimits,
) -> list[str]:
    """Return the codes of an image's flags: the reason to refuse it alone, or else everything to warn about.

    Args:
        measures: As in the report.
        shape: None where there are no lungs.
        check: Probability of each of IMAGE_CHECK_CLASSES; None for a bundle without an image check.
        notes: Codes noted while the image was read.
        limits: Of the bundle.
    """
    refusal = _refusal(measures, shape, check, notes, limits)
    if refusal in ("inverted", "blank") and "lut_ignored" in notes:
        return ["grey_table_unusable"]
    if refusal is not None:
        return [refusal]
    assert shape is not None  # an image without lungs was refused
    return _warnings(measures, shape, notes, limits)


def _refusal(
    measures: Mapping[str, float],
    shape: LungShape | None,
    check: npt.NDArray[np.float64] | None,
    notes: Sequence[str],
    limits: QualityLimits,
) -> str | None:
    """Return the code of the one reason to refuse, or None."""
    if measures["structure"] < limits.structure_refuse:
        return "blank"
    broken = _broken(measures, check, notes, limits)
    if check is not None and check[0] < limits.frontal_refuse:
        seen = IMAGE_CHECK_CLASSES[1 + int(check[1:].argmax())]
        if seen != "no_chest" or not _shows_clear_lungs(measures, shape, limits):
            return broken if broken and seen != "no_chest" else _refusal_of_class(seen)
    if shape is None or shape.fraction < limits.lung_fraction_refuse:
        return "inverted" if measures["chest_likeness"] < limits.polarity_refuse else "lungs_not_found"
    if (reason := broken or _misplaced(measures, shape, notes, limits)) is not None:
        return reason
    if check is not None and check[0] >= limits.frontal_sure:
        return None
    negative = measures["chest_likeness"] + shape.contrast < limits.polarity_refuse
    upside_down = measures["upside_down"] > limits.upside_down_refuse
    if negative and upside_down:  # take what it resembles more: its negative, or itself upside down
        negative = measures["upside_down"] < -2 * measures["chest_likeness"]
    upright = 0.0 if shape.one_sided else shape.upright
    on_side = measures["on_side"] - upright > limits.on_side_refuse
    return "inverted" if negative else "rotated" if upside_down or on_side else None


def _broken(
    measures: Mapping[str, float], check: npt.NDArray[np.float64] | None, notes: Sequence[str], limits: QualityLimits
) -> str | None:
    """Return what the pixels alone show: `part_missing`, `several_images`, or neither."""
    if "part_missing" in notes or measures["still"] > limits.still_refuse or measures["noise"] > limits.noise_refuse:
        return "part_missing"
    if measures["gap"] > limits.gap_refuse:
        return "part_missing" if measures["gap"] > limits.gap_missing else "several_images"
    if measures["seam"] > limits.seam_refuse:
        rather_damaged = check is not None and _of_class(check, "part_missing") > _of_class(check, "several_images")
        return "part_missing" if rather_damaged else "several_images"
    return "several_images" if measures["repeated"] > limits.repeated_refuse else None


def _of_class(check: npt.NDArray[np.float64], name: str) -> float:
    place = IMAGE_CHECK_CLASSES.index(name)
    return float(check[place]) if place < len(check) else 0.0


def _misplaced(
    measures: Mapping[str, float], shape: LungShape, notes: Sequence[str], limits: QualityLimits
) -> str | None:
    """Return why the lungs are not one complete upright pair, on which alone all zones can be graded; or None."""
    if shape.in_a_row >= limits.in_a_row_refuse:
        return "several_images"
    lean = max(abs(shape.slant_deg), abs(shape.lean_deg))
    leans = abs(shape.lean_deg) > limits.lean_refuse or abs(shape.slant_deg) > limits.slant_refuse
    if leans or measures["corner_lean_deg"] > limits.corner_lean_refuse:
        return "rotated" if lean > NEARLY_ON_SIDE_DEG else "leaning"
    for edge in EDGES:
        most = {f"dark_at_{edge}": limits.band_touch_refuse, f"cut_at_{edge}": limits.cut_touch_refuse}
        if any(note in notes and getattr(shape, f"{edge}_share") > share for note, share in most.items()):
            return "part_missing"
    if shape.height < limits.cut_height_refuse and max(shape.top_share, shape.bottom_share) > limits.cut_share_refuse:
        return "apex_missing" if shape.top_share > shape.bottom_share else "base_missing"
    is_long = measures["page_shape"] > limits.long_page
    return "several_images" if is_long and measures["seam"] > limits.seam_refuse_long else None


def _shows_clear_lungs(measures: Mapping[str, float], shape: LungShape | None, limits: QualityLimits) -> bool:
    return (
        shape is not None
        and shape.fraction >= limits.clear_fraction
        and shape.upright >= limits.clear_upright
        and measures["mask_confidence"] >= limits.clear_confidence
        and measures["chest_likeness"] + shape.contrast >= limits.clear_polarity
    )


def _refusal_of_class(name: str) -> str:
    if name.startswith("rotated"):
        return "rotated"
    return "not_frontal_chest" if name == "no_chest" else name


def _warnings(
    measures: Mapping[str, float], shape: LungShape, notes: Sequence[str], limits: QualityLimits
) -> list[str]:
    """Return the codes of everything that a reader should know about an image that is scored."""
    found = {
        "doubtful_image": measures.get("frontal_probability", 1.0) < limits.frontal_warn,
        "lungs_too_small": shape.fraction < limits.lung_fraction_warn,
        "lungs_too_large": shape.fraction > limits.lung_fraction_most,
        "lung_outline_doubtful": shape.solidity < limits.solidity_warn
        or measures["mask_confidence"] < limits.mask_confidence_warn,
        "alignment_doubtful": measures.get("lungs_in_frame", 1.0) < limits.frame_warn,
        "asymmetric_lungs": shape.ratio < limits.ratio_warn,
        "tilted": max(abs(measures.get("tilt_deg", 0.0)), abs(shape.slant_deg)) > limits.tilt_warn,
        "apex_clipped": shape.cut_top,
        "base_clipped": shape.cut_bottom,
        "side_clipped": shape.cut_side,
        "underexposed": measures["grain"] > limits.grain_warn,
        "overexposed": shape.burnt_out > limits.burnt_out_warn,
        "low_contrast": shape.contrast < limits.contrast_warn,
        "low_resolution": measures["image_pixels"] < limits.pixels_warn,
        "low_confidence": measures.get("grade_confidence", 1.0) < limits.grade_confidence_warn,
        **{note: note in notes for note in NOTES},
    }
    return [code for code, present in found.items() if present]


def _verdict(flags: Sequence[QualityFlag]) -> Verdict:
    severities = {flag.severity for flag in flags}
    return "refused" if "refuse" in severities else "warn" if "warn" in severities else "ok"


def _image_check(outputs: Outputs) -> npt.NDArray[np.float64] | None:
    if "image_check" not in outputs:
        return None
    values = np.nan_to_num(np.asarray(outputs["image_check"], dtype=np.float64)[0])
    return values if values.shape in ((len(IMAGE_CHECK_CLASSES),), (FIRST_CLASSES,)) else None
