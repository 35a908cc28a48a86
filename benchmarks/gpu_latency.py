"""Latency of one image on an NVIDIA GPU: lungsev's engines, ONNX Runtime, PyTorch, the floor; in eight minutes.

    python benchmarks/gpu_latency.py [--bundle BUNDLE] [--run RUN] [--json FILE] [--seconds 480]
    python benchmarks/gpu_latency.py --device cpu --seconds 120     # rehearses the same parts without a card

Every part runs in a process of its own with a limit of its own: one that is missing on the machine (TensorRT, ONNX
Runtime for CUDA), fails, crashes or takes too long is a line in the result with the reason, and the others run. The
result is benchmarks/results/CARD-DATE.json, written after every part. Without --run the PyTorch networks have the
bundle's settings and random weights: the time does not depend on them. Needs the extras `export` and `tensorrt`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch_networks import Result, TorchRunner, device_ms, example, timed, torch_gflop, torch_network

from lungsev import load
from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.export.graph.fp16 import half_from_onnx
from lungsev.inference.cpus import usable_cpus
from lungsev.inference.onnxruntime import open_session
from lungsev.inference.parity import compare, parity_cases
from lungsev.inference.select import DeviceOptions
from lungsev.inference.tensorrt.build import BuildOptions, build_engine
from lungsev.inference.tensorrt.cuda import count_devices, open_driver
from lungsev.inference.tensorrt.library import FLAVOURS, Flavour, TensorRTLibrary, load_tensorrt
from lungsev.inference.tensorrt.runner import TensorRTBackend
from lungsev.runtime.benchmark.floor import find_floor
from lungsev.runtime.benchmark.measure import BenchPlan, run_bench, write_portable_image
from lungsev.runtime.benchmark.peaks import measure_cpu_peak
from lungsev.runtime.settings import BedsideSettings, ModelSettings

RESULTS = Path(__file__).parent / "results"
PCIE_BYTES_PER_S = 55e9  # 16 lanes of the fifth generation, as drivers reach them
COMPILE_MODES = ("reduce-overhead", "max-autotune")
START_S = 15.0  # a process that imports torch
LAYERS_KEPT = 30


@dataclass(frozen=True)
class Target:
    """What the parts measure."""

    bundle: Bundle
    run: Path | None
    device: str


class Parts:
    """Collects the results of one process; a failed step leaves its reason and the others run."""

    def __init__(self, result: Result, target: Path | None, seconds: float) -> None:
        self.result, self._target = result, target
        self._deadline = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - time.monotonic()

    def run(self, name: str, step: Callable[[], Any]) -> None:
        """Store the result of a step, or the reason why it has none."""
        started = time.monotonic()
        try:
            found = step() or {}
        except Exception as error:  # whatever a driver, a compiler or a library throws
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
            found = {"failed": reason, "at": f"{Path(place.filename).name}:{place.lineno}"}
        self.keep(name, {**found, "step_seconds": round(time.monotonic() - started, 1)})

    def keep(self, name: str, found: Result) -> None:
        """Store a result, print it, and write the file."""
        self.result["parts"][name] = found
        print(f"{name}: {json.dumps(found)[:400]}", file=sys.stderr, flush=True)
        self.write()

    def write(self) -> None:
        """Write all results so far, if a file was asked for."""
        if self._target is not None:
            self._target.write_text(json.dumps(self.result, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Part:
    """One part of the measurement: a process of its own.

    Attributes:
        limit_s: After which it is ended; what it had found by then is kept.
        steps: Stores its results.
    """

    limit_s: float
    steps: Callable[[Parts, Target], None]


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="default: the packaged one")
    parser.add_argument("--run", type=Path, help="run folder whose network PyTorch runs; default: random weights")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/CARD-DATE.json, on a card")
    parser.add_argument("--seconds", type=float, default=480, help="of all parts together")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu rehearses without a card")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device == "cuda" and count_devices() == 0:
        sys.exit("gpu_latency.py: no NVIDIA GPU is seen; check nvidia-smi, or rehearse with --device cpu")
    bundle = read_bundle(options.bundle)
    started = datetime.now(timezone.utc)
    result: Result = {
        "kind": "lungsev-gpu-latency",
        "command": " ".join(["python", "benchmarks/gpu_latency.py", *sys.argv[1:]]),
        "measured_at": started.isoformat(timespec="seconds"),
        "device": options.device,
        "model": f"{bundle.manifest.name} {bundle.manifest.version}",
        "bundle_sha256": bundle.sha256,
        "parts": {},
    }
    parts = Parts(result, options.json, options.seconds)
    if options.part:
        PARTS[options.part].steps(parts, Target(bundle, options.run, options.device))
        return
    for name in options.only or PARTS:
        run_apart(parts, name, options)
        if name == "machine" and options.json is None and options.device == "cuda":
            card = result["parts"].get("machine", {}).get("gpu", "unknown card")
            parts = Parts(result, RESULTS / f"{slug(card)}-{started:%Y-%m-%d}.json", parts.seconds_left)
            parts.write()
    result["seconds"] = round(options.seconds - parts.seconds_left, 1)
    parts.write()
    show(result)


def slug(card: str) -> str:
    """Return a card's name as part of a file name: "NVIDIA H100 80GB HBM3" is `h100-80gb-hbm3`."""
    return re.sub(r"[^a-z0-9]+", "-", card.lower().replace("nvidia", "")).strip("-") or "unknown-card"


def run_apart(parts: Parts, name: str, options: argparse.Namespace) -> None:
    """Run one part in another process and store its results, those of an unfinished one too."""
    limit = min(PARTS[name].limit_s, parts.seconds_left)
    if limit < START_S:
        parts.keep(name, {"skipped": f"{max(0.0, parts.seconds_left):.0f} s left of {options.seconds:.0f}"})
        return
    with tempfile.TemporaryDirectory(prefix="lungsev-gpu-") as folder:
        target = Path(folder) / "part.json"
        words = [sys.executable, __file__, "--part", name, "--json", str(target), "--device", options.device]
        words += ["--seconds", f"{limit:.0f}"]
        words += ["--bundle", str(options.bundle)] if options.bundle else []
        words += ["--run", str(options.run)] if options.run else []
        why = run_limited(words, limit)
        written = json.loads(target.read_text(encoding="utf-8"))["parts"] if target.is_file() else {}
    for step, found in written.items():
        parts.keep(step, found)
    if why:
        parts.keep(name if name not in written else f"{name}: process", {"failed": why})


def run_limited(words: list[str], limit_s: float) -> str:
    """Run a process and all that it starts for some time; return how it failed, empty where it did not."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"took more than {limit_s:.0f} s and was ended"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a compiler's workers, too
            process.wait()
        errors.seek(0)
        said = " ".join(errors.read().decode(errors="replace").split())[-400:]
    return f"ended with {code}: {said}" if code else ""


def machine_part(parts: Parts, target: Target) -> None:
    """Describe the device, the processor and the libraries."""
    parts.run("machine", describe_card if target.device == "cuda" else describe_processor)


def describe_processor() -> Result:
    """Describe the processor, for a rehearsal."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return {
        "gpu": "none: a rehearsal on the processor",
        "cpu": next((line.split(":")[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), ""),
        "cpu_amx": "amx_bf16" in cpuinfo,
        "cores": usable_cpus(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def describe_card() -> Result:
    """Describe the GPU, with its measured peak and bandwidth."""
    properties = torch.cuda.get_device_properties(0)
    asked = "name,driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw,power.limit,persistence_mode"
    with contextlib.suppress(OSError):
        smi = subprocess.run(
            ["nvidia-smi", f"--query-gpu={asked}", "--format=csv"], capture_output=True, text=True, check=False
        ).stdout.strip()
    driver = open_driver()
    driver.close()
    return {
        **describe_processor(),
        "gpu": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "nvidia_smi": smi.splitlines(),
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


def floor_part(parts: Parts, target: Target) -> None:
    """Sum over the layers of the larger of arithmetic and traffic, in both precisions, at the device's peak."""
    for precision in ("fp16", "fp32") if target.device == "cuda" else ("fp32",):
        parts.run(f"floor {precision}", lambda it=precision: floor(target, it))  # type: ignore[misc]


def floor(target: Target, precision: str) -> Result:
    """Return the floor of one precision, and the time of the image's way to the device."""
    device = torch.cuda.get_device_name() if target.device == "cuda" else "cpu"
    peak = measure_cpu_peak() if target.device == "cpu" else None
    found = find_floor(target.bundle, _Named(device, precision), peak, 0.0)  # type: ignore[arg-type]
    if found.note:
        return {"skipped": found.note}
    moved = example(target.bundle).nbytes / PCIE_BYTES_PER_S * 1000
    return {
        "gflop": found.gflop,
        "megabytes": found.megabytes,
        "arithmetic_ms": found.arithmetic_ms,
        "traffic_ms": found.traffic_ms,
        "floor_ms": found.floor_ms,
        "peak": found.peak.source if found.peak is not None else "",
        "image_to_device_ms": round(moved, 4) if target.device == "cuda" else 0.0,
    }


@dataclass(frozen=True)
class _Named:
    """What the floor asks of a backend."""

    device: str
    precision: str


def graphs_of(bundle: Bundle) -> dict[str, bytes]:
    """Return both graphs; for a bundle without the half graph, one is converted here without a comparison."""
    fp32 = bundle.graph_bytes("fp32")
    half = bundle.graph_bytes("fp16") if "fp16" in bundle.precisions else half_from_onnx(fp32).data
    return {"fp32": fp32, "fp16": half}


def engine_part(flavour: Flavour) -> Callable[[Parts, Target], None]:
    """Build and time the engines of one TensorRT flavour."""

    def steps(parts: Parts, target: Target) -> None:
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
        graphs = graphs_of(target.bundle)
        for precision in ("fp16", "fp32"):
            parts.run(
                f"{flavour}: {precision}",
                lambda it=precision: engine(target, library, it, graphs[it]),  # type: ignore[misc]
            )
        if library.is_rtx and target.device == "cuda":
            parts.run(f"{flavour}: plans of other cards", lambda: foreign_plans(library, graphs["fp16"]))

    return steps


def engine(target: Target, library: TensorRTLibrary, precision: str, graph: bytes) -> Result:
    """Build an engine for this GPU, compare it with the FP32 graph, time it and its layers."""
    if target.device == "cpu":  # TensorRT-RTX builds without a card
        built = build_engine(graph, library, BuildOptions(compute_capability="8.9"))
        return {"build_seconds": built.build_seconds, "skipped": "no card to run the engine on"}
    built = build_engine(graph, library, BuildOptions())
    found: Result = {
        "build_seconds": built.build_seconds,
        "plan_megabytes": round(len(built.plan) / 1e6, 1),
        "half_layers": f"{built.half_layers} of {built.layers}",
    }
    image = example(target.bundle)
    started = time.monotonic()
    with TensorRTBackend(built.plan, library, image.shape[-1], precision) as backend:
        found["open_seconds"] = round(time.monotonic() - started, 2)
        found["cuda_graph"] = backend.uses_graph or library.is_rtx
        found |= timed(backend.infer, image)
        session = open_session(target.bundle.graph_bytes("fp32"))
        names = [output.name for output in session.get_outputs()]
        reference = lambda radiograph: dict(zip(names, session.run(names, {"image": radiograph}), strict=True))  # noqa: E731
        cases = list(parity_cases(image.shape[-1], phantoms=3))
        manifest = target.bundle.manifest
        found["parity"] = str(compare(("ONNX FP32", reference), ("engine", backend.infer), cases, manifest))
        found["slowest_layers"] = slowest_layers(backend.layer_times(image, 5))
    return found


def slowest_layers(times: list[tuple[str, float]]) -> dict[str, float]:
    """Return name and median milliseconds of the slowest layers."""
    by_name: dict[str, list[float]] = {}
    for name, milliseconds in times:
        by_name.setdefault(name, []).append(milliseconds)
    medians = {name[:200]: round(float(np.median(values)), 4) for name, values in by_name.items()}
    return dict(sorted(medians.items(), key=lambda item: -item[1])[:LAYERS_KEPT])


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


def bench_part(parts: Parts, target: Target) -> None:
    """What users have: every stage, the watched folder, clocks and energy; and an image whose pixels are in memory."""
    backend = "tensorrt" if target.device == "cuda" else "onnxruntime"
    parts.run("pixels in memory to JSON", lambda: pixels_in_memory(target, backend))
    parts.run("lungsev-run bench", lambda: bench(target, backend))


def pixels_in_memory(target: Target, backend: str) -> Result:
    """Time a score and its JSON from a radiograph that is in memory."""
    with (
        tempfile.TemporaryDirectory(prefix="lungsev-gpu-") as folder,
        load(target.bundle.path, backend, allow_unsigned=True, device=DeviceOptions(wait=True)) as model,
    ):
        radiograph = model.read(write_portable_image(Path(folder) / "image.dcm"))
        found = timed(lambda _image: model.score_radiograph(radiograph).report.to_json(), np.zeros(1), runs=100)
        return {**found, "backend": str(model.status)}


def bench(target: Target, backend: str) -> Result:
    """Return the bench's document with its slowest layers alone."""
    model = ModelSettings(bundle=target.bundle.path, backend=backend, allow_unsigned=True)
    document = run_bench(BenchPlan(BedsideSettings(model=model), drops=5, cold_start=False)).to_dict()
    document["floor"].pop("layers")
    if document["profile"] is not None:
        document["profile"]["layers"] = document["profile"]["layers"][:LAYERS_KEPT]
    return document


def torch_part(parts: Parts, target: Target) -> None:
    """Time the same network in PyTorch, eager and as a CUDA graph."""
    image = example(target.bundle)
    for name, mixed, graph, last in (
        ("PyTorch fp16 CUDA graph", True, True, False),
        ("PyTorch fp16 CUDA graph, channels last", True, True, True),
        ("PyTorch fp16 eager", True, False, False),
        ("PyTorch fp32 CUDA graph", False, True, False),
        ("PyTorch fp32 eager", False, False, False),
    ):
        if graph and target.device == "cpu":
            parts.keep(name, {"skipped": "a processor has no CUDA graphs"})
        else:
            parts.run(name, lambda m=mixed, g=graph, c=last: timed_torch(target, image, m, g, c))  # type: ignore[misc]


def timed_torch(target: Target, image: np.ndarray, mixed: bool, graph: bool, channels_last: bool) -> Result:
    """Time a network from host to host and on the GPU alone."""
    network = torch_network(target.bundle, target.run, mixed, channels_last, target.device)
    runner = TorchRunner(network, image.shape[-1], graph, target.device)
    counted = {"gflop": torch_gflop(network, image)} if target.device == "cpu" and not mixed else {}
    return {**timed(runner, image), "device_ms": runner.device_ms, **counted}


def compile_part(mode: str) -> Callable[[Parts, Target], None]:
    """Time torch.compile, whose modes record CUDA graphs themselves."""

    def compiled(target: Target) -> Result:
        image = example(target.bundle)
        started = time.monotonic()
        mixed = target.device == "cuda"
        network = torch.compile(
            torch_network(target.bundle, target.run, mixed, channels_last=False, device=target.device), mode=mode
        )
        runner = TorchRunner(network, image.shape[-1], graph=False, device=target.device)
        runner(image)
        seconds = time.monotonic() - started
        return {"compile_seconds": round(seconds, 1), **timed(runner, image)}

    return lambda parts, target: parts.run(f"PyTorch compiled ({mode})", lambda: compiled(target))


def onnxruntime_part(parts: Parts, target: Target) -> None:
    """Time ONNX Runtime on the GPU in both precisions, queued node by node and as a CUDA graph."""
    graphs = graphs_of(target.bundle)
    for precision in ("fp16", "fp32"):
        for graph in (False, True):
            provider = "CUDA" if target.device == "cuda" else "CPU, fixed memory,"
            name = f"ONNX Runtime {provider} {precision}" + (" CUDA graph" if graph else "")
            if target.device == "cpu" and (graph or precision == "fp16"):
                parts.keep(name, {"skipped": "not for a processor"})
            else:
                parts.run(
                    name,
                    lambda p=precision, g=graph: timed_onnxruntime(target, graphs[p], g),  # type: ignore[misc]
                )


def timed_onnxruntime(target: Target, graph: bytes, cuda_graph: bool) -> Result:
    """Time a graph with its input and outputs in fixed memory of the device, copies included."""
    import onnxruntime

    provider = "CUDAExecutionProvider" if target.device == "cuda" else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        return {"skipped": f"onnxruntime {onnxruntime.__version__} here has no {provider}"}
    asked = (provider, {"enable_cuda_graph": "1"}) if cuda_graph else provider
    session = onnxruntime.InferenceSession(graph, providers=[asked])
    if session.get_providers()[0] != provider:
        raise RuntimeError(f"ONNX Runtime fell back to {session.get_providers()[0]}")
    image = example(target.bundle)
    held = onnxruntime.OrtValue.ortvalue_from_numpy(image, target.device, 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input("image", held)
    outputs = []
    for output in session.get_outputs():
        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(output.shape, np.float32, target.device, 0)
        binding.bind_ortvalue_output(output.name, value)
        outputs.append(value)

    def infer(radiograph: np.ndarray) -> list[np.ndarray]:
        held.update_inplace(radiograph)
        session.run_with_iobinding(binding)
        return [value.numpy() for value in outputs]

    return timed(infer, image)


def processor_part(parts: Parts, target: Target) -> None:
    """Time ONNX Runtime on the processor, as lungsev runs it without a GPU."""
    session = open_session(target.bundle.graph_bytes("fp32"))
    image = example(target.bundle)
    parts.run(
        "ONNX Runtime CPU fp32", lambda: timed(lambda it: session.run(None, {"image": it}), image, runs=30, at_most_s=8)
    )


PARTS: dict[str, Part] = {
    "machine": Part(60, machine_part),
    "floor": Part(40, floor_part),
    **{flavour: Part(100, engine_part(flavour)) for flavour in FLAVOURS},
    "bench": Part(120, bench_part),
    "torch": Part(90, torch_part),
    "onnxruntime": Part(60, onnxruntime_part),
    "processor": Part(40, processor_part),
    **{mode: Part(150, compile_part(mode)) for mode in COMPILE_MODES},
}


def show(result: Result) -> None:
    """Print a table, fastest first, then the parts that did not run, with the reason."""
    parts = result["parts"]
    machine = parts.get("machine", {})
    table = Table(title=f"one image, host to host, ms: {machine.get('gpu', 'unknown card')}", title_justify="left")
    for column in ("candidate", "p50", "p90", "p99", "fastest", "n", "parity"):
        table.add_column(column, justify="left" if column in ("candidate", "parity") else "right")
    timed_parts = {name: part for name, part in parts.items() if "p50_ms" in part}
    for name, part in sorted(timed_parts.items(), key=lambda item: item[1]["p50_ms"]):
        numbers = (f"{part[key]:.3f}" for key in ("p50_ms", "p90_ms", "p99_ms", "fastest_ms"))
        table.add_row(name, *numbers, str(part["n"]), part.get("parity", ""))
    console = Console(width=140, highlight=False)
    console.print(table)
    for name, part in parts.items():
        if name.startswith("floor") and "floor_ms" in part:
            console.print(
                f"{name}: {part['floor_ms']} ms ({part['gflop']} GFLOP, {part['megabytes']} MB; {part['peak']})",
                markup=False,
            )
        for word in ("failed", "skipped"):
            if word in part:
                console.print(f"{name}: {word}: {part[word]}", markup=False)
    console.print(f"{result['seconds']:.0f} s in all")


if __name__ == "__main__":
    main()
