"""What reading an image costs per transfer syntax, and how far borders, windows and tone curves move the canvas.

    python benchmarks/reading.py
    python benchmarks/reading.py --shared ../shared    # the canvas on real images too

Times are CPU time of one thread, so that a busy machine does not blur them; the sandbox is measured on the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.phantom import make_phantom, phantom_dataset
from lungsev.preprocessing.canvas import to_canvas
from lungsev.reading.collimation import content_box
from lungsev.reading.encoding import ENCODERS, encode_pixel_data
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import read_radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo
from lungsev.sandbox.client import Sandbox

ROWS, COLUMNS = 2500, 2048
REPEATS = 5
EXPLICIT = "1.2.840.10008.1.2.1"

Pixels = npt.NDArray[np.float32]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, help="folder that holds cxr/lung-masks")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    _print_costs()
    if arguments.shared is not None:
        _print_robustness(sorted((arguments.shared / "cxr" / "lung-masks" / "images").iterdir())[::4])


def _print_costs() -> None:
    print(f"| one image, {ROWS} x {COLUMNS}, 12 bits | decoder | MB | read, ms | prepare, ms | sandbox, ms |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        for syntax in (EXPLICIT, *ENCODERS):
            path = _write_radiograph(Path(folder, "image.dcm"), syntax)
            radiograph = read_radiograph(path)
            read = _milliseconds(lambda path=path: read_radiograph(path), time.process_time)
            prepare = _milliseconds(lambda radiograph=radiograph: to_canvas(radiograph), time.process_time)
            sandboxed = _milliseconds(lambda path=path: sandbox.read(path), time.perf_counter)
            size = path.stat().st_size / 1e6
            row = (syntax, radiograph.image.decoder, f"{size:.1f}", f"{read:.0f}", f"{prepare:.0f}", f"{sandboxed:.0f}")
            print(f"| {' | '.join(map(str, row))} |", flush=True)


def _write_radiograph(path: Path, syntax: str) -> Path:
    bits = 8 if syntax.endswith(".4.50") else 12
    pixels = cv2.resize(make_phantom(3).pixels, (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    grain = np.random.default_rng(0).normal(0, 0.004, pixels.shape)  # else lossless codes are too short to be true
    stored = np.rint((pixels + grain).clip(0, 1) * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    dataset = phantom_dataset(make_phantom(3, size_px=(160, 128)), bits=bits)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax in ENCODERS:
        dataset.PixelData = encode_pixel_data(stored, syntax, bits)
        dataset["PixelData"].is_undefined_length = True
        dataset["PixelData"].VR = "OB"
    else:
        dataset.PixelData = stored.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def _milliseconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """The middle of several runs."""
    times = []
    for _ in range(REPEATS):
        started = clock()
        work()
        times.append(clock() - started)
    return float(np.median(times)) * 1000


def _print_robustness(radiographs: list[Path]) -> None:
    moved: dict[str, list[float]] = defaultdict(list)
    for path in radiographs:
        radiograph = read_radiograph(path)
        plain = to_canvas(radiograph)
        on_radiograph = plain.frame.mask_to_image(plain.pixels)
        rows, columns = radiograph.pixels.shape
        inner = np.s_[rows // 10 : -rows // 10, columns // 10 : -columns // 10]
        for name, changed, origin_xy in _changes(radiograph.pixels):
            canvas = to_canvas(Radiograph(Brightness(changed), ImageInfo(), content_box(changed)))
            x, y = canvas.frame.to_canvas(np.array(origin_xy, dtype=float))
            frame = replace(canvas.frame, rows=rows, columns=columns, offset_px=(float(x), float(y)))
            moved[name].append(float(np.abs(on_radiograph - frame.mask_to_image(canvas.pixels))[inner].mean()))
    print(f"\n| change, on {len(radiographs)} real images | mean change of grey (0-1) | 90 % of images below | most |")
    print("|---|---|---|---|")
    for name, values in moved.items():
        print(f"| {name} | {np.mean(values):.4f} | {np.quantile(values, 0.9):.4f} | {max(values):.4f} |")


def _changes(pixels: Pixels) -> Iterator[tuple[str, Pixels, tuple[int, int]]]:
    """Name, changed image, and where the image's origin is on it."""
    rows, columns = pixels.shape
    top, left = rows // 8, columns // 6
    for name, value in (("black", 0.0), ("grey", 0.5), ("white", 1.0)):
        framed = cv2.copyMakeBorder(pixels, top, 9, left, 5, cv2.BORDER_CONSTANT, value=value)
        yield f"{name} border", np.asarray(framed), (left, top)
    for name, low, high in (("window 40 % wider", -0.2, 1.2), ("window 10 % narrower", 0.05, 0.95)):
        yield name, np.clip((pixels - low) / (high - low), 0, 1).astype(np.float32), (0, 0)
    for gamma in (0.7, 1.4):
        yield f"gamma {gamma}", (pixels**gamma).astype(np.float32), (0, 0)


if __name__ == "__main__":
    main()
