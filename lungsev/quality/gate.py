"""The quality gate: is this an upright frontal chest radiograph, and how far can its score be trusted?

An image that is none is refused and gets no numbers. Everything else is scored: severity is never a reason to
refuse, so every rule that refuses looks at shape, place and polarity, not at how white the lungs are. Doubts that
do not refuse are said in words a nurse can act on.

Three witnesses: the network's own image check (where the bundle has one), the outline of the lungs it
found, and plain statistics of the image. The last two also speak for bundles without an image check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from lungsev.preprocessing.canvas import Canvas
from lungsev.quality.lung_shape import LungShape, measure_lungs, radiograph_area
from lungsev.reading.polarity import chest_likeness
from lungsev.report import Quality, QualityFlag, Severity, Verdict

# Order of the image check's classes; `lungsev.networks.image_check` trains them in this order.
IMAGE_CHECK_CLASSES = ("frontal", "rotated_90", "rotated_180", "rotated_270", "inverted", "no_chest")

Outputs = Mapping[str, npt.NDArray[np.float32]]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Signed = Annotated[float, Field(ge=-1.0, le=1.0)]


class QualityLimits(BaseModel):
    """Limits of the gate, part of a bundle's manifest since they depend on its network.

    A manifest spells all of them out: add fields with a default, and never rename or remove one.

    The defaults were measured on 534 real frontal radiographs of adults, upright, turned and inverted, with lungs
    outlined by people and by networks; see `benchmarks/quality_gate.py`. The limits separate them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # An image whose probability of being frontal and upright is below this is refused.
    frontal_refuse: Share = 0.2
    frontal_warn: Share = 0.8
    # ... unless what it takes for no chest shows lungs as clear as these, since a check knows only what it was trained
    # on: share of the image, side by side, sure, and the look of the image (likeness plus contrast). Without lungs it
    # had at most 0.01, 0.18 and 0.78 of the first three.
    clear_fraction: Share = 0.05
    clear_upright: Signed = 0.25
    clear_confidence: Share = 0.8
    clear_polarity: float = 0.2
    # Share of the image the lungs cover. Real images: 0.10-0.62.
    lung_fraction_refuse: Share = 0.04
    lung_fraction_warn: Share = 0.15
    lung_fraction_most: Share = 0.8
    # Likeness of the image turned by 90 degrees less its likeness as it is, less how clearly the lungs stand side by
    # side. Real images: at most -0.14; turned ones: at least 0.11.
    on_side_refuse: float = 0.0
    # Likeness to a sketch of a chest plus the lungs' contrast. Real images: at least 0.22; inverted ones: at
    # most -0.22, nearly all below -0.4; the worst of 60 phantoms with both lungs all white: -0.37.
    polarity_refuse: Signed = -0.38
    # Likeness of the image upside down less its likeness as it is. Real images: at most -0.08;
    # phantoms with both lungs all white: at most 0.11.
    upside_down_refuse: Signed = 0.12
    # The image check overrules these three, the weakest witnesses, where it is this sure of a frontal radiograph.
    frontal_sure: Share = 0.95
    # Lungs side by side. Real images: at most 3, where one lung lies in pieces; two images on one picture: mostly 4.
    in_a_row_refuse: int = Field(default=4, ge=3)
    # Slope of the line between the lungs, degrees. Real images: at most 25; tilted by 15 more: 31; by 45: 45 to 54.
    slant_refuse: float = Field(default=35.0, ge=0.0)
    # The top or bottom of the lungs is missing where they fill so much of that edge, of their own width, and are so
    # low for it. Real images: at most 0.37, and down to 0.54; without a third of their height 0.57 and 0.55.
    cut_share_refuse: Share = 0.5
    cut_height_refuse: float = Field(default=0.56, ge=0.0)
    # Grey around the lungs less the lungs' own. Human masks: 0.05 and more on 99 % of the images.
    contrast_warn: Signed = 0.05
    # Deviation of the grey values at 1/16 of the canvas: blank images and pure noise have none.
    structure_refuse: Share = 0.05
    # Smaller over larger lung. Human masks: at least 0.6.
    ratio_warn: Share = 0.45
    # Convexity of the outlines. Human masks: at least 0.84.
    solidity_warn: Share = 0.7
    # Mean probability of the pixels called lung.
    mask_confidence_warn: Share = 0.75
    # Mean probability of the grades chosen.
    grade_confidence_warn: Share = 0.42
    # Turn of the lung field against the image, degrees.
    tilt_warn: float = Field(default=20.0, ge=0.0)
    # Share of the lungs inside the aligned frame.
    frame_warn: Share = 0.8
    # Pixel to pixel deviation: grain of an underexposed image.
    grain_warn: Share = 0.12
    # Share of the lungs that is plain black. Human masks: at most 0.07.
    burnt_out_warn: Share = 0.2
    # Longer side of the exposed field in its own pixels.
    pixels_warn: int = Field(default=400, ge=0)


_MESSAGES: dict[str, tuple[Severity, str]] = {
    "blank": ("refuse", "The image is blank: it shows one grey, or noise."),
    "inverted": ("refuse", "Black and white are swapped on this image. Send it with bones shown white."),
    "rotated": ("refuse", "The image lies on its side or upside down. Turn it upright and send it again."),
    "not_frontal_chest": (
        "refuse",
        "This does not look like a chest radiograph from the front. Check which image was sent.",
    ),
    "lungs_not_found": ("refuse", "No lungs could be found on this image. Check which image was sent."),
    "several_images": ("refuse", "There is more than one chest on this picture. Send each image by itself."),
    "apex_missing": ("refuse", "The top of the lungs is missing on this image. Send one that shows the whole lungs."),
    "base_missing": (
        "refuse",
        "The bottom of the lungs is missing on this image. Send one that shows the whole lungs.",
    ),
    "doubtful_image": ("warn", "This image looks unusual for a chest radiograph from the front. Check that it is one."),
    "lungs_too_small": ("warn", "The lungs fill only a small part of the image."),
    "lungs_too_large": ("warn", "The outline of the lungs covers almost the whole image and may be wrong."),
    "lung_outline_doubtful": ("warn", "The outline of the lungs is ragged or uncertain and may be wrong."),
    "alignment_doubtful": (
        "warn",
        "The zones do not fit the lungs well. Look at the overlay before you use the score.",
    ),
    "asymmetric_lungs": (
        "warn",
        "One lung looks much smaller than the other: the patient may be turned, or one lung collapsed or hidden.",
    ),
    "tilted": ("warn", "The patient lies tilted on the image."),
    "apex_clipped": ("warn", "The top of a lung is cut off at the image's edge."),
    "base_clipped": ("warn", "The bottom of a lung is cut off at the image's edge."),
    "side_clipped": ("warn", "The outer side of a lung is cut off at the image's edge."),
    "underexposed": ("warn", "The image is grainy, as when underexposed. Fine shadows may be noise."),
    "overexposed": ("warn", "Parts of the lungs are plain black, as when overexposed. Faint shadows may be lost."),
    "low_contrast": ("warn", "The lungs hardly differ from what surrounds them: dense disease, or a flat image."),
    "low_resolution": ("warn", "The image has few pixels. Fine markings cannot be seen on it."),
    "low_confidence": ("warn", "The computer is unsure of several zones. Read this image with particular care."),
    "polarity_corrected": (
        "warn",
        "The file said black where the image shows white; the image was turned to bones white.",
    ),
    "polarity_doubtful": ("warn", "Black and white may be swapped on this image."),
    "side_not_verified": ("info", "The file does not say which side is left. R and L are drawn as usual."),
    "orientation_corrected": ("info", "The image was stored mirrored or turned and was put upright as its file says."),
    "window_ignored": ("info", "The grey window in the file does not fit the image and was not used."),
}
# Remarks of the reading that become flags as they are.
_NOTES = ("polarity_corrected", "polarity_doubtful", "side_not_verified", "orientation_corrected", "window_ignored")
FLAG_CODES: tuple[str, ...] = tuple(_MESSAGES)


def assess_quality(
    canvas: Canvas,
    outputs: Outputs,
    notes: Sequence[str] = (),
    limits: QualityLimits | None = None,
) -> Quality:
    """Judge one image.

    Args:
        canvas: What the network saw.
        outputs: The graph's outputs for this one image (batch of 1): `lung_mask` and `theta`, and where they are
            there `image_check` and `probabilities.<scheme>`.
        notes: Remarks of the reading.
        limits: Of the bundle; None takes the defaults.

    Returns:
        The verdict `refused`, `warn` or `ok`, the flags (the decisive refusal first) and the measures.
    """
    limits = limits or QualityLimits()
    probability = np.nan_to_num(np.asarray(outputs["lung_mask"], dtype=np.float32)[0, 0])
    shape = measure_lungs(probability >= 0.5, canvas.pixels, canvas.frame)
    check = _image_check(outputs)
    measures = {**_image_measures(canvas), **_check_measures(check)}
    if shape is not None:
        measures |= _shape_measures(shape, probability)
        measures |= _alignment_measures(outputs, probability)
    measures |= _grade_measures(outputs)
    refusal = _refusal(measures, shape, check, limits)
    codes = _doubts(measures, shape, notes, limits) if refusal is None else [refusal]
    flags = tuple(QualityFlag(code, *_MESSAGES[code]) for code in codes)
    return Quality(_verdict(flags), flags, {key: round(value, 4) for key, value in measures.items()})


def _refusal(
    measures: Mapping[str, float],
    shape: LungShape | None,
    check: npt.NDArray[np.float64] | None,
    limits: QualityLimits,
) -> str | None:
    """The one reason to refuse, or None."""
    if measures["structure"] < limits.structure_refuse:
        return "blank"
    if check is not None and check[0] < limits.frontal_refuse:
        seen = IMAGE_CHECK_CLASSES[1 + int(check[1:].argmax())]
        if seen != "no_chest" or not _shows_clear_lungs(measures, shape, limits):
            return _refusal_of_class(seen)
    if shape is None or shape.fraction < limits.lung_fraction_refuse:
        return "inverted" if measures["chest_likeness"] < limits.polarity_refuse else "lungs_not_found"
    if (misplaced := _misplaced(shape, limits)) is not None:
        return misplaced
    if check is not None and check[0] >= limits.frontal_sure:
        return None
    negative = measures["chest_likeness"] + shape.contrast < limits.polarity_refuse
    upside_down = measures["upside_down"] > limits.upside_down_refuse
    if negative and upside_down:  # both: the picture it resembles more, its negative or itself on its head
        negative = measures["upside_down"] < -2 * measures["chest_likeness"]
    lies = 0.0 if shape.one_sided else shape.upright
    on_side = measures["on_side"] - lies > limits.on_side_refuse
    return "inverted" if negative else "rotated" if upside_down or on_side else None


def _misplaced(shape: LungShape, limits: QualityLimits) -> str | None:
    """Lungs that are there, but not one whole upright pair: nobody can grade six zones on them."""
    if shape.in_a_row >= limits.in_a_row_refuse:
        return "several_images"
    if abs(shape.slant_deg) > limits.slant_refuse:
        return "rotated"
    if shape.height < limits.cut_height_refuse and max(shape.top_share, shape.bottom_share) > limits.cut_share_refuse:
        return "apex_missing" if shape.top_share > shape.bottom_share else "base_missing"
    return None


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
    return "inverted" if name == "inverted" else "not_frontal_chest"


def _doubts(
    measures: Mapping[str, float], shape: LungShape | None, notes: Sequence[str], limits: QualityLimits
) -> list[str]:
    """Codes of everything a reader should know of an image that is scored."""
    assert shape is not None  # an image without lungs was refused
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
        **{note: note in notes for note in _NOTES},
    }
    return [code for code, present in found.items() if present]


def _verdict(flags: Sequence[QualityFlag]) -> Verdict:
    severities = {flag.severity for flag in flags}
    return "refused" if "refuse" in severities else "warn" if "warn" in severities else "ok"


def _image_measures(canvas: Canvas) -> dict[str, float]:
    """Statistics that need no network."""
    side = canvas.pixels.shape[0]
    y0, x0, y1, x1 = radiograph_area(canvas.frame, side)
    content = canvas.pixels[y0:y1, x0:x1]
    step = max(1, side // 16)
    rows, columns = content.shape[0] // step, content.shape[1] // step
    if rows == 0 or columns == 0:
        return dict.fromkeys(("structure", "grain", "chest_likeness", "upside_down", "on_side", "image_pixels"), 0.0)
    cells = content[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3))
    across = np.abs(np.diff(content[::2], axis=1))
    likeness, right, upside_down, left = (_likeness(np.rot90(content, turn)) for turn in range(4))
    return {
        "structure": float(cells.std()),
        "grain": float(across.mean()),
        "chest_likeness": likeness,
        "upside_down": upside_down - likeness,
        "on_side": max(left, right) - likeness,
        "image_pixels": float(side / canvas.frame.scale),
    }


def _likeness(content: npt.NDArray[np.float32]) -> float:
    return chest_likeness(np.ascontiguousarray(content), (0, 0, *content.shape))


def _shape_measures(shape: LungShape, probability: npt.NDArray[np.float32]) -> dict[str, float]:
    return {
        "lung_fraction": shape.fraction,
        "lung_parts": float(shape.parts),
        "lung_ratio": shape.ratio,
        "lung_solidity": shape.solidity,
        "lung_upright": shape.upright,
        "lung_contrast": shape.contrast,
        "lung_burnt_out": shape.burnt_out,
        "lung_slant_deg": shape.slant_deg,
        "lungs_in_a_row": float(shape.in_a_row),
        "lung_height": shape.height,
        "lung_top_share": shape.top_share,
        "lung_bottom_share": shape.bottom_share,
        "mask_confidence": float(probability[probability >= 0.5].mean()),
    }


def _alignment_measures(outputs: Outputs, probability: npt.NDArray[np.float32]) -> dict[str, float]:
    """Turn and size of the aligned frame, and how much of the lungs it holds."""
    theta = np.asarray(outputs["theta"], dtype=np.float64)[0]
    linear, centre = theta[:, :2], theta[:, 2]
    area = float(abs(np.linalg.det(linear)))
    if not np.isfinite(theta).all() or area < 1e-4:
        return {"lungs_in_frame": 0.0}
    side = probability.shape[0]
    rows, columns = np.nonzero(probability >= 0.5)
    points = (np.stack([columns, rows], axis=1) + 0.5) * 2 / side - 1
    canonical = (points - centre) @ np.linalg.inv(linear).T
    inside = (np.abs(canonical) <= 1.0).all(axis=1)
    return {
        "lungs_in_frame": float(inside.mean()),
        "frame_scale": float(np.sqrt(area)),
        "tilt_deg": float(np.degrees(np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1]))),
    }


def _image_check(outputs: Outputs) -> npt.NDArray[np.float64] | None:
    if "image_check" not in outputs:
        return None
    values = np.nan_to_num(np.asarray(outputs["image_check"], dtype=np.float64)[0])
    return values if values.shape == (len(IMAGE_CHECK_CLASSES),) else None


def _check_measures(check: npt.NDArray[np.float64] | None) -> dict[str, float]:
    return {} if check is None else {"frontal_probability": float(check[0])}


def _grade_measures(outputs: Outputs) -> dict[str, float]:
    """Mean probability of the most probable grade, over all regions of all schemes."""
    best = [
        np.nan_to_num(values[0]).max(axis=-1) for name, values in outputs.items() if name.startswith("probabilities.")
    ]
    return {"grade_confidence": float(np.concatenate(best).mean())} if best else {}
