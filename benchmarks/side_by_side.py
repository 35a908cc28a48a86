"""Time of lungsev and of its alternatives, in one run on one machine.

    python benchmarks/side_by_side.py [--bundle BUNDLE] [--run RUN] [--rounds 15] [--json FILE]

Every round runs each candidate in turn, so that a busy machine is busy for all of them alike, and each twice, the
second time with the clock: one library's waiting threads would otherwise be billed to the next. The fastest round is
the figure that load disturbs least; the machine's matrix product is one of the candidates. Needs the extras `export`
and `train`; OpenVINO, torchxrayvision and a GPU join where they are installed; PyTorch on a GPU is in
`gpu_latency.py`. Weights do not change the time: networks without a run have random ones.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
from rich.console import Console
from rich.table import Table
from segmentation_models_pytorch import UnetPlusPlus
from torch import nn
from torch_networks import settings_of

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import LungsevError
from lungsev.geometry import warp
from lungsev.inference.cpus import usable_cpus
from lungsev.inference.openvino import OpenVinoBackend, has_bfloat16
from lungsev.inference.select import open_backend
from lungsev.inference.tensorrt.cuda import count_devices
from lungsev.model import DirectDecoder, Model
from lungsev.networks.alignment import EdgeAlignment
from lungsev.networks.build import build_fused
from lungsev.networks.checkpoint import load_network
from lungsev.networks.encoder import PositionAwareEncoder
from lungsev.pipeline import Scorer
from lungsev.preprocessing.canvas import to_canvas
from lungsev.reading.read import read_radiograph
from lungsev.runtime.benchmark.machine import describe_machine
from lungsev.runtime.benchmark.measure import write_portable_image
from lungsev.runtime.benchmark.peaks import matrix_product
from lungsev.schemes import load_scheme

Candidate = Callable[[], object]
YARDSTICK = "matrix product"


class ReferenceShape:
    """The published pipeline's shape: separate PyTorch models and the host between them.

    U-Net++ (ResNet18) on the full canvas, an alignment network, the warp on the host, ResNet34 on the aligned
    512 x 512 image, 1x1 convolution to 768, one encoder block, pooling per zone, one MLP.
    """

    def __init__(self) -> None:
        self.segment = UnetPlusPlus("resnet18", encoder_weights=None, in_channels=1, classes=1).eval()
        self.align = EdgeAlignment(64, 16).eval()
        self.backbone = timm.create_model("resnet34", num_classes=0, global_pool="", in_chans=1).eval()
        self.project = nn.Conv2d(512, 768, 1).eval()
        self.encode = PositionAwareEncoder(256, 768).eval()
        self.classify = nn.Sequential(nn.Linear(768, 768), nn.GELU(), nn.Linear(768, 4)).eval()
        self.pooling = torch.from_numpy(load_scheme("brixia").pooling_matrix(16, 16))

    @torch.inference_mode()
    def __call__(self, canvas: np.ndarray) -> np.ndarray:
        """Return the grade probabilities [regions, grades] of a canvas [S, S]."""
        image = torch.from_numpy(canvas)[None, None]
        mask = self.segment(image).sigmoid()[0, 0].numpy()
        small = cv2.resize(mask, (256, 256), interpolation=cv2.INTER_AREA)
        theta = self.align(torch.from_numpy(small)[None, None])[0].numpy()
        aligned = torch.from_numpy(warp(canvas, theta, 512))[None, None]
        tokens = self.project(self.backbone(aligned)).flatten(2).transpose(1, 2)
        logits = self.classify(self.pooling @ self.encode(tokens)[0])
        return logits.softmax(-1).numpy()


def main() -> None:
    """Measure, print, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--run", type=Path, help="run folder: the same network in PyTorch")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="also torch.compile, which takes minutes to warm up")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(usable_cpus())
    bundle = read_bundle(options.bundle)
    with tempfile.TemporaryDirectory(prefix="lungsev-bench-") as folder:
        radiograph = write_portable_image(Path(folder) / "image.dcm")
        candidates = collect(bundle, radiograph, options.run, options.compile)
        multiply, product_gflop = matrix_product()
        times = measure({**candidates, YARDSTICK: multiply}, options.rounds)
    peak = round(product_gflop / min(times.pop(YARDSTICK)) * 1000, 1)
    gflop = bundle.manifest.graphs["fp32"].gflop
    document = {
        "command": "python benchmarks/side_by_side.py",
        "machine": describe_machine(),
        "rounds": options.rounds,
        "gflop": gflop,
        "matrix_peak_gflops": peak,
        "floor_ms": round(gflop / peak * 1000, 2) if gflop else None,
        "milliseconds": {
            name: {"fastest": round(min(values), 2), "median": round(float(np.median(values)), 2)}
            for name, values in times.items()
        },
    }
    document["ratios"] = ratios(document)
    show(document)
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def collect(bundle: Bundle, path: Path, run: Path | None, compiled: bool) -> dict[str, Candidate]:
    """Name to a call that scores the image once."""
    canvas = to_canvas(read_radiograph(path)).pixels
    image = np.ascontiguousarray(canvas[None, None])
    reference = ReferenceShape()
    candidates: dict[str, Candidate] = {}
    for name in ("onnxruntime", "openvino", *(("tensorrt",) if count_devices() else ())):
        try:
            backend = open_backend(bundle, name)
        except LungsevError as error:
            print(f"left out: {name}: {error}")
            continue
        candidates[f"model: lungsev, {name} {backend.precision}"] = lambda backend=backend: backend.infer(image)
        if name == "onnxruntime":
            model = Model(Scorer(bundle, backend), DirectDecoder())  # the reference reads in this process, too
            candidates["image to JSON: lungsev, onnxruntime"] = lambda it=model: it.score(path).to_json()
    if has_bfloat16() and find_spec("openvino") is not None:
        half = OpenVinoBackend(bundle, bfloat16=True)
        candidates["model: lungsev, openvino bf16"] = lambda: half.infer(image)
    candidates |= same_network(bundle, run, image, compiled)

    def reference_radiograph() -> str:
        probabilities = reference(to_canvas(read_radiograph(path)).pixels)
        return json.dumps(probabilities.tolist())

    candidates["model: reference shape, separate PyTorch models"] = lambda: reference(canvas)
    candidates["image to JSON: reference shape"] = reference_radiograph
    small = torch.from_numpy(cv2.resize(canvas, (224, 224), interpolation=cv2.INTER_AREA))[None, None]
    name, dense = dense_network()
    candidates[f"model: {name} at 224, PyTorch"] = torch.inference_mode()(lambda: dense(small))
    return candidates


def dense_network() -> tuple[str, nn.Module]:
    """Return the DenseNet121 of torchxrayvision if that is installed, else the same network of timm."""
    if find_spec("torchxrayvision") is None:
        network = timm.create_model("densenet121", num_classes=18, in_chans=1)
        return "DenseNet121 of timm (torchxrayvision's)", network.eval()
    import torchxrayvision

    return "torchxrayvision's DenseNet121", torchxrayvision.models.DenseNet(num_classes=18, in_channels=1).eval()


def same_network(bundle: Bundle, run: Path | None, image: np.ndarray, compiled: bool) -> dict[str, Candidate]:
    """The bundle's own network in PyTorch; without its run, one of its settings."""
    network = load_network(run) if run is not None else build_fused(settings_of(bundle), pretrained=False).eval()
    tensor = torch.from_numpy(image)
    found: dict[str, Candidate] = {
        "model: same network, PyTorch eager": torch.inference_mode()(lambda: network(tensor))
    }
    if compiled:
        fast = torch.compile(network)
        found["model: same network, torch.compile"] = torch.inference_mode()(lambda: fast(tensor))
    return found


def measure(candidates: dict[str, Candidate], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every round after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for index in range(rounds + 1):
        for name, candidate in candidates.items():
            candidate()
            started = time.perf_counter()
            candidate()
            if index > 0:
                times[name].append((time.perf_counter() - started) * 1000)
    return times


def ratios(document: dict[str, Any]) -> dict[str, str]:
    """What the table is for, from the fastest rounds."""
    fastest = {name: values["fastest"] for name, values in document["milliseconds"].items()}
    model = fastest["model: lungsev, onnxruntime fp32"]
    found = {
        "reference": "image to JSON: {:.1f} times as fast as the reference shape in PyTorch".format(
            fastest["image to JSON: reference shape"] / fastest["image to JSON: lungsev, onnxruntime"]
        ),
        "same network": "model: {:.2f} times as fast as the same network in PyTorch".format(
            fastest["model: same network, PyTorch eager"] / model
        ),
    }
    if document["floor_ms"]:
        found["floor"] = f"model: {model / document['floor_ms']:.2f} times the floor"
        openvino = fastest.get("model: lungsev, openvino fp32")
        found["floor"] += f"; OpenVINO {openvino / document['floor_ms']:.2f} times" if openvino else ""
    half = fastest.get("model: lungsev, openvino bf16")
    found["bf16"] = (
        f"model: OpenVINO bf16 {model / half:.1f} times as fast as ONNX Runtime FP32, but grades change"
        if half
        else "model: no bf16: it needs OpenVINO and a processor that computes in it"
    )
    return found


def show(document: dict[str, Any]) -> None:
    """A table, fastest first."""
    machine = document["machine"]
    table = Table(title=f"{machine['processor']}, {machine['cores']} cores, load {os.getloadavg()[0]:.1f}")
    for column in ("candidate", "fastest ms", "median ms"):
        table.add_column(column)
    for name, values in sorted(document["milliseconds"].items(), key=lambda item: item[1]["fastest"]):
        table.add_row(name, f"{values['fastest']:.1f}", f"{values['median']:.1f}")
    console = Console(width=120)
    console.print(table)
    for line in document["ratios"].values():
        console.print(line)
    console.print(
        f"{document['gflop']} GFLOP at {document['matrix_peak_gflops']} GFLOP/s: floor {document['floor_ms']} ms"
    )


if __name__ == "__main__":
    main()
