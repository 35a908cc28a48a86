"""Limits of the quality gate: part of a bundle's manifest, because they depend on its network."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Signed = Annotated[float, Field(ge=-1.0, le=1.0)]


class QualityLimits(BaseModel):
    """Limits of the gate.

    A manifest lists all of them: add fields with a default, and never rename or remove one.

    The defaults separate 534 real frontal radiographs of adults from the same ones turned or inverted, with lungs
    outlined by people and by networks; measured by `benchmarks/quality_gate.py`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # An image whose probability of being frontal and upright is below this is refused.
    frontal_refuse: Share = 0.2
    frontal_warn: Share = 0.8
    # Except: an image classified as `no_chest` that shows lungs as clear as this, since the check knows only the kinds
    # of image it was trained on. Share of the image, arrangement side by side, mask confidence, and likeness plus
    # contrast. Images without lungs had at most 0.01, 0.18 and 0.78 of the first three.
    clear_fraction: Share = 0.05
    clear_upright: Signed = 0.25
    clear_confidence: Share = 0.8
    clear_polarity: float = 0.2
    # Share of the image the lungs cover. Real images: 0.10-0.62.
    lung_fraction_refuse: Share = 0.04
    lung_fraction_warn: Share = 0.15
    lung_fraction_most: Share = 0.8
    # Likeness of the image turned by 90 degrees, minus its likeness as it is, minus how clearly the lungs are side by
    # side. Real images: at most -0.14; turned ones: at least 0.11.
    on_side_refuse: float = 0.0
    # Likeness to a sketch of a chest plus the lungs' contrast. Real images: at least 0.22; inverted ones: at
    # most -0.22, nearly all below -0.4; the worst of 60 phantoms with both lungs all white: -0.37.
    polarity_refuse: Signed = -0.38
    # Likeness of the image upside down minus its likeness as it is. Real images: at most -0.08;
    # phantoms with both lungs all white: at most 0.11.
    upside_down_refuse: Signed = 0.12
    # From this probability of a frontal radiograph on, the image check overrules the three limits above, which are the
    # weakest evidence.
    frontal_sure: Share = 0.95
    # Parts as large as a lung, side by side. Real images: at most 3, where one lung is in pieces; two images on one
    # picture: mostly 4.
    in_a_row_refuse: int = Field(default=4, ge=3)
    # Two pictures on one, or a part that is missing or damaged (`lungsev.quality.breaks`). 3,821 real images: seam at
    # most 0.38 (99.9 %: 0.34), still 0.06, repeated 0.01, noise 0.07, never a gap. One of them was more than 1.7 times
    # as wide as high, with a seam below 0.3.
    seam_refuse: Share = 0.45
    seam_refuse_long: Share = 0.3
    long_page: float = Field(default=1.7, ge=1.0)
    gap_refuse: Share = 0.004
    still_refuse: Share = 0.15
    repeated_refuse: Share = 0.15
    noise_refuse: Share = 0.12
    # A gap as wide as this is a part that is missing rather than the space between two pictures.
    gap_missing: Share = 0.12
    # Where a band along an edge of the image ends (see `lungsev.reading.values.edge_bands`), the lungs end too: share
    # of their height or width, for a dark band and for a wide one that cuts the image. Of 117 real images with such
    # bands one had more than 0: 0.185 at a narrow one.
    band_touch_refuse: Share = 0.35
    cut_touch_refuse: Share = 0.05
    # Degrees: slope of the line between the lungs, and its mean with their long axes where both lean to one side.
    # 2,441 real images: a lung that disease has shortened gives slopes of up to 35, but both give at most 26. Images
    # turned by 45 degrees mostly give 40 to 50.
    slant_refuse: float = Field(default=42.0, ge=0.0)
    lean_refuse: float = Field(default=30.0, ge=0.0)
    # Degrees by which the page's corners say that the picture on it is turned. Real images: at most 34.6.
    corner_lean_refuse: float = Field(default=40.0, ge=0.0)
    # The top or bottom of the lungs is missing where they touch that edge over this share of their width and their
    # height over width is below the second limit. Real images: at most 0.37, and down to 0.54; without a third of
    # their height 0.57 and 0.55.
    cut_share_refuse: Share = 0.5
    cut_height_refuse: float = Field(default=0.56, ge=0.0)
    # Grey around the lungs minus grey of the lungs. Human masks: 0.05 and more on 99 % of the images.
    contrast_warn: Signed = 0.05
    # Deviation of the grey values at 1/16 of the canvas: blank images and pure noise have none.
    structure_refuse: Share = 0.05
    # Smaller over larger lung. Human masks: at least 0.6.
    ratio_warn: Share = 0.45
    # Convexity of the outlines. Human masks: at least 0.84.
    solidity_warn: Share = 0.7
    # Mean probability of the pixels classified as lung.
    mask_confidence_warn: Share = 0.75
    # Mean probability of the chosen grades.
    grade_confidence_warn: Share = 0.42
    # Rotation of the lung field against the image, degrees.
    tilt_warn: float = Field(default=20.0, ge=0.0)
    # Share of the lungs inside the aligned frame.
    frame_warn: Share = 0.8
    # Mean difference of neighbouring pixels: the grain of an underexposed image.
    grain_warn: Share = 0.12
    # Share of the lungs that is black without detail. Human masks: at most 0.07.
    burnt_out_warn: Share = 0.2
    # Longer side of the exposed field, in pixels of the image.
    pixels_warn: int = Field(default=400, ge=0)
