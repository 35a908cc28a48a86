"""Score images with a Triton server that serves a lungsev bundle.

    python client.py image.dcm --url localhost:8000

Needs lungsev and `pip install tritonclient[http]`. Preprocessing and decoding are lungsev's, so that the server gives
an image the same grades as `lungsev-run score`. Research use only. Not for clinical use.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml

from lungsev.bundle.manifest import Manifest
from lungsev.grading import decode
from lungsev.preprocessing.canvas import PREPROCESSING_VERSION, to_canvas
from lungsev.quality.gate import assess_quality
from lungsev.reading.read import read_radiograph


def main() -> None:
    """Score the images named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--url", default="localhost:8000")
    parser.add_argument("--model", default="lungsev_fp16")
    options = parser.parse_args()
    from tritonclient.http import InferenceServerClient, InferInput

    text = (Path(__file__).parent / "manifest.yaml").read_text(encoding="utf-8")
    manifest = Manifest.model_validate(yaml.safe_load(text))
    if manifest.preprocessing_version != PREPROCESSING_VERSION:
        raise SystemExit(
            f"the server expects preprocessing {manifest.preprocessing_version}, found {PREPROCESSING_VERSION}; "
            "install the lungsev version that wrote the bundle"
        )
    client = InferenceServerClient(options.url)
    for path in options.images:
        radiograph = read_radiograph(path)
        canvas = to_canvas(radiograph, manifest.input.size_px)
        image = np.ascontiguousarray(canvas.pixels[None, None], dtype=np.float32)
        request = InferInput(manifest.input.name, list(image.shape), "FP32")
        request.set_data_from_numpy(image)
        answer = client.infer(options.model, [request])
        outputs = {output.name: np.asarray(answer.as_numpy(output.name)) for output in manifest.outputs}
        quality = assess_quality(canvas, outputs, radiograph.notes, manifest.quality)
        if quality.verdict == "refused":
            print(f"{path.name}: not scored: {quality.flags[0].message}")
            continue
        for scheme in manifest.schemes:
            probabilities = outputs[f"probabilities.{scheme.name}"][0]
            calibration = manifest.scheme_calibration(scheme.name)
            mask = outputs["lung_mask"][0]
            score = decode(scheme, probabilities, outputs["theta"][0], canvas.frame, calibration, mask)
            grades = " ".join(
                f"{region.code}{'-' if region.grade is None else region.grade}" for region in score.regions
            )
            points = score.partial.points if score.partial else score.total
            points_max = score.partial.points_max if score.partial else score.total_max
            print(f"{path.name}: {scheme.name} {points}/{points_max} ({grades})")


if __name__ == "__main__":
    main()
