"""bfloat16 with a second pass in FP32: grades changed by one pass and by both, and how many images take the second.

    python benchmarks/bfloat16.py FOLDER... [--bundle BUNDLE] [--depths 0 3 12] [--every 2] [--native] [--out FILE]

One line for each number of FP32 layers at the entry of the severity network. On a processor without bfloat16 its
rounding is written out in FP32; `--native` computes in bfloat16 itself. The margins of a line are measured on its own
images; so the last figure takes them from every other image and counts, on the rest, the grades that change after all.
`--out` writes the margins of the last depth, as `lungsev/bundle/packaged_bfloat16.yaml` has them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.bundle.bfloat16 import Bfloat16
from lungsev.grading import grade_indices
from lungsev.inference.bfloat16.measure import Compared, changed_after_both, compare_passes, measure_margins
from lungsev.inference.bfloat16.passes import OpenVinoPasses
from lungsev.inference.cpus import limit_thread_pools
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.inference.parity import parity_cases, radiographs_in


def main() -> None:
    """Measure every depth and print a line for each."""
    limit_thread_pools()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--bundle", type=Path, default=None)
    parser.add_argument("--depths", type=int, nargs="+", default=[0, 3, 6, 12, 24])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    bundle = read_bundle(options.bundle)
    files = [path for folder in options.folders for path in radiographs_in(folder)][:: options.every]
    images = [case.image for case in parity_cases(bundle.manifest.input.size_px, radiographs=files)]
    with OnnxRuntimeBackend(bundle) as backend:
        reference = [backend.infer(image) for image in images]
    print(f"{len(images)} images, {'bfloat16' if options.native else 'bfloat16 emulated in FP32'}")
    for depth in options.depths:
        measured = measure_depth(bundle, images, reference, depth, not options.native)
    if options.out is not None:
        document = {bundle.graph_sha256(): measured.model_dump(mode="json")}
        options.out.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def measure_depth(
    bundle: Bundle, images: list[np.ndarray], reference: list[dict[str, np.ndarray]], depth: int, emulated: bool
) -> Bfloat16:
    """Print the line of one depth and return its margins.

    Args:
        bundle: With the graph.
        images: float32 [1, 1, S, S].
        reference: ONNX Runtime's outputs for them.
        depth: Convolutions of the severity network in FP32.
        emulated: Write the rounding out.
    """
    manifest = bundle.manifest
    passes = OpenVinoPasses(bundle.graph_bytes(), depth, emulated=emulated)
    compared = [compare_passes(passes, image) for image in images]
    measured = measure_margins(compared, manifest, depth, emulated)
    half = measure_margins(compared[::2], manifest, depth, emulated)
    margins = ", ".join(f"{name} {margin:.4f}" for name, margin in measured.grade_margins.items())
    print(
        f"depth {depth:2d}: {passes.half_share:.0%} of the arithmetic in bfloat16; {measured.changed} of "
        f"{measured.grades} grades changed by one pass, {changed_after_both(compared, manifest, measured)} by both; "
        f"{measured.again:.1%} of the images graded again; margins {margins}; FP32 of OpenVINO changed "
        f"{sum(map(_changed(bundle), compared, reference))}; margins of half the images have {half.again:.1%} of them "
        f"graded again, and {changed_after_both(compared[1::2], manifest, half)} grades of the rest changed",
        flush=True,
    )
    passes.close()
    return measured


def _changed(bundle: Bundle) -> Callable[[Compared, dict[str, np.ndarray]], int]:
    """Return a function that counts the grades of a second pass that ONNX Runtime has otherwise."""
    decisions = {s.name: bundle.manifest.scheme_calibration(s.name).decision for s in bundle.manifest.schemes}

    def count(compared: Compared, reference: dict[str, np.ndarray]) -> int:
        pairs = [
            (compared.twice[f"probabilities.{n}"], reference[f"probabilities.{n}"], decision)
            for n, decision in decisions.items()
        ]
        return sum(int((grade_indices(a, decision) != grade_indices(b, decision)).sum()) for a, b, decision in pairs)

    return count


if __name__ == "__main__":
    main()
