"""Time of lungsev, of a former commit and of its alternatives, in one run on one machine, with the grades compared.

    python benchmarks/side_by_side.py [--against-commit REV] [--bundle BUNDLE] [--run RUN] [--rounds 15] [--json FILE]

Every round runs each candidate in turn, so that a busy machine is busy for all of them alike, and each twice, the
second time with the clock: one library's waiting threads would otherwise be billed to the next. Runs during which other
processes were busy do not count where there are quiet ones, and with --wait they are repeated. The fastest round is the
figure that load disturbs least; the machine's matrix product is one of the candidates. Needs the extras `export`
and `train`; OpenVINO, torchxrayvision and a GPU join where they are installed; PyTorch on a GPU is in
`gpu_latency.py`. Weights do not change the time: networks without a run have random ones, and no grades to compare.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
from former_commit import Grades, Worker, WorkerError, count_changed, package_of
from rich.console import Console
from rich.table import Table
from segmentation_models_pytorch import UnetPlusPlus
from torch import nn
from torch_networks import settings_of

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import LungsevError
from lungsev.geometry import warp
from lungsev.inference.backend import Backend, Outputs
from lungsev.inference.cpus import usable_cpus
from lungsev.inference.select import open_backend
from lungsev.inference.tensorrt.cuda import count_devices
from lungsev.model import DirectDecoder, Model
from lungsev.networks.alignment import EdgeAlignment
from lungsev.networks.build import build_fused
from lungsev.networks.checkpoint import load_network
from lungsev.networks.encoder import PositionAwareEncoder
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.pipeline import Scorer
from lungsev.preprocessing.canvas import to_canvas
from lungsev.reading.read import read_radiograph
from lungsev.runtime.benchmark.floor import find_floor
from lungsev.runtime.benchmark.load import LoadWatch
from lungsev.runtime.benchmark.machine import describe_machine
from lungsev.runtime.benchmark.measure import write_portable_image
from lungsev.runtime.benchmark.peaks import Peak, copy_peak, matrix_product
from lungsev.schemes import load_scheme

Candidate = Callable[[], float]  # milliseconds of one run

YARDSTICK = "matrix product"
QUIET_WINDOW_S = 0.3
QUIET_CPUS = 0.15  # that other processes may keep busy during a run that counts as quiet
OURS = "image to JSON: lungsev, this tree"
FORMER = "image to JSON: lungsev, {}"
REFERENCE = "image to JSON: the reference's shape"
DENSE = "image to JSON: {}"
MODEL = "model: lungsev, onnxruntime fp32"
SAME = "model: the same network, PyTorch eager"
GRADED_PHANTOMS = 12


@dataclass(frozen=True)
class Sample:
    """One run; `others` is how many CPUs other processes kept busy meanwhile, None where the machine does not tell."""

    milliseconds: float
    others: float | None

    @property
    def is_quiet(self) -> bool:
        """Whether the run had the machine to itself."""
        return self.others is not None and self.others <= QUIET_CPUS


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


class TorchBackend:
    """The bundle's network in PyTorch, for its grades."""

    name, device, precision = "pytorch", "cpu", "fp32"

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    @torch.inference_mode()
    def infer(self, image: np.ndarray) -> Outputs:
        """Return the outputs of image [1, 1, S, S] by their names."""
        return {name: value.numpy() for name, value in self._network(torch.from_numpy(image)).items()}

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    """Measure, print, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bundle", type=Path, help="of this tree, and of the former commit if that reads it; default: the packaged one"
    )
    parser.add_argument("--run", type=Path, help="run folder: the same network in PyTorch, with its grades")
    parser.add_argument("--against-commit", metavar="REV", help="a former commit of this repository, with this bundle")
    parser.add_argument("--images", type=Path, help="folder of images whose grades are compared beside the phantoms'")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--wait", type=float, default=0.0, help="seconds that a run may wait for a quiet moment")
    parser.add_argument("--compile", action="store_true", help="also torch.compile, which takes minutes to warm up")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"found --rounds {options.rounds}, expected 1 or more")
    torch.set_num_threads(usable_cpus())
    try:
        document = compare_all(options)
    except (LungsevError, WorkerError) as error:
        sys.exit(f"side_by_side.py: {error}")
    show(document)
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def compare_all(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything and return the document."""
    bundle = read_bundle(options.bundle)
    watch = LoadWatch()
    with tempfile.TemporaryDirectory(prefix="lungsev-bench-") as folder, ExitStack() as stack:
        radiograph = write_portable_image(Path(folder) / "image.dcm")
        graded = images_to_grade(Path(folder), options.images)
        workers, commits = open_workers(stack, bundle, options.against_commit)
        backends = open_backends(stack, bundle, options.run)
        multiply, product_gflop = matrix_product()
        candidates = collect(bundle, radiograph, workers, backends, options)
        times = measure({**candidates, YARDSTICK: clocked(multiply)}, options.rounds, options.wait)
        grades = compare_grades(bundle, workers, backends, graded)
    peak_gflops = round(product_gflop / summary(times.pop(YARDSTICK))["fastest"] * 1000, 1)
    peak = Peak(peak_gflops, peak_gflops, copy_peak(), "measured in this run")
    floor = find_floor(bundle, backends["onnxruntime fp32"], peak, summary(times[MODEL])["fastest"])
    document = {
        "kind": "lungsev-side-by-side",
        "command": " ".join(["python", "benchmarks/side_by_side.py", *sys.argv[1:]]),
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "load": asdict(watch.finish()),
        "commits": commits,
        "bundle_sha256": bundle.sha256,
        "image": "portable phantom 2500 x 2048, 12 bit, uncompressed DICOM",
        "unit": "ms",
        "rounds": options.rounds,
        "peak_gflops": peak.gflops,
        "peak_gb_per_s": peak.gb_per_s,
        "floor_ms": floor.floor_ms,
        "milliseconds": {name: summary(values) for name, values in times.items()},
        "grades": grades,
    }
    return {**document, "ratios": ratios(document)}


def images_to_grade(folder: Path, more: Path | None) -> list[Path]:
    """Phantoms of other lungs and sizes, and the images of a folder."""
    images = [
        write_phantom_dicom(
            make_phantom(seed, size_px=(1000 + 25 * seed, 820 + 20 * seed)), folder / f"graded{seed}.dcm"
        )
        for seed in range(GRADED_PHANTOMS)
    ]
    if more is not None and not more.is_dir():
        raise LungsevError(f"no folder at {more}; expected one with images for --images")
    return images + (sorted(path for path in more.iterdir() if path.is_file()) if more is not None else [])


def open_workers(stack: ExitStack, bundle: Bundle, revision: str | None) -> tuple[dict[str, Worker], dict[str, str]]:
    """Processes that score with this tree, with and without the sandbox, and with a former commit; their commits."""
    path = bundle.path.absolute()
    package, commit = stack.enter_context(package_of(None))
    kinds = [(OURS, package, False), (f"{OURS}, in the sandbox", package, True)]
    commits = {"this tree": commit}
    if revision is not None:
        former, commits[revision] = stack.enter_context(package_of(revision))
        kinds += [
            (FORMER.format(revision), former, False),
            (f"{FORMER.format(revision)}, in the sandbox", former, True),
        ]
    workers = {}
    for name, folder, sandbox in kinds:
        try:
            worker = Worker(folder, path, sandbox=sandbox)
        except WorkerError as error:
            if folder == package:
                raise
            print(f"{name} has the bundle packaged there: {error}", file=sys.stderr)
            commits[f"bundle of {revision}"] = "its own, which may grade differently"
            worker = Worker(folder, None, sandbox=sandbox)
        workers[name] = worker
        stack.callback(worker.close)
    return workers, commits


def open_backends(stack: ExitStack, bundle: Bundle, run: Path | None) -> dict[str, Backend]:
    """Every backend of the bundle that this machine has, by its name and precision."""
    backends: dict[str, Backend] = {}
    for name in ("onnxruntime", "openvino", "bfloat16", *(("tensorrt",) if count_devices() else ())):
        try:
            backend = open_backend(bundle, name)
        except LungsevError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
            continue
        stack.callback(backend.close)
        backends[f"{name} {backend.precision}"] = backend
    if run is not None:
        backends["PyTorch"] = TorchBackend(load_network(run).eval())  # type: ignore[assignment]  # no context manager
    return backends


def collect(
    bundle: Bundle, path: Path, workers: dict[str, Worker], backends: dict[str, Backend], options: argparse.Namespace
) -> dict[str, Candidate]:
    """Name to a call that scores the image once and returns its milliseconds."""
    canvas = to_canvas(read_radiograph(path)).pixels
    image = np.ascontiguousarray(canvas[None, None])
    reference = ReferenceShape()
    candidates: dict[str, Candidate] = {
        name: lambda worker=worker: float(worker(path)["ms"])  # type: ignore[misc]
        for name, worker in workers.items()
    }
    for name, backend in backends.items():
        if name != "PyTorch":
            candidates[f"model: lungsev, {name}"] = clocked(lambda backend=backend: backend.infer(image))  # type: ignore[misc]
    candidates |= same_network(bundle, options.run, image, options.compile)

    def reference_radiograph() -> str:
        return json.dumps(reference(to_canvas(read_radiograph(path)).pixels).tolist())

    candidates["model: the reference's shape, separate PyTorch models"] = clocked(lambda: reference(canvas))
    candidates[REFERENCE] = clocked(reference_radiograph)
    name, model, whole = dense_network(path)
    candidates[f"model: {name} at 224 px"] = clocked(model)
    candidates[DENSE.format(name)] = clocked(whole)
    return candidates


def dense_network(path: Path) -> tuple[str, Callable[[], object], Callable[[], object]]:
    """Return the name of a DenseNet121, a call of it alone and one from the image file to JSON.

    It is torchxrayvision's with its own reading, crop and resizing where that is installed, else timm's with ours.
    """
    if find_spec("torchxrayvision") is None:
        name = "DenseNet121 of timm (torchxrayvision's is not installed)"
        network = timm.create_model("densenet121", num_classes=18, in_chans=1).eval()

        def prepared() -> np.ndarray:
            canvas = to_canvas(read_radiograph(path)).pixels
            return cv2.resize(canvas, (224, 224), interpolation=cv2.INTER_AREA)[None]

    else:
        import torchxrayvision as xrv

        name = f"torchxrayvision {xrv.__version__}, DenseNet121"
        network = xrv.models.DenseNet(num_classes=18, in_channels=1).eval()
        crop, resize = xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(224)

        def prepared() -> np.ndarray:
            return np.asarray(resize(crop(xrv.utils.read_xray_dcm(path)[None])), np.float32)

    image = torch.from_numpy(prepared())[None]

    @torch.inference_mode()
    def whole() -> str:
        return json.dumps(network(torch.from_numpy(prepared())[None])[0].tolist())

    return name, torch.inference_mode()(lambda: network(image)), whole


def same_network(bundle: Bundle, run: Path | None, image: np.ndarray, compiled: bool) -> dict[str, Candidate]:
    """The bundle's own network in PyTorch; without its run, one of its settings."""
    network = load_network(run) if run is not None else build_fused(settings_of(bundle), pretrained=False).eval()
    tensor = torch.from_numpy(image)
    found: dict[str, Candidate] = {SAME: clocked(torch.inference_mode()(lambda: network(tensor)))}
    if compiled:
        fast = torch.compile(network)
        found["model: the same network, torch.compile"] = clocked(torch.inference_mode()(lambda: fast(tensor)))
    return found


def clocked(call: Callable[[], object]) -> Candidate:
    """A call that returns the milliseconds of another."""

    def run() -> float:
        started = time.perf_counter()
        call()
        return (time.perf_counter() - started) * 1000

    return run


def measure(candidates: dict[str, Candidate], rounds: int, wait_s: float) -> dict[str, list[Sample]]:
    """Milliseconds of every round after one to warm up, and what other processes did meanwhile.

    Args:
        candidates: By name.
        rounds: Runs of each.
        wait_s: For so long each run may wait for a quiet moment; a run beside other work is repeated within that time.
    """
    watch = LoadWatch()
    samples: dict[str, list[Sample]] = {name: [] for name in candidates}
    for index in range(rounds + 1):
        for name, candidate in candidates.items():
            print(f"round {index} of {rounds}: {name:70.70}", file=sys.stderr, end="\r", flush=True)
            found = one_run(candidate, watch, wait_s if index > 0 else 0.0)
            if index > 0:
                samples[name].append(found)
    print(file=sys.stderr)
    return samples


def one_run(candidate: Candidate, watch: LoadWatch, wait_s: float) -> Sample:
    """Run a candidate twice, the second time with the clock; again while others work and there is time to wait."""
    end = time.monotonic() + wait_s
    while True:
        candidate()
        start = watch.mark()
        milliseconds = candidate()
        found = Sample(milliseconds, watch.others_between(start, watch.mark()))
        if found.is_quiet or time.monotonic() >= end:
            return found
        while not is_quiet(watch) and time.monotonic() < end:
            pass


def is_quiet(watch: LoadWatch) -> bool:
    """Whether others leave the CPUs alone for a moment."""
    start = watch.mark()
    time.sleep(QUIET_WINDOW_S)
    return Sample(0.0, watch.others_between(start, watch.mark())).is_quiet


def summary(samples: list[Sample]) -> dict[str, float]:
    """Fastest, median and 90th percentile of the quiet runs, or of all where none was quiet; and how many were."""
    quiet = [sample.milliseconds for sample in samples if sample.is_quiet]
    values = quiet or [sample.milliseconds for sample in samples]
    return {
        "fastest": round(min(values), 2),
        "median": round(float(np.median(values)), 2),
        "p90": round(float(np.percentile(values, 90)), 2),
        "n": len(values),
        "quiet": len(quiet),
    }


def compare_grades(
    bundle: Bundle, workers: dict[str, Worker], backends: dict[str, Backend], images: list[Path]
) -> dict[str, Any]:
    """Grades of every candidate with the bundle's weights that differ from those of this tree."""
    mine = [workers[OURS](image)["grades"] for image in images]
    others: dict[str, list[Grades]] = {
        name: [worker(image)["grades"] for image in images] for name, worker in workers.items() if name != OURS
    }
    for name, backend in backends.items():
        model = Model(Scorer(bundle, backend), DirectDecoder())
        others[f"model: {name}"] = [grades_of(model, image) for image in images]
    beside = {name: asdict(count_changed(mine, theirs)) for name, theirs in others.items()}
    return {"images": len(images), "scored": sum(map(bool, mine)), "beside": beside}


def grades_of(model: Model, image: Path) -> Grades:
    """Grade of every region of every scheme."""
    scores = model.score(image).scores
    return {f"{scheme}.{region.name}": region.grade for scheme, score in scores.items() for region in score.regions}


def ratios(document: dict[str, Any]) -> dict[str, dict[str, float]]:
    """How many times as long others take, in the fastest round and in the median."""
    milliseconds = document["milliseconds"]

    def between(other: str, mine: str) -> dict[str, float]:
        return {
            key: round(milliseconds[other][key] / milliseconds[mine][key], 2)
            for key in ("fastest", "median")
            if other in milliseconds and mine in milliseconds
        }

    found = {f"{name} / this tree": between(name, OURS) for name in milliseconds if name.startswith("image to JSON")}
    found |= {f"{name} / onnxruntime": between(name, MODEL) for name in milliseconds if name.startswith("model")}
    if document["floor_ms"]:
        found["model: lungsev, onnxruntime fp32 / floor"] = {
            key: round(milliseconds[MODEL][key] / document["floor_ms"], 2) for key in ("fastest", "median")
        }
    return {name: values for name, values in found.items() if values and name.split(" / ")[0] not in (OURS,)}


def show(document: dict[str, Any]) -> None:
    """A table, fastest first, then the ratios and the grades."""
    machine, load = document["machine"], document["load"]
    console = Console(width=130, highlight=False)
    for warning in load["warnings"]:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    commits = ", ".join(f"{name} is {commit}" for name, commit in document["commits"].items())
    console.print(f"{machine['processor']}, {machine['cores']} CPUs; {commits}", markup=False)
    table = Table(title=f"ms of {document['rounds']} rounds; {document['image']}", title_justify="left")
    for column in ("candidate", "fastest", "median", "p90", "quiet runs", "times this tree", "times onnxruntime"):
        table.add_column(column, justify="left" if column == "candidate" else "right")
    for name, values in sorted(document["milliseconds"].items(), key=lambda item: item[1]["fastest"]):
        times = (f"{values[key]:.1f}" for key in ("fastest", "median", "p90"))
        whole, model = (
            str(document["ratios"].get(f"{name} / {other}", {}).get("fastest", ""))
            for other in ("this tree", "onnxruntime")
        )
        table.add_row(name, *times, f"{values['quiet']} of {document['rounds']}", whole, model)
    console.print(table)
    grades = document["grades"]
    for name, found in grades["beside"].items():
        alone = found["scored_by_one_only"]
        console.print(
            f"grades: {found['changed']} of {found['grades']} differ, {found['images']} of {grades['images']} images: "
            f"{name}" + (f"; {alone} scored by one of the two only" if alone else ""),
            markup=False,
        )
    floor = document["floor_ms"]
    console.print(
        f"floor of the network {floor} ms at {document['peak_gflops']} GFLOP/s and {document['peak_gb_per_s']} GB/s; "
        f"onnxruntime takes {document['milliseconds'][MODEL]['fastest'] / floor:.2f} times that"
        if floor
        else "no floor: the bundle's graph does not state its shapes"
    )


if __name__ == "__main__":
    main()
