"""What a severity network sees of a canvas: the aligned crop, or the whole canvas with mask and theta for BS-Net."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.geometry import compose, invert, warp
from lungsev.networks.fused import COVERAGE_SAMPLES
from lungsev.networks.settings import SeveritySettings

Plane = npt.NDArray[np.float32]
Theta = npt.NDArray[np.float64]


def crop(canvas: Plane, theta: Theta, network: SeveritySettings) -> Plane:
    """Sample the aligned frame as the fused network does: float32 [crop_px, crop_px]."""
    return reduced(warp(canvas, theta, network.crop_px * network.oversample), network.crop_px)


def token_coverage(mask: npt.NDArray[np.uint8], theta: Theta, network: SeveritySettings) -> Plane:
    """Return the lungs' share of the cell of each token, as the fused network finds it: float32 [h, w]."""
    side = network.crop_px // network.stride
    return reduced(warp(mask.astype(np.float32) / 255, theta, side * COVERAGE_SAMPLES), side)


def moved_canvas(
    canvas: Plane, mask: npt.NDArray[np.uint8], theta: Theta, change: Theta | None, network: SeveritySettings
) -> tuple[Plane, Plane]:
    """Return canvas and lung mask as BS-Net gets them, after a change of the aligned frame.

    The content of the canvas moves and theta stays, so that the frame shows what `crop` shows of `theta` after
    `change`: canvas', seen through theta, is canvas seen through theta and change.

    Args:
        canvas: [S, S].
        mask: Lungs on the canvas, 0-255, [M, M].
        theta: [2, 3].
        change: A point of the changed frame to its place before, [2, 3]; None moves nothing.
        network: Its crop_px is the side at which the encoder sees the canvas.

    Returns:
        float32 [crop_px, crop_px] and [M, M], both 0-1.
    """
    lungs = mask.astype(np.float32) / np.float32(255)
    if change is not None:
        moved = compose(compose(theta, change), invert(theta))
        canvas, lungs = warp(canvas, moved, canvas.shape[0]), warp(lungs, moved, lungs.shape[0])
    return reduced(canvas, network.crop_px), lungs


def reduced(plane: Plane, side: int) -> Plane:
    """Resample a square plane by area to a smaller side; one of that side is returned as it is."""
    if plane.shape[0] == side:
        return plane
    return np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), np.float32)
