"""Latency of one image on an NVIDIA GPU, host memory to host memory: lungsev's engines, PyTorch, theoretical floor.

    python benchmarks/gpu_latency.py [--bundle BUNDLE] [--run RUN] [--json FILE] [--seconds 200]

A part that is missing on the machine (TensorRT, ONNX Runtime for CUDA) or fails is a line in the result with the
reason, and the run continues. Without --run the PyTorch networks have the bundle's settings and random weights: the
time does not depend on them. Needs the extras `export` and `tensorrt`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch_networks import Result, TorchRunner, device_ms, example, timed, torch_network

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.export.graph.costs import total_gflop
from lungsev.export.graph.fp16 import half_from_onnx
from lungsev.inference.cpus import usable_cpus
from lungsev.inference.onnxruntime import open_session
from lungsev.inference.parity import compare, parity_cases
from lungsev.inference.tensorrt.build import BuildOptions, build_engine
from lungsev.inference.tensorrt.cuda import open_driver
from lungsev.inference.tensorrt.library import FLAVOURS, Flavour, TensorRTLibrary, load_tensorrt
from lungsev.inference.tensorrt.runner import TensorRTBackend
from lungsev.runtime.benchmark.peaks import peak_of_gpu

PCIE_BYTES_PER_S = 55e9  # 16 lanes of the fifth generation, as drivers reach them
COMPILE_MODES = ("reduce-overhead", "max-autotune")


class Parts:
    """Runs the parts of the measurement one by one; a failed part leaves its reason and the others run."""

    def __init__(self, result: Result, target: Path | None, seconds: float) -> None:
        self.result, self._target = result, target
        self._deadline = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - time.monotonic()

    def run(self, name: str, part: Callable[[], Any], needs_s: float = 5.0) -> None:
        """Store the result of a part, or the reason why it has none."""
        started = time.monotonic()
        if self.seconds_left < needs_s:
            self.keep(name, {"skipped": f"{self.seconds_left:.0f} s left, it may take {needs_s:.0f}"})
            return
        try:
            found = part() or {}
        except Exception as error:  # whatever a driver, a compiler or a library throws
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            found = {"failed": reason, "at": f"{Path(place.filename).name}:{place.lineno}"}
        self.keep(name, {**found, "part_seconds": round(time.monotonic() - started, 1)})

    def keep(self, name: str, found: Result) -> None:
        """Store a result, print it, and write the file."""
        self.result["parts"][name] = found
        print(f"{name}: {json.dumps(found)}", flush=True)
        self.write()

    def write(self) -> None:
        """Write all results so far, if a file was asked for."""
        if self._target is not None:
            self._target.write_text(json.dumps(self.result, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="default: the packaged one")
    parser.add_argument("--run", type=Path, help="run folder whose network PyTorch runs; default: random weights")
    parser.add_argument("--json", type=Path, help="also write the figures here, after every part")
    parser.add_argument("--seconds", type=float, default=200, help="start nothing that may end later")
    parser.add_argument("--part", choices=(*FLAVOURS, *COMPILE_MODES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    bundle = read_bundle(options.bundle)
    result: Result = {
        "command": " ".join(["python", "benchmarks/gpu_latency.py", *sys.argv[1:]]),
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": f"{bundle.manifest.name} {bundle.manifest.version}",
        "parts": {},
    }
    parts = Parts(result, options.json, options.seconds)
    if options.part in FLAVOURS:
        engine_parts(parts, bundle, options.part)
    elif options.part:
        parts.run(f"PyTorch fp16 compiled ({options.part})", lambda: compiled(bundle, options.run, options.part))
    else:
        every_part(parts, bundle, options)
        show(result)


def every_part(parts: Parts, bundle: Bundle, options: argparse.Namespace) -> None:
    """Run all parts; a part that may crash or hang runs in its own process."""
    parts.run("machine", machine)
    parts.run("floor", lambda: floor(bundle))
    apart(parts, options, "tensorrt_rtx", at_most_s=70)
    apart(parts, options, "tensorrt", at_most_s=70)
    torch_parts(parts, bundle, options.run)
    parts.run("ONNX Runtime CUDA fp32", lambda: onnxruntime_cuda(bundle))
    parts.run("ONNX Runtime CPU fp32", lambda: onnxruntime_cpu(bundle))
    apart(parts, options, "reduce-overhead", at_most_s=60)
    apart(parts, options, "max-autotune", at_most_s=600)


def apart(parts: Parts, options: argparse.Namespace, part: str, at_most_s: float) -> None:
    """Run one part of this script in another process and store its results."""
    limit = min(at_most_s, parts.seconds_left - 3)
    if limit < 15:
        parts.keep(part, {"skipped": f"{limit:.0f} s left"})
        return
    with tempfile.TemporaryDirectory(prefix="lungsev-gpu-") as folder:
        target = Path(folder) / "part.json"
        words = [sys.executable, __file__, "--part", part, "--json", str(target), "--seconds", f"{limit:.0f}"]
        words += ["--bundle", str(options.bundle)] if options.bundle else []
        words += ["--run", str(options.run)] if options.run else []
        try:
            ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=limit)
            why = f"ended with {ended.returncode}: {' '.join(ended.stderr.split())[-400:]}" if ended.returncode else ""
        except subprocess.TimeoutExpired:
            why = f"took more than {limit:.0f} s"
        written = json.loads(target.read_text(encoding="utf-8"))["parts"] if target.is_file() else {}
    for name, found in written.items():
        parts.keep(name, found)
    if why:
        parts.keep(f"{part}: process", {"failed": why})


def engine_parts(parts: Parts, bundle: Bundle, flavour: Flavour) -> None:
    """Build and time the engines of one TensorRT flavour."""
    library: TensorRTLibrary | None = None

    def describe() -> Result:
        nonlocal library
        library = load_tensorrt(flavour)
        capabilities = getattr(library.trt, "ComputeCapability", None)
        known = sorted(capabilities.__members__) if capabilities is not None else "this device"
        return {"version": library.version, "builds_for": known}

    parts.run(f"{flavour}: library", describe)
    if library is None:
        return
    graphs: dict[str, bytes] = {}
    parts.run(f"{flavour}: graphs", lambda: graphs.update(graphs_of(bundle)))
    for precision in ("fp16", "fp32"):
        parts.run(f"{flavour}: {precision}", lambda it=precision: engine(bundle, library, it, graphs[it]))
    if library.is_rtx:
        parts.run(f"{flavour}: plans of other cards", lambda: foreign_plans(library, graphs["fp16"]))


def torch_parts(parts: Parts, bundle: Bundle, run: Path | None) -> None:
    """Time the same network in PyTorch, eager and as a CUDA graph."""
    image = example(bundle)
    for name, mixed, graph, last in (
        ("PyTorch fp16 CUDA graph", True, True, False),
        ("PyTorch fp16 CUDA graph, channels last", True, True, True),
        ("PyTorch fp16 eager", True, False, False),
        ("PyTorch fp32 CUDA graph", False, True, False),
        ("PyTorch fp32 eager", False, False, False),
    ):
        parts.run(
            name,
            lambda m=mixed, g=graph, c=last: timed_torch(torch_network(bundle, run, m, c), image, g),
        )


def timed_torch(network: nn.Module, image: np.ndarray, graph: bool) -> Result:
    """Time a network from host to host and on the GPU alone."""
    runner = TorchRunner(network, image.shape[-1], graph)
    return {**timed(runner, image), "device_ms": runner.device_ms}


def machine() -> Result:
    """Describe the GPU, the processor and the libraries."""
    properties = torch.cuda.get_device_properties(0)
    asked = "name,driver_version,clocks.sm,clocks.mem,power.limit,persistence_mode"
    smi = subprocess.run(
        ["nvidia-smi", f"--query-gpu={asked}", "--format=csv"], capture_output=True, text=True, check=False
    )
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    driver = open_driver()
    driver.close()
    return {
        "gpu": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "nvidia_smi": smi.stdout.strip().splitlines()[-1:],
        "cpu": next((line.split(":")[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), ""),
        "cpu_amx": "amx_bf16" in cpuinfo,
        "cores": usable_cpus(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "driver_binding": type(driver).__name__,
        "measured_fp16_tflops": round(matrix_tflops(), 1),
        "measured_copy_gb_per_s": round(copy_rate(), 0),
    }


def matrix_tflops(side: int = 8192) -> float:
    """Return the measured TFLOP/s of an FP16 matrix product."""
    a = torch.randn(side, side, device="cuda", dtype=torch.float16)
    return 2 * side**3 / device_ms(lambda: a @ a, 10) / 1e9


def copy_rate(megabytes: int = 1024) -> float:
    """Return 10^9 bytes per second, read and written."""
    a = torch.empty(megabytes << 20, device="cuda", dtype=torch.uint8)
    b = torch.empty_like(a)
    return 2 * a.numel() / device_ms(lambda: b.copy_(a), 10) / 1e6


def graphs_of(bundle: Bundle) -> dict[str, bytes]:
    """Return both graphs; for a bundle without the half graph, one is converted here without a comparison."""
    fp32 = bundle.graph_bytes("fp32")
    half = bundle.graph_bytes("fp16") if "fp16" in bundle.precisions else half_from_onnx(fp32).data
    return {"fp32": fp32, "fp16": half}


def floor(bundle: Bundle) -> Result:
    """Return the times of arithmetic, weights and transfer at the data sheet's peak."""
    graph = bundle.graph_bytes("fp32")
    gflop = total_gflop(onnx.load_from_string(graph))
    name = torch.cuda.get_device_name()
    sheet = peak_of_gpu(name)
    if sheet is None:
        return {"gflop": round(gflop, 3), "peak": f"the peak of {name} is not known here"}
    return {
        "gflop": round(gflop, 3),
        "arithmetic_ms": round(gflop / sheet.half_gflops * 1000, 4),
        "weights_ms": round(len(graph) / 2 / sheet.gb_per_s / 1e6, 4),
        "image_to_device_ms": round(example(bundle).nbytes / PCIE_BYTES_PER_S * 1000, 4),
    }


def engine(bundle: Bundle, library: TensorRTLibrary, precision: str, graph: bytes) -> Result:
    """Build an engine for this GPU, compare it with the FP32 graph, and time it."""
    built = build_engine(graph, library, BuildOptions())
    found: Result = {
        "build_seconds": built.build_seconds,
        "plan_megabytes": round(len(built.plan) / 1e6, 1),
        "half_layers": f"{built.half_layers} of {built.layers}",
    }
    image = example(bundle)
    started = time.monotonic()
    with TensorRTBackend(built.plan, library, image.shape[-1], precision) as backend:
        found["open_seconds"] = round(time.monotonic() - started, 2)
        found["cuda_graph"] = backend.uses_graph or library.is_rtx
        found |= timed(backend.infer, image)
        session = open_session(bundle.graph_bytes("fp32"))
        names = [output.name for output in session.get_outputs()]
        reference = lambda radiograph: dict(zip(names, session.run(names, {"image": radiograph}), strict=True))  # noqa: E731
        cases = list(parity_cases(image.shape[-1], phantoms=3))
        found["parity"] = str(compare(("ONNX FP32", reference), ("engine", backend.infer), cases, bundle.manifest))
    return found


def foreign_plans(library: TensorRTLibrary, graph: bytes) -> Result:
    """Report whether TensorRT-RTX loads plans that were built ahead of time for other GPUs."""
    said: Result = {}
    for capability in ("8.0", "8.9", "12.0"):
        try:
            plan = build_engine(graph, library, BuildOptions(compute_capability=capability)).plan
            runtime = library.trt.Runtime(library.trt.Logger(library.trt.Logger.ERROR))
            validity = runtime.get_engine_validity(plan) if hasattr(runtime, "get_engine_validity") else None
            loaded = runtime.deserialize_cuda_engine(plan) is not None
            said[capability] = {"validity": str(validity), "deserialises": loaded}
        except Exception as error:  # as Parts.run
            said[capability] = f"{type(error).__name__}: {str(error)[:300]}"
    return said


def onnxruntime_cuda(bundle: Bundle) -> Result:
    """Time ONNX Runtime on the GPU."""
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return {"skipped": f"onnxruntime {onnxruntime.__version__} here has no CUDA provider"}
    session = onnxruntime.InferenceSession(bundle.graph_bytes("fp32"), providers=["CUDAExecutionProvider"])
    return timed(lambda radiograph: session.run(None, {"image": radiograph}), example(bundle))


def onnxruntime_cpu(bundle: Bundle) -> Result:
    """Time ONNX Runtime on the processor."""
    session = open_session(bundle.graph_bytes("fp32"))
    return timed(lambda radiograph: session.run(None, {"image": radiograph}), example(bundle), runs=30)


def compiled(bundle: Bundle, run: Path | None, mode: str) -> Result:
    """Time torch.compile, whose modes record CUDA graphs themselves."""
    image = example(bundle)
    started = time.monotonic()
    network = torch.compile(torch_network(bundle, run, mixed=True, channels_last=False), mode=mode)
    runner = TorchRunner(network, image.shape[-1], graph=False)  # both modes record graphs themselves
    seconds = time.monotonic() - started
    return {"compile_seconds": round(seconds, 1), **timed(runner, image)}


def show(result: Result) -> None:
    """Print a table, fastest first, then the parts that did not run, with the reason."""
    parts = result["parts"]
    table = Table(title=f"one image, host to host: {parts.get('machine', {}).get('gpu', 'no GPU')}")
    for column in ("candidate", "p50 ms", "p95 ms", "p99 ms", "parity"):
        table.add_column(column)
    timed_parts = {name: part for name, part in parts.items() if "p50_ms" in part}
    for name, part in sorted(timed_parts.items(), key=lambda item: item[1]["p50_ms"]):
        numbers = (f"{part[key]:.3f}" for key in ("p50_ms", "p95_ms", "p99_ms"))
        table.add_row(name, *numbers, part.get("parity", ""))
    console = Console(width=140)
    console.print(table)
    console.print(f"floor: {parts.get('floor')}")
    for name, part in parts.items():
        for word in ("failed", "skipped"):
            if word in part:
                console.print(f"{name}: {word}: {part[word]}", markup=False)


if __name__ == "__main__":
    main()
