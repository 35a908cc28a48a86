"""Pictures that must be refused, made from real radiographs: leaning, several on one picture, a part missing.

Each function takes and returns a canvas: float32 [M, M], 0-1, or [M, M, 1 + K] with K masks behind the image. Masks
move with the image and are 0 where it is gone. What is drawn is laid out and its greys are normalised as a file of
the same picture would be (`lungsev.preprocessing.canvas`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.phantom import make_non_chest
from lungsev.preprocessing.canvas import normalise_greys

Planes = npt.NDArray[np.float32]

LEANING_DEG = (30.0, 60.0)
MISSING_SHARE = (0.22, 0.6)  # of the picture's height or width
_SMALLEST_PX = 8  # of a side, below which a picture is left as it is


def leaning(image: Planes, generator: np.random.Generator) -> Planes:
    """Turn a canvas by 30 to 60 degrees either way, now and then by a quarter turn or two more."""
    planes = _content(image)
    rows, columns = planes.shape[:2]
    degrees = generator.choice([-1.0, 1.0]) * generator.uniform(*LEANING_DEG)
    if generator.random() < 0.15:
        degrees += 90.0 * generator.integers(1, 4)
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, generator.uniform(1.0, 1.25))
    size = columns, rows
    if generator.random() < 0.5:  # the page grows, nothing is cut off
        cosine, sine = abs(np.cos(np.deg2rad(degrees))), abs(np.sin(np.deg2rad(degrees)))
        size = round(columns * cosine + rows * sine), round(columns * sine + rows * cosine)
        matrix[:, 2] += (size[0] - columns) / 2, (size[1] - rows) / 2
    border = cv2.BORDER_CONSTANT if generator.random() < 0.7 else cv2.BORDER_REPLICATE
    corner = float(generator.choice([0.0, 0.0, 0.0, 1.0, generator.random()]))
    turned = [
        cv2.warpAffine(
            np.ascontiguousarray(planes[..., plane]),
            matrix,
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT if plane else border,
            borderValue=0.0 if plane else corner,
        )
        for plane in range(planes.shape[2])
    ]
    return _laid_out(np.stack(turned, axis=-1), image)


def several_images(image: Planes, others: Sequence[Planes], generator: np.random.Generator) -> Planes:
    """Put two to four pictures on one: chests of one or several patients, or a frontal and a lateral image.

    Args:
        image: The first picture.
        others: Canvases like it that may stand beside it; without any it stands beside itself or a lateral image.
        generator: Draws the pictures and their places.
    """
    pictures = [_content(image), _partner(image, others, generator)]
    if generator.random() < 0.1:
        pictures += [_partner(image, others, generator) for _ in range(int(generator.integers(1, 3)))]
    if generator.random() < 0.3:  # each cut to its middle, so that the whole is no wider than one
        pictures = [_middle(picture, generator.uniform(0.6, 1.0)) for picture in pictures]
    order = generator.permutation(len(pictures))
    gap = 0.0 if generator.random() < 0.5 else generator.uniform(0.01, 0.1)
    grey = float(generator.choice([0.0, 0.0, 1.0, generator.random()]))
    beside = generator.random() < 0.6
    sizes = [1.0 if generator.random() < 0.7 else generator.uniform(0.5, 1.0) for _ in pictures]
    drawn = [_scaled_to(pictures[number], image.shape[0], beside, sizes[number]) for number in order]
    if len(drawn) == 4:
        halves = [_joined(drawn[:2], beside, gap, grey), _joined(drawn[2:], beside, gap, grey)]
        return _laid_out(_joined(halves, not beside, gap, grey), image)
    return _laid_out(_joined(drawn, beside, gap, grey), image)


def part_missing(image: Planes, generator: np.random.Generator) -> Planes:
    """Take away a fifth to three fifths of a canvas: flat, the last line or an earlier part again, displaced, coarse.

    The part is at the bottom, as a cut transmission leaves it, at the top, at a side, or a band in the middle.
    """
    planes = _content(image).copy()
    edge = int(generator.choice(4, p=[0.55, 0.15, 0.15, 0.15]))  # bottom, right, top, left
    turned = np.ascontiguousarray(np.rot90(planes, -edge))
    rows = turned.shape[0]
    first = rows - max(1, round(rows * generator.uniform(*MISSING_SHARE)))
    last = rows
    if generator.random() < 0.1:
        first = first // 2
        last = first + max(1, round(rows * generator.uniform(*MISSING_SHARE)))
    seen = turned[:first] if first >= _SMALLEST_PX else turned
    last = min(last, rows)
    fill = _FILLS[int(generator.choice(len(_FILLS), p=_FILL_SHARES))]
    turned[first:last, :, 0] = fill(seen[..., 0], turned[first:last, :, 0], generator)
    turned[first:last, :, 1:] = 0.0
    return _laid_out(np.rot90(turned, edge), image)


def _flat(seen: Planes, gone: Planes, generator: np.random.Generator) -> Planes:
    grey = generator.choice([0.0, 0.0, 0.5, 1.0, generator.random(), float(seen.mean())])
    return np.full_like(gone, grey)


def _last_line(seen: Planes, gone: Planes, generator: np.random.Generator) -> Planes:
    return np.broadcast_to(seen[-1:], gone.shape)


def _again(seen: Planes, gone: Planes, generator: np.random.Generator) -> Planes:
    period = max(1, round(len(gone) / generator.choice([1, 1, 2, 4])))
    source = seen[:period] if generator.random() < 0.5 else seen[-period:]
    return np.resize(source, gone.shape)


def _displaced(seen: Planes, gone: Planes, generator: np.random.Generator) -> Planes:
    width = gone.shape[1]
    shift = int(width * generator.uniform(0.2, 0.8))
    moved = np.roll(gone, shift, axis=1)
    if generator.random() < 0.5:
        moved[:, :shift] = generator.random()
    return moved


def _coarse(seen: Planes, gone: Planes, generator: np.random.Generator) -> Planes:
    """What a progressive JPEG shows of the part that has not come: blocks."""
    cells = (int(generator.integers(4, 12)), int(generator.integers(2, 6)))
    blocks = cv2.resize(gone, cells, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(blocks, gone.shape[::-1], interpolation=cv2.INTER_NEAREST), dtype=np.float32)


def _noise(seen: Planes, gone: Planes, generator: np.random.Generator) -> Planes:
    return generator.random(gone.shape, dtype=np.float32)


_FILLS: tuple[Callable[[Planes, Planes, np.random.Generator], Planes], ...] = (
    *(_flat, _last_line, _again),
    *(_displaced, _coarse, _noise),
)
_FILL_SHARES = (0.5, 0.15, 0.15, 0.1, 0.05, 0.05)


def _partner(image: Planes, others: Sequence[Planes], generator: np.random.Generator) -> Planes:
    kind = generator.random()
    if others and kind < 0.65:
        return _content(others[int(generator.integers(len(others)))])
    if kind < 0.75:
        return _content(image)
    lateral = make_non_chest("lateral", int(generator.integers(2**31)), 256)
    return np.concatenate(
        [lateral[..., None], np.zeros((*lateral.shape, _planes(image).shape[2] - 1), np.float32)], axis=2
    )


def _content(image: Planes) -> Planes:
    """[rows, columns, 1 + K] without the canvas's empty rows and columns."""
    planes = _planes(image)
    filled = planes[..., 0] > 0
    rows, columns = np.flatnonzero(filled.any(axis=1)), np.flatnonzero(filled.any(axis=0))
    if len(rows) < _SMALLEST_PX or len(columns) < _SMALLEST_PX:
        return planes
    return planes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _planes(image: Planes) -> Planes:
    return image if image.ndim == 3 else image[..., None]


def _middle(picture: Planes, share: float) -> Planes:
    width = picture.shape[1]
    cut = int(width * (1 - share) / 2)
    return picture[:, cut : width - cut]


def _scaled_to(picture: Planes, side_px: int, beside: bool, size: float) -> Planes:
    """Scaled so that pictures beside each other are of one height, others of one width; times `size`."""
    rows, columns = picture.shape[:2]
    scale = size * side_px / (rows if beside else columns)
    return _resized(picture, (max(1, round(columns * scale)), max(1, round(rows * scale))))


def _resized(planes: Planes, size_xy: tuple[int, int]) -> Planes:
    resized = [
        cv2.resize(np.ascontiguousarray(planes[..., plane]), size_xy, interpolation=cv2.INTER_AREA)
        for plane in range(planes.shape[2])
    ]
    return np.clip(np.stack(resized, axis=-1), 0.0, 1.0)


def _joined(pictures: Sequence[Planes], beside: bool, gap: float, grey: float) -> Planes:
    """In a row, or one above the other, with a gap that is a share of the common side."""
    upright = [picture if beside else picture.transpose(1, 0, 2) for picture in pictures]
    rows = max(picture.shape[0] for picture in upright)
    between = round(rows * gap)
    columns = sum(picture.shape[1] for picture in upright) + between * (len(upright) - 1)
    page = np.zeros((rows, columns, upright[0].shape[2]), np.float32)
    page[..., 0] = grey
    left = 0
    for picture in upright:
        page[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + between
    return page if beside else page.transpose(1, 0, 2)


def _laid_out(planes: Planes, like: Planes) -> Planes:
    """On a canvas of the side of `like`, without distortion, greys normalised."""
    side = like.shape[0]
    rows, columns = planes.shape[:2]
    scale = side / max(rows, columns)
    width, height = min(side, max(1, round(columns * scale))), min(side, max(1, round(rows * scale)))
    content = _resized(planes, (width, height))
    content[..., 0] = normalise_greys(content[..., 0])
    canvas = np.zeros((side, side, planes.shape[2]), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = content
    return canvas if like.ndim == 3 else canvas[..., 0]
