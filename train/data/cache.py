"""Images prepared once: canvases on disk, read through memory maps.

An entry is named by the hash of the image's bytes (and of its mask's), the preprocessing version and the
canvas size, so a changed image or a changed chain makes a new entry and an old one is never wrong. Canvases are
kept as uint16 (1/65535 of the grey range), half the size of float32 and finer than any image.

The cache holds pictures of patients: store it where the images themselves may be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import DatasetError, ImageError, LungsevError
from lungsev.geometry import CanvasFrame
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX, PREPROCESSING_VERSION, to_canvas
from lungsev.report import ImageInfo
from lungsev.system import write_atomically
from lungsev.train.console import track
from lungsev.train.data.datasets.contract import (
    FindingsImage,
    GradedImage,
    LabelledImage,
    MaskedImage,
    PlacedImage,
    PlaceMap,
)
from lungsev.train.data.planes import mask_to_canvas, places_to_canvas

Image = GradedImage | MaskedImage | LabelledImage | FindingsImage | PlacedImage
QUANTA = 65535.0
_SHARES, _UNKNOWN = 254, 255  # of a map of places, kept in bytes


@dataclass(frozen=True)
class CachedImage:
    """A prepared image on disk.

    Attributes:
        key: Name of the entry; equal images share it.
        notes: Remarks of the reading.
        info: What the file itself says of the image.
    """

    key: str
    canvas_path: Path
    mask_path: Path | None
    places_path: Path | None
    frame: CanvasFrame
    notes: tuple[str, ...]
    info: ImageInfo

    def canvas(self) -> npt.NDArray[np.float32]:
        """float32 [S, S], 0-1."""
        return np.load(self.canvas_path, mmap_mode="r").astype(np.float32) / np.float32(QUANTA)

    def mask(self) -> npt.NDArray[np.uint8]:
        """uint8 [S, S]: 0 background, 1 right lung, 2 left lung.

        Raises:
            ValueError: The image has no mask.
        """
        if self.mask_path is None:
            raise ValueError("this image was cached without a mask")
        return np.array(np.load(self.mask_path, mmap_mode="r"))

    def places(self) -> PlaceMap:
        """float32 [2, S, S] in the order of `contract.PLACES`: share of opacity, 0-1; NaN where it is unknown.

        Raises:
            ValueError: It is not known of the image where its opacity is.
        """
        if self.places_path is None:
            raise ValueError("this image was cached without a map of places")
        shares = np.load(self.places_path, mmap_mode="r")
        return np.where(shares == _UNKNOWN, np.nan, shares / np.float32(_SHARES)).astype(np.float32)


@dataclass(frozen=True)
class Prepared:
    """Images by name, and one sentence for each image that could not be read."""

    images: dict[str, CachedImage]
    unreadable: dict[str, str]


def prepare(images: Sequence[Image], cache: Path, size_px: int = CANVAS_SIZE_PX, workers: int = 1) -> Prepared:
    """Make what is missing of the cache, in parallel, and return where every image is.

    Killed at any moment it leaves whole entries only: each is written beside its place and moved there.
    """
    folder = cache / f"v{PREPROCESSING_VERSION}-{size_px}"
    folder.mkdir(parents=True, exist_ok=True)
    work = partial(prepare_one, folder=folder, size_px=size_px)
    ready: dict[str, CachedImage] = {}
    unreadable: dict[str, str] = {}
    results = track(_map(work, images, workers), "Preparing images", len(images))
    for image, result in zip(images, results, strict=True):
        if isinstance(result, CachedImage):
            ready[image.name] = result
        else:
            unreadable[image.name] = result
    return Prepared(ready, unreadable)


def demand_readable(prepared: Prepared, skip: bool) -> tuple[str, ...]:
    """Remarks on unreadable images when they may be skipped.

    Raises:
        DatasetError: There are some and they may not, or nothing is left.
    """
    if not prepared.unreadable:
        return ()
    name, reason = next(iter(prepared.unreadable.items()))
    count = len(prepared.unreadable)
    text = f"{count} image{'s' if count > 1 else ''} cannot be read, first {name}: {reason}"
    if not prepared.images:
        raise DatasetError(text)
    if not skip:
        raise DatasetError(f"{text}; repair or remove, or set data.skip_unreadable=true")
    return (text,)


def prepare_one(image: Image, folder: Path, size_px: int) -> CachedImage | str:
    """One entry, from the cache or made now; the reason when the image or its mask cannot be read."""
    try:
        key = _key(image)
        target = folder / key[:2] / key
        found = _load(target, key)
        return found if found is not None else _make(image, target, key, size_px)
    except (ImageError, DatasetError) as error:
        return str(error)
    except OSError as error:
        return f"{image.path.name}: {error.strerror or error}"


def _make(image: Image, target: Path, key: str, size_px: int) -> CachedImage:
    radiograph = image.read(image.path)
    canvas = to_canvas(radiograph, size_px)
    target.parent.mkdir(exist_ok=True)
    if isinstance(image, MaskedImage):
        mask = image.read_mask(image.mask_paths)
        _check_shapes(image, radiograph.pixels.shape, mask.shape)
        _save_array(_mask_path(target), mask_to_canvas(mask, canvas.frame))
    if isinstance(image, PlacedImage):
        places = places_to_canvas(image.places, canvas.frame)
        shares = np.where(np.isnan(places), _UNKNOWN, np.rint(np.nan_to_num(places) * _SHARES))
        _save_array(_places_path(target), shares.astype(np.uint8))
    _save_array(_canvas_path(target), np.rint(canvas.pixels * QUANTA).astype(np.uint16))
    meta = {"frame": asdict(canvas.frame), "notes": list(radiograph.notes), "info": _info(radiograph.image)}
    _replace(_meta_path(target), json.dumps(meta).encode())  # last: an entry with it is whole
    found = _load(target, key)
    if found is None:
        raise OSError(f"cache entry {target.name} vanished while it was written")
    return found


def _check_shapes(image: MaskedImage, image_shape: tuple[int, ...], mask_shape: tuple[int, ...]) -> None:
    ratio = (mask_shape[0] / image_shape[0]) / (mask_shape[1] / image_shape[1])
    if not 0.98 < ratio < 1.02:
        raise DatasetError(
            f"the mask of {image.name} is {mask_shape[1]} x {mask_shape[0]}, its image "
            f"{image_shape[1]} x {image_shape[0]}: they are not of one picture"
        )


def _key(image: Image) -> str:
    digest = hashlib.sha256(image.path.read_bytes())
    digest.update(image.read.__qualname__.encode())
    if isinstance(image, MaskedImage):
        digest.update(image.read_mask.__qualname__.encode())
        for path in image.mask_paths:
            digest.update(
                path.read_bytes() if path.is_file() else str(path).encode(errors="surrogateescape")
            )  # a member of a zip before it
    if isinstance(image, PlacedImage):
        digest.update(image.places.fingerprint())
    return digest.hexdigest()[:40]


def _load(target: Path, key: str) -> CachedImage | None:
    try:
        meta = json.loads(_meta_path(target).read_bytes())
        frame = CanvasFrame(**{**meta["frame"], "offset_px": tuple(meta["frame"]["offset_px"])})
        mask, places = _mask_path(target), _places_path(target)
        if _canvas_path(target).stat().st_size <= 2 * frame.size_px**2:
            return None  # cut short by a power cut or a full disk: made again
        return CachedImage(
            key=key,
            canvas_path=_canvas_path(target),
            mask_path=mask if mask.is_file() else None,
            places_path=places if places.is_file() else None,
            frame=frame,
            notes=tuple(meta["notes"]),
            info=ImageInfo(**meta["info"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, or written by a release that knew other fields: made again


def _info(info: ImageInfo) -> dict[str, Any]:
    """What training needs of the header; nothing that names a person."""
    return {"modality": info.modality, "view": info.view, "rows": info.rows, "columns": info.columns}


def _map(work: Any, images: Sequence[Image], workers: int) -> Iterable[CachedImage | str]:
    if workers <= 1 or len(images) < 2:
        yield from map(work, images)
        return
    # Forking a process that holds threads of torch or OpenCV can hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_single_thread) as pool:
        try:
            yield from pool.map(work, images, chunksize=4)
        except BrokenProcessPool:
            raise LungsevError(
                "a process that reads images died (killed, or memory ran out); start the same command again to "
                "continue with the images it had not read, with fewer processes: --set data.workers=1"
            ) from None


def _single_thread() -> None:
    cv2.setNumThreads(1)


def _canvas_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.canvas.npy")


def _mask_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.mask.npy")


def _places_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.places.npy")


def _meta_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _save_array(path: Path, array: npt.NDArray[Any]) -> None:
    import io

    buffer = io.BytesIO()
    np.save(buffer, array)
    _replace(path, buffer.getvalue())


def _replace(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise LungsevError(
            f"the cache of prepared images cannot be written in {path.parent}: {error.strerror or error}; make room, "
            "or name another folder with --set data.cache=DIR"
        ) from None
