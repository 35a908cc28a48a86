"""The gate refuses what is no upright frontal chest, and never a chest for being ill."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from lungsev.config import load_model
from lungsev.errors import ConfigError
from lungsev.geometry import CanvasFrame
from lungsev.phantom import NON_CHEST_KINDS, PhantomOptions, make_non_chest, make_phantom
from lungsev.preprocessing.canvas import Canvas, to_canvas
from lungsev.quality.gate import IMAGE_CHECK_CLASSES, assess_quality, find_flags
from lungsev.quality.limits import QualityLimits
from lungsev.quality.lung_shape import LungShape
from lungsev.quality.messages import FLAG_CODES
from lungsev.reading.collimation import content_box
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import read_radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo, Quality

MASK_PX = 128
WHOLE = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], np.float32)
SURE = np.array([[0.97, 0.01, 0.01, 0.0, 0.01, 0.0]], np.float32)

Turn = Callable[[np.ndarray], np.ndarray]
WRONG: dict[str, tuple[Turn, str]] = {
    "on its right side": (lambda image: np.rot90(image, -1), "rotated"),
    "on its left side": (lambda image: np.rot90(image, 1), "rotated"),
    "upside down": (lambda image: np.rot90(image, 2), "rotated"),
}


@dataclass(frozen=True)
class Case:
    """An image as the gate gets it, with the lungs a perfect network would find."""

    canvas: Canvas
    lungs: np.ndarray

    def judge(self, notes: tuple[str, ...] = (), limits: QualityLimits | None = None, **outputs: np.ndarray) -> Quality:
        mask = self.lungs.astype(np.float32)[None, None] * np.float32(0.96)
        return assess_quality(self.canvas, {"lung_mask": mask, "theta": WHOLE, **outputs}, notes, limits)


def make_case(pixels: np.ndarray, lungs: np.ndarray | None = None) -> Case:
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    rows, columns = pixels.shape
    canvas = to_canvas(Radiograph(Brightness(pixels), ImageInfo(rows=rows, columns=columns), content_box(pixels)))
    if lungs is None:
        return Case(canvas, np.zeros((MASK_PX, MASK_PX)))
    frame, ratio = canvas.frame, MASK_PX / canvas.frame.size_px
    matrix = np.array([[frame.scale, 0, frame.offset_px[0]], [0, frame.scale, frame.offset_px[1]]]) * ratio
    mask = (np.ascontiguousarray(lungs) > 0).astype(np.uint8)
    return Case(canvas, cv2.warpAffine(mask, matrix, (MASK_PX, MASK_PX), flags=cv2.INTER_NEAREST))


def make_chest(seed: int = 2, turn: Turn = lambda image: image, **changes: object) -> Case:
    radiograph = make_phantom(seed, **changes)  # type: ignore[arg-type]
    return make_case(turn(radiograph.pixels), turn(radiograph.lung_mask))


def codes(quality: Quality) -> set[str]:
    return {flag.code for flag in quality.flags}


GOOD_MEASURES = {
    "structure": 0.2, "grain": 0.02, "chest_likeness": 0.5, "upside_down": -0.6, "on_side": -0.6,
    "image_pixels": 2000.0, "mask_confidence": 0.95, "lungs_in_frame": 1.0, "tilt_deg": 0.0, "grade_confidence": 0.8,
    "page_shape": 1.2, "corner_lean_deg": 0.0, "seam": 0.1, "gap": 0.0, "still": 0.0, "repeated": 0.0, "noise": 0.0,
}  # fmt: skip
GOOD_SHAPE = LungShape(
    fraction=0.3, parts=2, ratio=0.9, one_sided=False, solidity=0.9, upright=0.4, contrast=0.2, burnt_out=0.0,
    cut_top=False, cut_bottom=False, cut_side=False, top_share=0.0, bottom_share=0.0, left_share=0.0,
    right_share=0.0, height=0.9, in_a_row=2, slant_deg=0.0, axis_deg=0.0,
)  # fmt: skip
LIMITS = QualityLimits()


def flags_of(check: Sequence[float] | None = None, notes: tuple[str, ...] = (), **changes: float) -> list[str]:
    """Flags of a good image with some measures or properties of its lungs changed."""
    of_shape = {name: value for name, value in changes.items() if hasattr(GOOD_SHAPE, name)}
    measures = GOOD_MEASURES | {name: value for name, value in changes.items() if name not in of_shape}
    if check is not None:
        measures["frontal_probability"] = check[0]
    shape = replace(GOOD_SHAPE, **of_shape)  # type: ignore[arg-type]
    return find_flags(measures, shape, None if check is None else np.array(check), notes, LIMITS)


def check_of(seen: str, frontal: float) -> list[float]:
    return [frontal, *(0.5 if name == seen else 0.1 for name in IMAGE_CHECK_CLASSES[1:])]


# Property, a value at its limit and one beyond it, and the flag of the latter.
LIMIT_OF_EACH_FLAG: list[tuple[str, float, float, str]] = [
    ("structure", 0.05, 0.0499, "blank"),
    ("fraction", 0.15, 0.1499, "lungs_too_small"),
    ("fraction", 0.8, 0.8001, "lungs_too_large"),
    ("solidity", 0.7, 0.6999, "lung_outline_doubtful"),
    ("mask_confidence", 0.75, 0.7499, "lung_outline_doubtful"),
    ("lungs_in_frame", 0.8, 0.7999, "alignment_doubtful"),
    ("ratio", 0.45, 0.4499, "asymmetric_lungs"),
    ("tilt_deg", 20.0, 20.01, "tilted"),
    ("tilt_deg", -20.0, -20.01, "tilted"),
    ("slant_deg", 20.0, 20.01, "tilted"),
    ("slant_deg", -20.0, -20.01, "tilted"),
    ("cut_top", False, True, "apex_clipped"),
    ("cut_bottom", False, True, "base_clipped"),
    ("cut_side", False, True, "side_clipped"),
    ("grain", 0.12, 0.1201, "underexposed"),
    ("burnt_out", 0.2, 0.2001, "overexposed"),
    ("contrast", 0.05, 0.0499, "low_contrast"),
    ("image_pixels", 400, 399, "low_resolution"),
    ("grade_confidence", 0.42, 0.4199, "low_confidence"),
    ("in_a_row", 3, 4, "several_images"),
    ("corner_lean_deg", 40.0, 40.1, "leaning"),
    ("seam", 0.45, 0.4501, "several_images"),
    ("gap", 0.004, 0.0041, "several_images"),
    ("gap", 0.004, 0.1201, "part_missing"),
    ("repeated", 0.15, 0.1501, "several_images"),
    ("still", 0.15, 0.1501, "part_missing"),
    ("noise", 0.12, 0.1201, "part_missing"),
    ("upside_down", 0.12, 0.1201, "rotated"),
    ("on_side", 0.4, 0.4001, "rotated"),
]


@pytest.mark.parametrize(("name", "at_limit", "beyond", "code"), LIMIT_OF_EACH_FLAG)
def test_a_flag_is_raised_beyond_its_limit_and_not_at_it(name: str, at_limit: float, beyond: float, code: str) -> None:
    assert flags_of(**{name: at_limit}) == []
    assert flags_of(**{name: beyond}) == [code]


def test_what_was_not_measured_is_no_reason_to_warn() -> None:
    measures = {
        name: value
        for name, value in GOOD_MEASURES.items()
        if name not in ("lungs_in_frame", "tilt_deg", "grade_confidence")
    }
    assert find_flags(measures, GOOD_SHAPE, None, (), LIMITS) == []


def test_several_warnings_come_in_a_fixed_order_and_a_refusal_comes_alone() -> None:
    notes = ("window_ignored", "side_not_verified", "polarity_corrected", "colour_converted")
    warned = ["lungs_too_small", "underexposed", "polarity_corrected", "side_not_verified", "window_ignored"]
    assert flags_of(notes=notes, fraction=0.1, grain=0.5) == warned
    assert flags_of(notes=notes, fraction=0.1, grain=0.5, in_a_row=5) == ["several_images"]


def test_too_little_lung_is_no_lung_or_an_inverted_image() -> None:
    assert flags_of(fraction=0.04) == ["lungs_too_small"]
    assert flags_of(fraction=0.0399) == ["lungs_not_found"]
    assert flags_of(fraction=0.0399, chest_likeness=-0.38) == ["lungs_not_found"]
    assert flags_of(fraction=0.0399, chest_likeness=-0.3801) == ["inverted"]
    assert find_flags(GOOD_MEASURES, None, None, (), LIMITS) == ["lungs_not_found"]
    assert find_flags(GOOD_MEASURES | {"chest_likeness": -0.5}, None, None, (), LIMITS) == ["inverted"]


@pytest.mark.parametrize("sign", [1, -1])
def test_lungs_that_slope_too_much_lean_and_those_on_their_side_are_rotated(sign: int) -> None:
    assert flags_of(slant_deg=sign * 42.0) == ["tilted"]
    assert flags_of(slant_deg=sign * 42.01) == ["leaning"]
    assert flags_of(slant_deg=sign * 88.0) == ["rotated"]


def test_slope_and_long_axes_that_agree_need_less_to_lean() -> None:
    assert flags_of(slant_deg=29.0, axis_deg=31.0) == ["tilted"]
    assert flags_of(slant_deg=29.0, axis_deg=31.5) == ["leaning"]
    assert flags_of(slant_deg=30.0, axis_deg=-50.0) == ["tilted"]


@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right"])
def test_lungs_that_end_at_a_dark_band_are_cut(edge: str) -> None:
    assert flags_of(notes=(f"dark_at_{edge}",), **{f"{edge}_share": 0.35}) == []
    assert flags_of(notes=(f"dark_at_{edge}",), **{f"{edge}_share": 0.3501}) == ["part_missing"]
    assert flags_of(notes=(f"cut_at_{edge}",), **{f"{edge}_share": 0.05}) == []
    assert flags_of(notes=(f"cut_at_{edge}",), **{f"{edge}_share": 0.0501}) == ["part_missing"]
    assert flags_of(**{f"{edge}_share": 0.4}) == []
    assert flags_of(notes=("part_missing",)) == ["part_missing"]


def test_a_long_page_needs_less_of_a_seam() -> None:
    assert flags_of(seam=0.31, page_shape=1.7) == []
    assert flags_of(seam=0.31, page_shape=1.71) == ["several_images"]


def test_a_seam_is_of_a_damaged_image_where_the_check_says_so() -> None:
    check = check_of("part_missing", 0.9)
    assert flags_of(check, seam=0.5) == ["part_missing"]
    assert flags_of(check[:6], seam=0.5) == ["several_images"]


def test_what_the_pixels_show_is_named_before_what_the_check_takes_it_for() -> None:
    assert flags_of(check_of("rotated_90", 0.1), gap=0.02) == ["several_images"]
    assert flags_of(check_of("leaning", 0.1)) == ["leaning"]
    assert flags_of(check_of("several_images", 0.1)) == ["several_images"]
    assert flags_of(check_of("part_missing", 0.1)) == ["part_missing"]


@pytest.mark.parametrize(("edge", "code"), [("top_share", "apex_missing"), ("bottom_share", "base_missing")])
def test_low_lungs_that_fill_an_edge_lack_a_part(edge: str, code: str) -> None:
    other = {"top_share": "bottom_share", "bottom_share": "top_share"}[edge]
    assert flags_of(height=0.5, **{edge: 0.5, other: 0.4}) == []
    assert flags_of(height=0.5, **{edge: 0.51, other: 0.4}) == [code]
    assert flags_of(height=0.56, **{edge: 0.51, other: 0.4}) == []
    assert flags_of(height=0.5, top_share=0.6, bottom_share=0.6) == ["base_missing"]


def test_an_inverted_image_is_told_by_likeness_and_contrast_together() -> None:
    assert flags_of(chest_likeness=-0.5, contrast=0.12) == []
    assert flags_of(chest_likeness=-0.5, contrast=0.11) == ["inverted"]
    assert flags_of(chest_likeness=-0.5, contrast=0.11, on_side=0.5) == ["inverted"]
    assert flags_of(chest_likeness=0.1, contrast=-0.6, upside_down=-0.1) == ["inverted"]


def test_what_looks_both_inverted_and_upside_down_is_what_it_resembles_more() -> None:
    both = {"chest_likeness": -0.5, "contrast": 0.1}
    assert flags_of(**both, upside_down=0.99) == ["inverted"]
    assert flags_of(**both, upside_down=1.0) == ["rotated"]


def test_one_blob_says_nothing_of_how_the_lungs_are_arranged() -> None:
    assert flags_of(on_side=0.3, one_sided=False) == []
    assert flags_of(on_side=0.3, one_sided=True) == ["rotated"]
    assert flags_of(on_side=0.0, one_sided=True) == []


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ("rotated_90", "rotated"),
        ("rotated_180", "rotated"),
        ("rotated_270", "rotated"),
        ("inverted", "inverted"),
        ("no_chest", "not_frontal_chest"),
    ],
)
def test_the_image_check_refuses_below_its_limit_and_warns_up_to_another(seen: str, code: str) -> None:
    unclear = {"upright": 0.2499}  # else lungs as clear as these overrule "no chest"
    assert flags_of(check_of(seen, 0.1999), **unclear) == [code]
    assert flags_of(check_of(seen, 0.2), **unclear) == ["doubtful_image"]
    assert flags_of(check_of(seen, 0.7999), **unclear) == ["doubtful_image"]
    assert flags_of(check_of(seen, 0.8), **unclear) == []


@pytest.mark.parametrize(
    ("name", "at_limit", "beyond"),
    [
        ("fraction", 0.05, 0.0499),
        ("upright", 0.25, 0.2499),
        ("mask_confidence", 0.8, 0.7999),
        ("chest_likeness", 0.0, -0.0001),  # with the contrast of .2
    ],
)
def test_lungs_must_be_clear_in_every_way_to_overrule_no_chest(name: str, at_limit: float, beyond: float) -> None:
    no_chest = check_of("no_chest", 0.01)
    assert "doubtful_image" in flags_of(no_chest, **{name: at_limit})
    assert flags_of(no_chest, **{name: beyond}) == ["not_frontal_chest"]
    assert find_flags(GOOD_MEASURES, None, np.array(no_chest), (), LIMITS) == ["not_frontal_chest"]


def test_clear_lungs_overrule_no_other_class_of_the_check() -> None:
    assert flags_of(check_of("inverted", 0.01)) == ["inverted"]


@pytest.mark.parametrize("weak", [{"upside_down": 0.5}, {"on_side": 0.9}, {"chest_likeness": -0.9}])
def test_a_sure_check_overrules_the_three_weak_limits(weak: dict[str, float]) -> None:
    assert flags_of([0.95, 0.05, 0, 0, 0, 0], **weak) == []
    assert len(flags_of([0.9499, 0.05, 0, 0, 0, 0], **weak)) == 1


def test_a_pixel_is_lung_from_a_probability_of_one_half_on() -> None:
    case = make_chest(size_px=256)
    half = case.lungs.astype(np.float32)[None, None] * np.float32(0.5)
    assert case.judge(lung_mask=half).measures["mask_confidence"] == 0.5


def test_an_output_of_another_length_is_no_image_check() -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    quality = case.judge(image_check=np.array([[0.0, 1.0]], np.float32))
    assert quality.verdict == "ok"
    assert "frontal_probability" not in quality.measures


@pytest.mark.parametrize(
    ("notes", "verdict"),
    [((), "ok"), (("side_not_verified",), "ok"), (("polarity_doubtful", "side_not_verified"), "warn")],
)
def test_the_verdict_is_that_of_the_most_serious_flag(notes: tuple[str, ...], verdict: str) -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    assert case.judge(notes=notes).verdict == verdict


def test_measures_are_rounded_to_four_digits() -> None:
    measures = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6).judge(image_check=SURE).measures
    assert all(value == round(value, 4) for value in measures.values())
    assert any(value != round(value, 3) for value in measures.values())
    assert measures["frontal_probability"] == 0.97
    assert measures["mask_confidence"] == 0.96


def test_a_good_radiograph_passes_without_a_word() -> None:
    quality = make_chest(options=PhantomOptions(plain=True), grades=(0, 1, 0, 0, 1, 1)).judge()
    assert quality.verdict == "ok", quality.flags
    assert quality.flags == ()
    assert 0.2 < quality.measures["lung_fraction"] < 0.6
    assert quality.measures["lung_parts"] == 2


@pytest.mark.parametrize("seed", range(12))
def test_chests_of_all_kinds_of_patients_are_scored(seed: int) -> None:
    assert make_chest(seed, size_px=384).judge().verdict != "refused"


@pytest.mark.parametrize("seed", range(8))
def test_white_lungs_are_severe_and_not_refused(seed: int) -> None:
    assert make_chest(seed, grades=(3,) * 6, size_px=384).judge().verdict != "refused"


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("seed", [1, 4, 7])
def test_a_radiograph_that_lies_wrong_is_refused(name: str, seed: int) -> None:
    turn, code = WRONG[name]
    quality = make_chest(seed, turn, grades=(1, 2, 1, 0, 1, 2), size_px=384).judge()
    assert quality.verdict == "refused"
    assert codes(quality) == {code}


@pytest.mark.parametrize("seed", [1, 4, 7])
def test_an_inverted_radiograph_is_refused(seed: int) -> None:
    radiograph = make_phantom(seed, grades=(1, 0, 1, 0, 1, 2), size_px=384, options=PhantomOptions(plain=True))
    quality = make_case(1 - radiograph.pixels, radiograph.lung_mask).judge()
    assert codes(quality) == {"inverted"}


@pytest.mark.parametrize("kind", NON_CHEST_KINDS)
def test_radiographs_without_lungs_are_refused(kind: str) -> None:
    for seed in range(3):
        assert make_case(make_non_chest(kind, seed, 256)).judge().verdict == "refused"


@pytest.mark.parametrize("kind", ["constant", "noise"])
def test_blank_radiographs_are_refused_even_where_a_network_dreams_of_lungs(kind: str) -> None:
    dreamt = make_chest(size_px=256).lungs
    seed = next(s for s in range(20) if kind == "constant" or make_non_chest("noise", s, 64).std() > 0.06)
    pixels = make_non_chest(kind, seed, 256)
    if kind == "noise":
        pixels = np.random.default_rng(1).random((256, 256), dtype=np.float32)
    quality = Case(make_case(pixels).canvas, dreamt).judge()
    assert codes(quality) == {"blank"}


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ("rotated_90", "rotated"),
        ("rotated_180", "rotated"),
        ("rotated_270", "rotated"),
        ("inverted", "inverted"),
    ],
)
def test_the_network_own_check_refuses(seen: str, code: str) -> None:
    check = np.full((1, len(IMAGE_CHECK_CLASSES)), 0.01, np.float32)
    check[0, IMAGE_CHECK_CLASSES.index(seen)] = 0.95
    quality = make_chest(size_px=256).judge(image_check=check)
    assert (quality.verdict, codes(quality)) == ("refused", {code})
    assert quality.measures["frontal_probability"] == pytest.approx(0.01)


def test_no_chest_is_believed_unless_clear_lungs_are_in_sight() -> None:
    """A check knows only what it was trained on; lungs side by side are a better witness."""
    no_chest = np.array([[0.01, 0, 0, 0, 0, 0.99]], np.float32)
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    assert codes(case.judge(image_check=no_chest)) == {"doubtful_image"}
    little = np.zeros_like(case.lungs)
    little[60:70, 40:60] = little[60:70, 70:90] = 1
    one_blob = np.zeros_like(case.lungs)
    one_blob[30:90, 30:100] = 1
    for lungs in (little, one_blob):
        assert codes(replace(case, lungs=lungs).judge(image_check=no_chest)) == {"not_frontal_chest"}
    unsure = case.lungs.astype(np.float32)[None, None] * np.float32(0.6)
    assert codes(case.judge(image_check=no_chest, lung_mask=unsure)) == {"not_frontal_chest"}


def test_a_doubting_check_warns_and_a_sure_one_says_nothing() -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    doubting = np.array([[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]], np.float32)
    assert codes(case.judge(image_check=doubting)) == {"doubtful_image"}
    assert case.judge(image_check=SURE).verdict == "ok"


def test_a_sure_check_overrules_the_weak_likeness_and_not_the_lungs() -> None:
    strict = QualityLimits(polarity_refuse=1.0)
    case = make_chest(size_px=256)
    assert case.judge(limits=strict).verdict == "refused"
    assert case.judge(limits=strict, image_check=SURE).verdict != "refused"
    assert Case(case.canvas, np.zeros_like(case.lungs)).judge(image_check=SURE).verdict == "refused"


def test_a_refused_radiograph_has_one_reason_and_no_doubts_beside_it() -> None:
    quality = make_case(make_non_chest("hand", 1)).judge(notes=("side_not_verified",))
    assert len(quality.flags) == 1
    assert quality.flags[0].severity == "refuse"


def test_remarks_of_the_reading_become_words() -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    known = case.judge(notes=("side_not_verified", "colour_converted"))
    assert known.verdict == "ok", "who cannot know the side says so, but the image is as good"
    assert codes(known) == {"side_not_verified"}
    assert case.judge(notes=("polarity_corrected",)).verdict == "warn"


def test_lungs_cut_by_the_radiographs_edge_are_named() -> None:
    radiograph = make_phantom(3, size_px=(512, 512), options=PhantomOptions(plain=True))
    rows = np.nonzero((radiograph.lung_mask > 0).any(axis=1))[0]
    columns = np.nonzero((radiograph.lung_mask > 0).any(axis=0))[0]
    for part, code in (
        (np.s_[rows[0] + 50 :, :], "apex_clipped"),
        (np.s_[: rows[-1] - 60, :], "base_clipped"),
        (np.s_[:, columns[0] + 50 :], "side_clipped"),
    ):
        cut = Case(*_cut(radiograph.pixels[part], radiograph.lung_mask[part]))
        quality = cut.judge(image_check=SURE)
        assert code in codes(quality)
        assert quality.verdict == "warn"


def leaning(degrees: float) -> Turn:
    def turn(image: np.ndarray) -> np.ndarray:
        rows, columns = image.shape
        matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 0.7)
        return cv2.warpAffine(image, matrix, (columns, rows), flags=cv2.INTER_NEAREST)

    return turn


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_one_whole_upright_pair_of_lungs_is_refused_however_sure_the_check(seed: int) -> None:
    radiograph = make_phantom(seed, size_px=512)
    rows = np.nonzero(radiograph.lung_mask.any(axis=1))[0]
    cases: dict[str, Turn] = {
        "several_images": lambda image: np.hstack([image, image]),
        "leaning": leaning(45.0),
        "apex_missing": lambda image: image[int(rows[0] + 0.6 * np.ptp(rows)) :],
        "base_missing": lambda image: image[: int(rows[0] + 0.4 * np.ptp(rows))],
    }
    for code, turn in cases.items():
        assert codes(make_case(turn(radiograph.pixels), turn(radiograph.lung_mask)).judge(image_check=SURE)) == {code}


@pytest.mark.parametrize("seed", range(3))
def test_a_leaning_patient_and_a_little_missing_are_no_reason_to_refuse(seed: int) -> None:
    radiograph = make_phantom(seed, size_px=512)
    rows = np.nonzero(radiograph.lung_mask.any(axis=1))[0]
    for turn in (leaning(12.0), leaning(-12.0), lambda image: image[int(rows[0] + 0.1 * np.ptp(rows)) :]):
        assert (
            make_case(turn(radiograph.pixels), turn(radiograph.lung_mask)).judge(image_check=SURE).verdict != "refused"
        )


def test_what_disease_has_left_of_a_lung_does_not_lean() -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    rows, columns = (np.nonzero(case.lungs.any(axis=axis))[0] for axis in (1, 0))
    apex_alone = case.lungs.copy()
    apex_alone[int(rows[0] + 0.35 * np.ptp(rows)) :, : int(columns.mean())] = 0
    assert replace(case, lungs=apex_alone).judge(image_check=SURE).verdict == "warn"


def test_small_one_sided_and_ragged_lungs_are_doubted() -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    columns = np.nonzero(case.lungs.any(axis=0))[0]
    alone, half_gone = case.lungs.copy(), case.lungs.copy()
    alone[:, : int(columns.mean())] = 0
    half_gone[55:, : int(columns.mean())] = 0
    for lungs in (alone, half_gone):
        quality = replace(case, lungs=lungs).judge()
        assert "asymmetric_lungs" in codes(quality)
        assert quality.verdict == "warn", "a lung that is white all over is no reason to refuse"
    comb = case.lungs * (np.arange(MASK_PX)[:, None] % 8 < 5)
    comb[:, columns[6] : columns[12]] = case.lungs[:, columns[6] : columns[12]]
    assert "lung_outline_doubtful" in codes(replace(case, lungs=comb).judge())
    small = cv2.resize(case.lungs.astype(np.uint8), (72, 72), interpolation=cv2.INTER_NEAREST)
    shrunk = np.zeros_like(case.lungs)
    shrunk[28:100, 28:100] = small
    assert "lungs_too_small" in codes(replace(case, lungs=shrunk).judge())


def test_zones_beside_the_lungs_and_a_tilted_patient_are_noticed() -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    beside = np.array([[[0.4, 0.0, 0.6], [0.0, 0.4, 0.0]]], np.float32)
    assert "alignment_doubtful" in codes(case.judge(theta=beside))
    angle = np.deg2rad(25)
    turned = 1.2 * np.array([[[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]], np.float32)
    quality = case.judge(theta=turned)
    assert "tilted" in codes(quality)
    assert quality.measures["tilt_deg"] == pytest.approx(25, abs=0.1)
    assert "alignment_doubtful" in codes(case.judge(theta=np.zeros((1, 2, 3), np.float32)))


def test_a_grainy_a_burnt_out_and_a_small_radiograph_are_doubted() -> None:
    radiograph = make_phantom(5, grades=(0,) * 6, options=PhantomOptions(plain=True))
    grain = np.random.default_rng(2).normal(0, 0.2, radiograph.pixels.shape).astype(np.float32)
    assert "underexposed" in codes(make_case(np.clip(radiograph.pixels + grain, 0, 1), radiograph.lung_mask).judge())
    burnt = np.where(
        (radiograph.lung_mask > 0) & (radiograph.pixels < np.median(radiograph.pixels[radiograph.lung_mask > 0])),
        0,
        radiograph.pixels,
    )
    case = make_case(radiograph.pixels, radiograph.lung_mask)
    canvas = to_canvas(Radiograph(Brightness(burnt), ImageInfo(), (0, 0, *burnt.shape)))
    flat = Canvas(canvas.pixels * 0 + _squash(burnt), case.canvas.frame)
    assert "overexposed" in codes(Case(flat, case.lungs).judge())
    assert "low_resolution" in codes(make_chest(size_px=200).judge())


def test_unsure_grades_are_said() -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    unsure = np.full((1, 6, 4), 0.25, np.float32)
    assert "low_confidence" in codes(case.judge(**{"probabilities.brixia": unsure}))
    sure = np.tile(np.array([0.9, 0.1, 0, 0], np.float32), (1, 6, 1))
    assert case.judge(**{"probabilities.brixia": sure}).verdict == "ok"


def test_broken_outputs_are_refused_and_never_scored() -> None:
    case = make_chest(size_px=256)
    nothing = np.full((1, 1, MASK_PX, MASK_PX), np.nan, np.float32)
    assert case.judge(lung_mask=nothing).verdict == "refused"


def test_limits_come_from_the_bundle_and_mistakes_in_them_are_named(tmp_path: Path) -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    assert "lungs_too_small" in codes(case.judge(limits=QualityLimits(lung_fraction_warn=0.9)))
    path = tmp_path / "limits.yaml"
    path.write_text("lung_fraction: 0.3\n")
    with pytest.raises(ConfigError, match="lung_fraction: unknown key"):
        load_model(QualityLimits, path)
    with pytest.raises(ValidationError):
        QualityLimits(frontal_refuse=1.5)


def test_every_flag_speaks_in_whole_sentences() -> None:
    case = make_chest(options=PhantomOptions(plain=True), grades=(0,) * 6)
    strict = QualityLimits(lung_fraction_warn=1.0, ratio_warn=1.0, solidity_warn=1.0, contrast_warn=1.0, grain_warn=0.0)
    flags = case.judge(limits=strict).flags
    assert len(flags) >= 5
    for flag in flags:
        assert flag.message[0].isupper()
        assert flag.message.endswith(".")
        assert flag.code in FLAG_CODES


@pytest.mark.shared
@pytest.mark.slow
def test_real_radiographs_pass_with_human_lungs_and_are_refused_when_turned(shared_dir: Path) -> None:
    folder = shared_dir / "cxr" / "lung-masks"
    with (folder / "index.csv").open(encoding="utf-8") as file:
        stems = [row["stem"] for row in csv.DictReader(file)][::16]
    passed = caught = 0
    for stem in stems:
        radiograph = read_radiograph(folder / "images" / f"{stem}.jpg")
        lungs = cv2.imread(str(folder / "masks" / f"{stem}.png"), cv2.IMREAD_GRAYSCALE)
        passed += make_case(radiograph.pixels, lungs).judge().verdict != "refused"
        for turn, _ in WRONG.values():
            caught += make_case(turn(radiograph.pixels), turn(lungs)).judge().verdict == "refused"
    assert passed == len(stems)
    assert caught >= 0.99 * 3 * len(stems)


def _cut(pixels: np.ndarray, lungs: np.ndarray) -> tuple[Canvas, np.ndarray]:
    """An image cropped hard, without a search for borders."""
    rows, columns = pixels.shape
    canvas = to_canvas(Radiograph(Brightness(pixels), ImageInfo(rows=rows, columns=columns), (0, 0, rows, columns)))
    frame: CanvasFrame = canvas.frame
    ratio = MASK_PX / frame.size_px
    matrix = np.array([[frame.scale, 0, frame.offset_px[0]], [0, frame.scale, frame.offset_px[1]]]) * ratio
    mask = cv2.warpAffine((lungs > 0).astype(np.uint8), matrix, (MASK_PX, MASK_PX), flags=cv2.INTER_NEAREST)
    return canvas, mask


def _squash(pixels: np.ndarray) -> np.ndarray:
    side = 512
    frame = to_canvas(Radiograph(Brightness(pixels), ImageInfo(), (0, 0, *pixels.shape))).frame
    matrix = np.array([[frame.scale, 0, frame.offset_px[0]], [0, frame.scale, frame.offset_px[1]]])
    return cv2.warpAffine(pixels.astype(np.float32), matrix, (side, side), flags=cv2.INTER_NEAREST)
