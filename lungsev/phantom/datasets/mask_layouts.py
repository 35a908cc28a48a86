"""Layouts of datasets with lung masks: plain pairs, V7's polygons, Montgomery, Shenzhen, JSRT."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.phantom.datasets.cohort import CohortRadiograph, Draw
from lungsev.phantom.datasets.files import make_folders, write_table
from lungsev.phantom.dicom_writer import phantom_uid
from lungsev.phantom.picture_writer import write_phantom_jpeg, write_phantom_png, write_picture
from lungsev.phantom.radiograph import PhantomRadiograph

Mask = npt.NDArray[np.uint8]
_JSRT_FULL_SCALE = 4095
_JSRT_MASK_PX = 1024


def write_lungs(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write `images/`, `masks/` (0 background, 1 patient's right lung, 2 left lung) and an index of patients."""
    images, masks = make_folders(out, "images", "masks")
    rows = []
    for planned in cohort:
        radiograph, stem = draw(planned), f"{phantom_uid('lungs', planned.exposure_seed)[5:15]}"
        write_phantom_jpeg(radiograph, images / f"{stem}.jpg")
        write_picture(masks / f"{stem}.png", radiograph.lung_mask)
        rows.append((stem, f"P{planned.patient + 1:03d}", "AP", "COVID-19" if sum(planned.truth) else "No finding"))
    write_table(out / "index.csv", ("stem", "patient", "view", "finding"), rows)


def write_v7(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write `images/` and one Darwin JSON with lung polygons per image."""
    images, annotations = make_folders(out, "images", "annotations")
    for planned in cohort:
        radiograph, name = draw(planned), f"{planned.index + 1:04d}.jpg"
        write_phantom_jpeg(radiograph, images / name)
        rows, columns = radiograph.lung_mask.shape
        lungs = [{"name": "Lung", "polygon": {"path": _polygon(radiograph.lung_mask == side)}} for side in (1, 2)]
        tags = [{"name": f"Patient {planned.patient + 1}", "tag": {}}, {"name": "View: AP", "tag": {}}]
        image = {"filename": name, "original_filename": name, "width": columns, "height": rows}
        document = {"dataset": "synthetic images", "image": image, "annotations": [*lungs, *tags]}
        (annotations / f"{planned.index + 1:04d}.json").write_text(json.dumps(document), encoding="utf-8")


def write_montgomery(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write `CXR_png/` and a mask per lung, without the heart."""
    images, left, right = make_folders(out, "CXR_png", "ManualMask/leftMask", "ManualMask/rightMask")
    for planned in cohort:
        radiograph, name = draw(planned), f"MCUCXR_{planned.index + 1:04d}_{int(sum(planned.truth) > 0)}.png"
        write_phantom_png(radiograph, images / name)
        for folder, side in ((right, 1), (left, 2)):
            write_picture(folder / name, _without_heart(radiograph, side) * np.uint8(255))


def write_shenzhen(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write `CXR_png/` and `mask/<name>_mask.png` with both lungs, without the heart."""
    images, masks = make_folders(out, "CXR_png", "mask")
    for planned in cohort:
        radiograph, stem = draw(planned), f"CHNCXR_{planned.index + 1:04d}_{int(sum(planned.truth) > 0)}"
        write_phantom_png(radiograph, images / f"{stem}.png")
        both = _without_heart(radiograph, 1) | _without_heart(radiograph, 2)
        write_picture(masks / f"{stem}_mask.png", both * np.uint8(255))


def write_jsrt(out: Path, cohort: tuple[CohortRadiograph, ...], draw: Draw) -> None:
    """Write raw big-endian images (12 bits in 16, bone dark) and the SCR masks as GIF in two folds."""
    for planned in cohort:
        radiograph, stem = draw(planned), f"JPCLN{planned.index + 1:03d}"
        stored = np.round((1.0 - radiograph.pixels) * _JSRT_FULL_SCALE).astype(">u2")
        (out / f"{stem}.IMG").write_bytes(stored.tobytes())
        fold = f"fold{1 + planned.index % 2}"
        for side, label in (("right lung", 1), ("left lung", 2)):
            (folder,) = make_folders(out, f"{fold}/masks/{side}")
            mask = cv2.resize(
                _without_heart(radiograph, label), (_JSRT_MASK_PX, _JSRT_MASK_PX), interpolation=cv2.INTER_NEAREST
            )
            (folder / f"{stem}.gif").write_bytes(encode_gif(np.asarray(mask, dtype=np.uint8)))


def encode_gif(mask: Mask) -> bytes:
    """Encode a 0/1 mask as a black and white GIF.

    OpenCV writes GIF only since 4.11, so it is written here without compression: a clear code before the code table
    needs more than 8 bits keeps every pixel one byte (GIF89a, appendix F).
    """
    rows, columns = mask.shape
    bits, run = 7, 120
    clear, end = 1 << bits, (1 << bits) + 1
    palette = bytearray(3 * (1 << bits))
    palette[3:6] = b"\xff\xff\xff"
    size = columns.to_bytes(2, "little") + rows.to_bytes(2, "little")
    pixels = (mask > 0).astype(np.uint8).tobytes()
    codes = b"".join(bytes([clear]) + pixels[i : i + run] for i in range(0, len(pixels), run)) + bytes([end])
    blocks = b"".join(bytes([len(part)]) + part for part in (codes[i : i + 255] for i in range(0, len(codes), 255)))
    screen = b"GIF87a" + size + bytes([0x80 | (bits - 1) << 4 | (bits - 1), 0, 0]) + bytes(palette)
    return screen + b"," + b"\0\0\0\0" + size + b"\0" + bytes([bits]) + blocks + b"\0;"


def _without_heart(radiograph: PhantomRadiograph, side: int) -> Mask:
    return ((radiograph.lung_mask == side) & (radiograph.heart_mask == 0)).astype(np.uint8)


def _polygon(mask: npt.NDArray[np.bool_]) -> list[dict[str, int]]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return []
    longest = max(contours, key=cv2.contourArea)
    return [{"x": int(point[0][0]), "y": int(point[0][1])} for point in longest]
