"""From attenuation to an image: beam, scatter, noise, the unit's processing, collimation and letters."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungsev.phantom.canvas import FloatImage, blur
from lungsev.phantom.lettering import draw_text, text_width

_AIR = 0.25  # processed signal of the direct beam beside a chest, with what scatter adds


@dataclass(frozen=True)
class Exposure:
    """Parameters of one exposure and its processing.

    Attributes:
        scatter: Scattered over direct radiation behind the patient.
        heel_x, heel_y: Relative fall of the beam from edge to edge.
        noise: Deviation of the log signal behind the lungs.
        lung_grey, dense_grey: Brightness the processing gives healthy lungs and the tissue around them.
        flatten: Share of the coarse structure that the unit's processing removes.
        sharpen: Gain of fine structure.
        blur_cm: Focus and motion.
        seed: Of the grain.
    """

    scatter: float
    heel_x: float
    heel_y: float
    noise: float
    lung_grey: float
    dense_grey: float
    flatten: float
    sharpen: float
    blur_cm: float
    seed: int


def draw_exposure(rng: np.random.Generator) -> Exposure:
    """Draw the parameters of one exposure of a portable unit."""
    return Exposure(
        scatter=float(rng.uniform(0.15, 0.75)),
        heel_x=float(rng.normal(0, 0.12)),
        heel_y=float(rng.normal(0, 0.14)),
        noise=float(rng.uniform(0.006, 0.026)),
        lung_grey=float(np.clip(rng.normal(0.27, 0.08), 0.1, 0.48)),
        dense_grey=float(np.clip(rng.normal(0.83, 0.055), 0.7, 0.94)),
        flatten=float(rng.uniform(0.05, 0.4)),
        sharpen=float(rng.uniform(0.2, 1.1)),
        blur_cm=float(rng.uniform(0.02, 0.07)),
        seed=int(rng.integers(2**31)),
    )


def expose(attenuation: FloatImage, px_per_cm: float, exposure: Exposure) -> FloatImage:
    """Return the detector's signal after processing, bone bright, before the tone curve.

    Args:
        attenuation: Line integrals, float32 [rows, columns], 0 in air.
        px_per_cm: Scale of the image.
        exposure: Parameters of the exposure.
    """
    rows, columns = attenuation.shape
    direct = np.exp(-attenuation)
    tilt_x = np.linspace(-0.5, 0.5, columns, dtype=np.float32)[None, :] * np.float32(exposure.heel_x)
    tilt_y = np.linspace(-0.5, 0.5, rows, dtype=np.float32)[:, None] * np.float32(exposure.heel_y)
    # Only tissue scatters: scatter from open air would fog the lungs from outside.
    source = direct * np.clip(attenuation, 0, 1)
    signal = (direct + blur(source, 4.0 * px_per_cm) * np.float32(exposure.scatter)) * (1 + tilt_x) * (1 + tilt_y)
    signal = blur(signal, exposure.blur_cm * px_per_cm)
    coarse = blur(signal, 2.2 * px_per_cm)
    log = -np.log(np.maximum(signal, 1e-4))
    log_coarse = -np.log(np.maximum(coarse, 1e-4))
    fine = log - blur(log, 0.45 * px_per_cm)
    return log - np.float32(exposure.flatten) * (log_coarse - log_coarse.mean()) + np.float32(exposure.sharpen) * fine


def add_grain(signal: FloatImage, exposure: Exposure) -> FloatImage:
    """Add quantum noise, which grows behind dense parts, where few quanta arrive."""
    rng = np.random.default_rng([exposure.seed, 41])
    grain = rng.standard_normal(signal.shape, dtype=np.float32)
    if min(signal.shape) > 700:
        grain = cv2.GaussianBlur(grain, (0, 0), 0.7) * np.float32(1.9)
    return signal + grain * np.float32(exposure.noise) * np.exp(np.clip(signal, 0, 4.5) * np.float32(0.32))


@dataclass(frozen=True)
class ToneCurve:
    """Sigmoid from processed signal to brightness: `centre` becomes 0.5, `black` and all below it 0."""

    centre: float
    slope: float
    black: float


def tone_curve(healthy: FloatImage, lungs: FloatImage, px_per_cm: float, exposure: Exposure) -> ToneCurve:
    """Return the curve that a unit's automatic windowing chooses from the histogram it expects of a chest.

    Args:
        healthy: Attenuation of the chest without disease.
        lungs: Share 0-1 of each pixel inside the lungs.
        px_per_cm: Scale of both.
        exposure: Parameters of the exposure.
    """
    signal = expose(healthy, px_per_cm, exposure)
    inside, outside = signal[lungs > 0.9], signal[(lungs < 0.1) & (healthy > 2.0)]
    if inside.size < 16 or outside.size < 16:
        return ToneCurve(float(np.median(signal)), 2.0, _AIR)
    dark, bright = float(np.percentile(inside, 20)), float(np.percentile(outside, 72))
    low, high = _logit(exposure.lung_grey), _logit(exposure.dense_grey)
    slope = (high - low) / max(bright - dark, 0.2)
    return ToneCurve(dark - low / slope, slope, _AIR)


def tone(signal: FloatImage, curve: ToneCurve) -> FloatImage:
    """Map the signal to brightness 0-1."""
    scaled = (signal - np.float32(curve.centre)) * np.float32(curve.slope)
    grey = 1 / (1 + np.exp(-np.clip(scaled, -12, 12)))
    black = 1 / (1 + np.exp(np.clip(curve.slope * (curve.centre - curve.black), -12, 12)))
    return ((grey - np.float32(black)) / np.float32(1 - black)).astype(np.float32)


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


@dataclass(frozen=True)
class Finish:
    """Collimation and letters.

    Attributes:
        collimated: Share of each image edge the shutters cover: top, bottom, left, right.
        shutter_value: Brightness under the shutters (0 black; near 1 where a unit leaves them unexposed).
        shutter_turn_deg: Angle of the shutters to the image.
        side_letter: Lead letter on its side of the image, "" for none.
        words: Burned-in lines of text.
        letters_top: Whether letters are at the image's top.
        letter_height: As a share of the image's longer side.
    """

    collimated: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    shutter_value: float = 0.0
    shutter_turn_deg: float = 0.0
    side_letter: str = "L"
    words: tuple[str, ...] = ()
    letters_top: bool = True
    letter_height: float = 0.03


def draw_finish(rng: np.random.Generator) -> Finish:
    """Draw collimation and letters as they are on portable images."""
    collimated = tuple(float(rng.uniform(0.01, 0.07)) if rng.random() < 0.45 else 0.0 for _ in range(4))
    wording = (("AP", "MOBILE"), ("AP ERECT",), ("PORTABLE", "AP"), ("SUPINE",), ("AP", "SEMI ERECT"), ("BED 12",))
    return Finish(
        collimated=(collimated[0], collimated[1], collimated[2], collimated[3]),
        shutter_value=float(rng.choice((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.97))),
        shutter_turn_deg=float(rng.normal(0, 1.2)) if rng.random() < 0.3 else 0.0,
        side_letter=str(rng.choice(("L", "R", "L", "R", ""))),
        words=wording[int(rng.integers(len(wording)))] if rng.random() < 0.45 else (),
        letters_top=bool(rng.random() < 0.8),
        letter_height=float(rng.uniform(0.022, 0.042)),
    )


def finish(pixels: FloatImage, plan: Finish) -> tuple[FloatImage, tuple[int, int, int, int]]:
    """Add shutters and letters to the image.

    Returns:
        The image, and (y0, x0, y1, x1) of the field that the shutters leave open.
    """
    rows, columns = pixels.shape
    pixels = pixels.copy()
    side = max(rows, columns)
    top, bottom, left, right = plan.collimated
    box = (round(top * rows), round(left * columns), rows - round(bottom * rows), columns - round(right * columns))
    for letter, is_side in ((plan.side_letter, True), *((word, False) for word in plan.words)):
        if is_side and letter:
            _side_letter(pixels, letter, plan, side)
    _words(pixels, plan, side)
    if any(plan.collimated):
        y0, x0, y1, x1 = box
        corners = cv2.boxPoints(
            (((x0 + x1) / 2, (y0 + y1) / 2), (float(x1 - x0), float(y1 - y0)), plan.shutter_turn_deg)
        )
        open_field = np.zeros(pixels.shape, np.uint8)
        cv2.fillPoly(open_field, [np.round(corners * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
        alpha = blur(open_field.astype(np.float32) * np.float32(1 / 255.0), side / 900)
        pixels = np.float32(plan.shutter_value) + (pixels - np.float32(plan.shutter_value)) * alpha
    return pixels, box


def _side_letter(pixels: FloatImage, letter: str, plan: Finish, side: int) -> None:
    rows, columns = pixels.shape
    height = side * plan.letter_height * 1.3
    x = columns * (0.88 if letter == "L" else 0.09)
    draw_text(pixels, letter, (x, rows * (0.09 if plan.letters_top else 0.82)), height, 0.99, bold=0.2)


def _words(pixels: FloatImage, plan: Finish, side: int) -> None:
    rows, columns = pixels.shape
    height = side * plan.letter_height * 0.7
    for index, word in enumerate(plan.words):
        x = columns * 0.9 - text_width(word, height) if plan.side_letter == "R" else columns * 0.1
        draw_text(pixels, word, (x, rows * 0.08 + index * height * 1.7), height, 0.97)
