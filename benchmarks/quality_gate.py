"""Refusals of the quality gate per kind of image, and the distribution of its measures.

    python benchmarks/quality_gate.py --shared ../shared --out benchmarks/quality_gate.md
    python benchmarks/quality_gate.py --shared ../shared --lungs human

Real chest radiographs must all pass; everything else must be refused. `--lungs network` (the default) asks a bundle
for the lungs and the image check; `--lungs human` takes the lungs that people outlined, or none, which
measures the limits without a network.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pydicom

from lungsev.bundle.archive import read_bundle
from lungsev.errors import ImageError
from lungsev.inference.select import open_backend
from lungsev.phantom import NON_CHEST_KINDS, make_non_chest, make_phantom
from lungsev.preprocessing.canvas import Canvas, to_canvas
from lungsev.quality.gate import assess_quality
from lungsev.quality.limits import QualityLimits
from lungsev.quality.measures import Outputs
from lungsev.reading.collimation import content_box
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import read_radiograph, read_radiograph_bytes
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo, Quality

Image = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]
MASK_PX = 128
# Body parts of the DICOM samples, told from their file names; their tags are taken out so that the image decides.
DICOM_KINDS = {"RG1": "chest", "966": "chest", "rsna": "chest", "RG2": "hip", "RG3": "lower leg"}
TAGS_TAKEN_OUT = (
    *("BodyPartExamined", "ViewPosition", "StudyDescription", "SeriesDescription", "ProtocolName"),
    *("AnatomicRegionSequence", "ViewCodeSequence"),
)
WRONG: dict[str, Callable[[npt.NDArray], npt.NDArray]] = {
    "turned 90": lambda image: np.rot90(image, -1),
    "turned 180": lambda image: np.rot90(image, 2),
    "turned 270": lambda image: np.rot90(image, 1),
    "upside down, mirrored": lambda image: image[::-1],
    "leaning by 45": lambda image: _leaning(image, 45.0),
    "twice on one picture": lambda image: np.hstack([image, image]),
}


@dataclass(frozen=True)
class Shown:
    """One image shown to the gate. `lungs` as people outlined them, None for an image without an outline."""

    kind: str
    is_chest: bool
    pixels: Image
    lungs: Labels | None = None
    notes: tuple[str, ...] = ()
    may_lack_lungs: bool = False


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder of real images")
    parser.add_argument("--lungs", choices=("network", "human"), default="network")
    parser.add_argument("--bundle", type=Path, help="bundle to ask; default: the packaged one")
    parser.add_argument("--every", type=int, default=1, help="turn and invert every n-th image only")
    parser.add_argument("--out", type=Path, help="Markdown file to write besides the screen")
    options = parser.parse_args()
    look, limits = _network(options.bundle) if options.lungs == "network" else (_people, QualityLimits())
    judged: dict[str, list[Quality]] = defaultdict(list)
    chest: dict[str, bool] = {}
    for shown in every_radiograph(options.shared, options.every):
        if options.lungs == "human" and shown.lungs is None and not shown.may_lack_lungs:
            continue
        canvas = _canvas(shown)
        judged[shown.kind].append(assess_quality(canvas, look(shown, canvas), shown.notes, limits))
        chest[shown.kind] = shown.is_chest
    text = "\n".join((f"Lungs: {options.lungs}. Limits: {limits}.", "", *tables(judged, chest)))
    print(text)
    if options.out is not None:
        options.out.write_text(f"# Quality gate\n\n{text}\n", encoding="utf-8")


def every_radiograph(shared: Path, every: int) -> Iterator[Shown]:
    """Real chests upright, some of them wrong, then what is no chest."""
    for number, shown in enumerate(_real_chests(shared)):
        yield shown
        if number % every == 0:
            yield from _wrong_versions(shown)
    yield from _dicom_samples(shared / "dicom")
    for seed in range(60):
        radiograph = make_phantom(seed, grades=(3,) * 6 if seed % 3 == 0 else None)
        kind = "phantom chest, all white" if seed % 3 == 0 else "phantom chest"
        yield (shown := Shown(kind, True, radiograph.pixels, radiograph.lung_mask))
        yield from _wrong_versions(replace(shown, kind="phantom chest"))
    for kind in NON_CHEST_KINDS:
        for seed in range(1000, 1020):
            yield Shown(f"phantom {kind}", False, make_non_chest(kind, seed), may_lack_lungs=True)


def tables(judged: dict[str, list[Quality]], chest: dict[str, bool]) -> list[str]:
    """Return the lines of the Markdown tables: verdicts per kind of image, then measures."""
    lines = ["| image | should | images | ok | warn | refused | reasons of refusal |", "|---|---|---|---|---|---|---|"]
    for kind, found in judged.items():
        verdicts = Counter(quality.verdict for quality in found)
        reasons = Counter(quality.flags[0].code for quality in found if quality.verdict == "refused")
        listed = ", ".join(f"{code} {count}" for code, count in reasons.most_common())
        counts = " | ".join(str(verdicts[verdict]) for verdict in ("ok", "warn", "refused"))
        lines.append(f"| {kind} | {'pass' if chest[kind] else 'refuse'} | {len(found)} | {counts} | {listed} |")
    upright = [quality for kind, found in judged.items() if chest[kind] and "phantom" not in kind for quality in found]
    flags = Counter(flag.code for quality in upright for flag in quality.flags)
    lines += ["", f"Flags on {len(upright)} real upright chest radiographs:", ""]
    lines += [f"- {code}: {count} ({100 * count / len(upright):.1f} %)" for code, count in flags.most_common()]
    lines += ["", "| measure on them | least | 1 % | 50 % | 99 % | most |", "|---|---|---|---|---|---|"]
    for name in sorted({name for quality in upright for name in quality.measures}):
        values = [quality.measures[name] for quality in upright if name in quality.measures]
        cells = " | ".join(f"{value:.3f}" for value in np.percentile(values, (0, 1, 50, 99, 100)))
        lines.append(f"| {name} | {cells} |")
    return lines


def _real_chests(shared: Path) -> Iterator[Shown]:
    masks = shared / "cxr" / "lung-masks"
    for path in sorted((masks / "images").iterdir()):
        radiograph = read_radiograph(path)
        lungs = cv2.imread(str(masks / "masks" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        yield Shown("chest, lung-masks", True, radiograph.pixels, np.asarray(lungs, dtype=np.uint8), radiograph.notes)
    for path in sorted((shared / "cxr" / "brixia-cohen" / "public-cohen-subset").iterdir()):
        radiograph = read_radiograph(path)
        yield Shown("chest, brixia-cohen", True, radiograph.pixels, None, radiograph.notes)
    for path in sorted((shared / "cxr" / "pneumonia-224" / "films").iterdir())[::30]:
        radiograph = read_radiograph(path)
        yield Shown("chest of a child", True, radiograph.pixels, None, radiograph.notes)


def _wrong_versions(shown: Shown) -> Iterator[Shown]:
    for name, turn in WRONG.items():
        lungs = None if shown.lungs is None else np.ascontiguousarray(turn(shown.lungs))
        yield Shown(f"{shown.kind}, {name}", False, np.ascontiguousarray(turn(shown.pixels)), lungs)
    yield Shown(f"{shown.kind}, inverted", False, 1 - shown.pixels, shown.lungs)


def _leaning(image: npt.NDArray, degrees: float) -> npt.NDArray:
    rows, columns = image.shape
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, (columns, rows), flags=cv2.INTER_NEAREST))


def _dicom_samples(folder: Path) -> Iterator[Shown]:
    for path in sorted(folder.iterdir()):
        kind = next((kind for part, kind in DICOM_KINDS.items() if part in path.name), None)
        if kind is None or path.suffix in (".csv", ".md") or "MONOHR1" in path.name:
            continue
        dataset = pydicom.dcmread(path)
        for tag in TAGS_TAKEN_OUT:
            if tag in dataset:
                delattr(dataset, tag)
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        data = io.BytesIO()
        dataset.save_as(data)
        try:
            radiograph = read_radiograph_bytes(data.getvalue())
        except ImageError:
            continue  # the damaged one
        is_chest = kind == "chest"
        yield (shown := Shown(f"DICOM {kind}", is_chest, radiograph.pixels, None, radiograph.notes, not is_chest))
        if kind == "chest":
            yield from _wrong_versions(shown)


def _canvas(shown: Shown) -> Canvas:
    rows, columns = shown.pixels.shape
    pixels = np.ascontiguousarray(shown.pixels, dtype=np.float32)
    return to_canvas(Radiograph(Brightness(pixels), ImageInfo(rows=rows, columns=columns), content_box(pixels)))


def _network(path: Path | None) -> tuple[Callable[[Shown, Canvas], Outputs], QualityLimits]:
    bundle = read_bundle(path)
    backend = open_backend(bundle, "onnxruntime")

    def look(shown: Shown, canvas: Canvas) -> Outputs:
        return backend.infer(np.ascontiguousarray(canvas.pixels[None, None]))

    return look, bundle.manifest.quality


def _people(shown: Shown, canvas: Canvas) -> Outputs:
    mask = np.zeros((MASK_PX, MASK_PX), np.uint8)
    if shown.lungs is not None:
        frame, ratio = canvas.frame, MASK_PX / canvas.frame.size_px
        matrix = np.array([[frame.scale, 0, frame.offset_px[0]], [0, frame.scale, frame.offset_px[1]]]) * ratio
        lungs = (shown.lungs > 0).astype(np.uint8)
        mask = np.asarray(cv2.warpAffine(lungs, matrix, (MASK_PX, MASK_PX), flags=cv2.INTER_NEAREST), dtype=np.uint8)
    theta = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], np.float32)
    return {"lung_mask": mask[None, None].astype(np.float32), "theta": theta}


if __name__ == "__main__":
    main()
