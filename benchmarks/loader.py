"""Images per second that the training loader delivers, and the time of each part, to compare with the GPU.

    python benchmarks/loader.py
    python benchmarks/loader.py --data ../shared/cxr/brixia-cohen --workers 0 2 4
    python benchmarks/loader.py --json

Images come from the cache and are cropped and augmented as in training; without --data they are synthetic.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lungsev.config import load_model
from lungsev.geometry import compose
from lungsev.phantom import write_dataset
from lungsev.train.configs import built_in_or_path
from lungsev.train.data.augmentation import apply_intensity, draw_geometry, draw_intensity
from lungsev.train.data.cache import CachedImage, prepare
from lungsev.train.data.datasets import GradedImage, load_graded
from lungsev.train.data.loaders import generator_of, make_loader
from lungsev.train.data.sampling import crop
from lungsev.train.tasks.severity import SeverityImages, SeverityRunSettings

SYNTHETIC = 24
IMAGES = 256


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of graded images; default: synthetic ones")
    parser.add_argument("--config", default="brixia/modern", help="training config")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.data
        if root is None:
            root = Path(folder, "synthetic")
            write_dataset(root, "brixia", SYNTHETIC, 0)
        found = measure(root, Path(folder, "cache"), arguments.config, arguments.workers)
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name}: {value}")


def measure(root: Path, cache: Path, config: str, workers: list[int]) -> dict[str, Any]:
    """Images per second while the cache is filled, from the cache, and the milliseconds of each part of an image."""
    settings = load_model(SeverityRunSettings, built_in_or_path(config), {})
    dataset = load_graded(root)
    began = time.perf_counter()
    ready = prepare(dataset.images, cache).images
    filled = len(ready) / (time.perf_counter() - began)
    images = [image for image in dataset.images if image.name in ready]
    found: dict[str, Any] = {
        "config": config,
        "crop": f"{settings.network.crop_px} px, oversampled {settings.network.oversample} times",
        "images per second, first reading, 1 process": round(filled, 1),
        "milliseconds per image": _parts(ready[images[0].name], settings),
    }
    repeated = [images[index % len(images)] for index in range(IMAGES)]
    for count in workers:
        found[f"images per second, {count} workers"] = round(
            _throughput(repeated, ready, dataset.scheme, settings, count), 1
        )
    return found


def _throughput(
    images: list[GradedImage],
    ready: dict[str, CachedImage],
    scheme: Any,
    settings: SeverityRunSettings,
    workers: int,
) -> float:
    """Return the images per second of the second epoch; worker processes start in the first."""
    thetas = np.tile(np.eye(2, 3), (len(images), 1, 1))
    dataset = SeverityImages(images, [ready[image.name] for image in images], thetas, scheme, settings, augmented=True)
    loader = make_loader(dataset, settings.loop.batch_size, True, 0, workers)
    rate = 0.0
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        began = time.perf_counter()
        count = sum(len(batch["index"]) for batch in loader)
        rate = count / (time.perf_counter() - began)
    return rate


def _parts(cached: CachedImage, settings: SeverityRunSettings) -> dict[str, float]:
    cv2.setNumThreads(1)
    generator = generator_of(0, (0, 0))
    canvas, theta = cached.canvas(), np.eye(2, 3)
    image = crop(canvas, theta, settings.network)
    parts = {
        "canvas from the cache": lambda: cached.canvas(),
        "crop": lambda: crop(
            canvas, compose(theta, draw_geometry(settings.geometry, generator).matrix()), settings.network
        ),
        "intensity": lambda: apply_intensity(image, draw_intensity(settings.intensity, generator)),
    }
    return {name: round(_milliseconds(work), 2) for name, work in parts.items()}


def _milliseconds(work: Any, repeats: int = 40) -> float:
    began = time.process_time()
    for _ in range(repeats):
        work()
    return 1000 * (time.process_time() - began) / repeats


if __name__ == "__main__":
    main()
