"""Datasets of phantoms in the folder layouts of published datasets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.phantom.datasets import findings_layouts, graded_layouts, mask_layouts
from lungsev.phantom.datasets.cohort import CohortRadiograph, Draw, draw_cohort
from lungsev.phantom.radiograph import PhantomRadiograph

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Layout:
    """Folder layout of one published dataset.

    Attributes:
        write: Writes the images of a cohort and their tables into a folder.
        size_px: Longer side of its images, unless asked otherwise.
        fixed_size: The original has images of one size only.
        most_radiographs: Of one patient.
    """

    write: Callable[[Path, tuple[CohortRadiograph, ...], Draw], None]
    size_px: int | tuple[int, int] = 768
    fixed_size: bool = False
    most_radiographs: int = 5


_LAYOUTS: dict[str, _Layout] = {
    "brixia": _Layout(graded_layouts.write_brixia, 1024),
    "inha": _Layout(graded_layouts.write_inha),
    "cohen": _Layout(graded_layouts.write_cohen),
    "ralo": _Layout(graded_layouts.write_ralo),
    "severity": _Layout(graded_layouts.write_severity),
    "chexpert": _Layout(findings_layouts.write_chexpert),
    "mimic": _Layout(findings_layouts.write_mimic),
    "nih": _Layout(findings_layouts.write_nih),
    "padchest": _Layout(findings_layouts.write_padchest),
    "vindr": _Layout(findings_layouts.write_vindr),
    "lungs": _Layout(mask_layouts.write_lungs),
    "v7": _Layout(mask_layouts.write_v7),
    "montgomery": _Layout(mask_layouts.write_montgomery, most_radiographs=1),
    "shenzhen": _Layout(mask_layouts.write_shenzhen, most_radiographs=1),
    "jsrt": _Layout(mask_layouts.write_jsrt, (2048, 2048), fixed_size=True, most_radiographs=1),
}
LAYOUTS: tuple[str, ...] = tuple(_LAYOUTS)


def write_dataset(
    out: Path,
    layout: str,
    count: int,
    seed: int = 0,
    progress: Progress | None = None,
    size_px: int | None = None,
) -> None:
    """Write `count` images of invented patients in the folder layout of a published dataset.

    Args:
        out: New or empty folder.
        layout: One of LAYOUTS.
        count: Images.
        seed: The same seed gives the same dataset.
        progress: Called with (images written, images in all).
        size_px: Longer side of the images; None takes the layout's own.

    Raises:
        DatasetError: The layout is unknown, the count is not positive, the layout has a fixed size or the folder
            is not empty.
    """
    chosen = _LAYOUTS.get(layout)
    if chosen is None:
        raise DatasetError(f"found layout {layout!r}, expected one of {', '.join(_LAYOUTS)}")
    if count < 1:
        raise DatasetError(f"found a count of {count} images, expected at least 1")
    if size_px is not None and chosen.fixed_size:
        raise DatasetError(f"images of layout {layout} have a fixed size; leave the size out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} is not empty; give a new folder for the dataset")
    out.mkdir(parents=True, exist_ok=True)
    cohort = draw_cohort(count, seed, chosen.most_radiographs)
    done = 0

    def draw(planned: CohortRadiograph) -> PhantomRadiograph:
        nonlocal done
        radiograph = planned.draw(chosen.size_px if size_px is None else size_px)
        done += 1
        if progress is not None:
            progress(done, count)
        return radiograph

    chosen.write(out, cohort, draw)
