"""Flags of the quality gate: code, severity, and one sentence that a nurse understands and can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lungsev.report import Quality, QualityFlag, RegionScore, Severity

_MESSAGES: dict[str, tuple[Severity, str]] = {
    "blank": ("refuse", "The X-ray is blank: it shows only one grey, or noise."),
    "inverted": ("refuse", "Black and white are swapped on this X-ray. Send it again with white bones."),
    "grey_table_unusable": (
        "refuse",
        "The file's table of greys (LUT) cannot be used, and the X-ray does not look right without it. "
        "Ask for the file to be exported again.",
    ),
    "rotated": ("refuse", "The X-ray is on its side or upside down. Turn it upright and send it again."),
    "not_frontal_chest": (
        "refuse",
        "This does not look like a chest X-ray from the front. Check which image was sent.",
    ),
    "lungs_not_found": ("refuse", "No lungs were found on this image. Check which image was sent."),
    "leaning": ("refuse", "The X-ray leans far to one side. Turn it upright and send it again."),
    "several_images": (
        "refuse",
        "This image shows more than one picture, or parts that do not belong together. Send each X-ray separately.",
    ),
    "part_missing": ("refuse", "A part of this X-ray is missing or damaged. Send the X-ray again."),
    "apex_missing": (
        "refuse",
        "The top of the lungs is missing on this X-ray. Send one that shows both lungs completely.",
    ),
    "base_missing": (
        "refuse",
        "The bottom of the lungs is missing on this X-ray. Send one that shows both lungs completely.",
    ),
    "doubtful_image": ("warn", "This looks unusual for a chest X-ray from the front. Check that it is one."),
    "lungs_too_small": ("warn", "The lungs fill only a small part of the X-ray."),
    "lungs_too_large": ("warn", "The outline of the lungs covers almost the whole X-ray and may be wrong."),
    "lung_outline_doubtful": ("warn", "The outline of the lungs is ragged or uncertain and may be wrong."),
    "alignment_doubtful": (
        "warn",
        "The zones do not fit the lungs well. Look at the picture with the zones before you use the score.",
    ),
    "asymmetric_lungs": (
        "warn",
        "One lung looks much smaller than the other: the patient may be turned, or one lung collapsed or hidden.",
    ),
    "tilted": ("warn", "The patient is tilted on the X-ray."),
    "apex_clipped": ("warn", "The top of a lung is cut off at the edge of the X-ray."),
    "base_clipped": ("warn", "The bottom of a lung is cut off at the edge of the X-ray."),
    "side_clipped": ("warn", "The outer side of a lung is cut off at the edge of the X-ray."),
    "underexposed": ("warn", "The X-ray is grainy, probably underexposed. Fine shadows may be noise."),
    "overexposed": (
        "warn",
        "Parts of the lungs are completely black, probably overexposed. Faint shadows may be lost.",
    ),
    "low_contrast": (
        "warn",
        "The lungs hardly differ from the tissue around them: dense disease, or an X-ray of low contrast.",
    ),
    "low_resolution": ("warn", "The X-ray has few pixels. Fine markings cannot be seen on it."),
    "low_confidence": ("warn", "The model is unsure about several zones. Read this X-ray with particular care."),
    "part_may_be_missing": (
        "warn",
        "A part of this X-ray may be missing at one edge: the edge is sharp and straight, or the noise changes there. "
        "Compare it with the original.",
    ),
    "zone_not_assessable": ("warn", "Hardly any lung is seen in a zone, so it gets no grade."),
    "polarity_corrected": (
        "warn",
        "The file is wrong about black and white. The X-ray is shown with white bones.",
    ),
    "sign_corrected": (
        "warn",
        "The file is wrong about the sign of its grey values. The X-ray is shown as the values themselves say.",
    ),
    "sign_doubtful": ("warn", "The grey values of the file jump, with or without a sign. Compare with the original."),
    "lut_ignored": ("warn", "The file's table of greys (LUT) cannot be used. The X-ray is shown without it."),
    "polarity_doubtful": ("warn", "Black and white may be swapped on this X-ray."),
    "side_not_verified": ("info", "The file does not say which side is left. R and L are drawn in their usual places."),
    "orientation_corrected": ("info", "The X-ray was stored mirrored or turned. It was put upright as its file says."),
    "black_edge": (
        "info",
        "One edge of the X-ray is black, by a shutter or because a narrow part of the picture is missing.",
    ),
    "window_ignored": ("info", "The grey window in the file does not fit the X-ray and was not used."),
}
_WHY_NO_LUNG = "A high diaphragm, fluid or dense disease may hide it: look at the X-ray."
# Notes from reading the file that become flags with the same code.
NOTES = (
    *("polarity_corrected", "polarity_doubtful", "sign_corrected", "sign_doubtful", "lut_ignored"),
    "part_may_be_missing",
    *("side_not_verified", "orientation_corrected", "black_edge", "window_ignored"),
)
FLAG_CODES: tuple[str, ...] = tuple(_MESSAGES)


def make_flag(code: str) -> QualityFlag:
    """Return the flag of a code with its severity and message."""
    return QualityFlag(code, *_MESSAGES[code])


def with_missing_zones(quality: Quality, regions: Sequence[RegionScore]) -> Quality:
    """Return the quality of an image on which some regions, but not all, are not assessable, with a flag of them."""
    named = [f"{region.code} ({region.name})" for region in regions]
    zones = f"zone {named[0]}, so it gets" if len(named) == 1 else f"zones {_listed(named)}, so they get"
    message = f"Hardly any lung is seen in {zones} no grade. {_WHY_NO_LUNG}"
    flag = replace(make_flag("zone_not_assessable"), message=message)
    return replace(quality, verdict="warn", flags=(*quality.flags, flag))


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
