"""Engine builder for TensorRT 10.3-11.x and TensorRT-RTX, from a bundle's graph.

Torch-free, because it runs on the device. A graph that TensorRT would build without an error and compute wrongly is
refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lungsev.bundle.onnx_facts import OnnxFacts, read_onnx
from lungsev.errors import BackendError
from lungsev.inference.tensorrt.library import TensorRTLibrary
from lungsev.inference.tensorrt.products import lacks_fp32_products, replace_fp32_products
from lungsev.inference.tensorrt.progress import Progress, progress_monitor

NEWEST_OPSET = 19
_HALF = 10

BUILD_RULES = 2  # increase when engines are built differently than before, so that those in caches are built again
_DEFAULT_WORKSPACE_MIB = 1024


class HalfRefusedError(BackendError):
    """An engine of a half-precision graph computes in FP32."""


@dataclass(frozen=True)
class BuildOptions:
    """Options that decide an engine besides graph, library and device.

    Attributes:
        workspace_mib: Scratch memory for the builder's trials; on 8 GB boards the builder fails when it is large.
        optimisation_level: 0 (seconds, slower engine) to 5; None is the library's default.
        compute_capability: E.g. "8.9", to build ahead of time for another device (TensorRT-RTX only); None: this one.
        timing_cache: What an earlier build measured of its kernels, which makes this one shorter; TensorRT only.
    """

    workspace_mib: int = _DEFAULT_WORKSPACE_MIB
    optimisation_level: int | None = None
    compute_capability: str | None = None
    timing_cache: bytes = b""


@dataclass(frozen=True)
class BuiltEngine:
    """A serialised engine with the builder's numbers and warnings.

    Attributes:
        half_layers: Convolutions and matrix products in half precision, of `layers` in all, in the parsed network: for
            plans that are not loaded here. Of a loaded engine, `lungsev.inference.tensorrt.layers` counts them.
        timing_cache: What the builder measured, for the next build; empty where the library keeps none.
    """

    plan: bytes
    half_layers: int
    layers: int
    build_seconds: float
    warnings: tuple[str, ...]
    timing_cache: bytes = b""


def build_engine(
    graph: bytes,
    library: TensorRTLibrary,
    options: BuildOptions = BuildOptions(),
    progress: Progress | None = None,
) -> BuiltEngine:
    """Build a plan.

    Args:
        graph: Serialised ONNX, FP32 or strongly typed half.
        library: Builds it.
        options: For the builder.
        progress: Called with the builder's phase and the share of the build that is done.

    Raises:
        BackendError: The graph is not safe to build, or the builder failed.
    """
    facts = read_onnx(graph)
    refuse_unsafe_graph(facts)
    wants_half = is_half_graph(facts)
    trt = library.trt
    log = _collecting_logger(trt)
    started = time.perf_counter()
    builder = made(lambda: trt.Builder(log), "builder", log.last, library)
    network = made(lambda: builder.create_network(_network_flags(library)), "network", log.last, library)
    parser = made(lambda: trt.OnnxParser(network, log), "parser", log.last, library)
    if not parser.parse(graph):
        reasons = "; ".join(str(parser.get_error(i)).strip() for i in range(parser.num_errors))
        reasons = reasons or log.last() or "no reason given"
        raise BackendError(f"{library.flavour} {library.version} does not read the graph: {reasons[:400]}")
    half_layers, layers = count_half_layers(trt, network)
    if lacks_fp32_products(library, options.compute_capability):
        replace_fp32_products(trt, network)
    config = made(builder.create_builder_config, "builder configuration", log.last, library)
    _configure(config, library, options, wants_half, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(_explain_failure(log, library, options))
    return BuiltEngine(
        plan=bytes(plan),
        half_layers=half_layers,
        layers=layers,
        build_seconds=round(time.perf_counter() - started, 2),
        warnings=tuple(log.warnings),
        timing_cache=_measured_timings(config, library),
    )


def is_half_graph(facts: OnnxFacts) -> bool:
    """Return whether the graph computes in half precision."""
    return _HALF in facts.element_types.values()


def refuse_unsafe_graph(facts: OnnxFacts) -> None:
    """Refuse graphs that TensorRT builds without an error and computes wrongly.

    Raises:
        BackendError: Names what is wrong.
    """
    advice = "export the bundle again with this release of lungsev-export"
    if facts.opset > NEWEST_OPSET:
        raise BackendError(
            f"the graph has opset {facts.opset}, expected at most {NEWEST_OPSET}: from 20 on GridSample's mode has a "
            f"name that TensorRT reads as nearest; {advice}"
        )
    for node in facts.nodes_of("GridSample"):
        mode = node.attributes.get("mode", "bilinear")
        if mode != "bilinear":
            raise BackendError(
                f"GridSample has mode {mode!r}, expected 'bilinear' (TensorRT reads others as nearest); {advice}"
            )
    products = (node for node in facts.nodes_of_warp() if node.op_type == "MatMul")
    for node in (*facts.nodes_of("GridSample"), *products):
        if any(facts.element_types.get(name) == _HALF for name in node.inputs):
            raise BackendError(
                f"{node.op_type} {node.name} resamples the image in half precision, which misplaces it; "
                f"expected FP32; {advice}"
            )
    if facts.bad_weights:
        raise BackendError(f"weight {facts.bad_weights[0]} holds NaN or infinity; {advice}")
    if facts.external_data:
        raise BackendError(f"the graph refers to weights outside the file; {advice}")
    for name, shape in {**facts.inputs, **facts.outputs}.items():
        if any(side < 1 for side in shape):
            raise BackendError(f"{name} has no fixed shape {shape}; {advice}")


def count_half_layers(trt: Any, network: Any) -> tuple[int, int]:
    """Count the convolutions and matrix products of a parsed network: (those in half precision, all)."""
    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    types = [
        layer.get_output_type(0)
        for layer in (network.get_layer(i) for i in range(network.num_layers))
        if layer.type in kinds
    ]
    return sum(kind == trt.DataType.HALF for kind in types), len(types)


def rtx_capabilities(library: TensorRTLibrary) -> list[str]:
    """Return the compute capabilities that TensorRT-RTX has kernels for, e.g. "8.9"; none for TensorRT itself."""
    members = getattr(getattr(library.trt, "ComputeCapability", None), "__members__", {}) if library.is_rtx else {}
    return sorted((f"{name[2:-1]}.{name[-1]}" for name in members if name[2:].isdigit()), key=float)


def _network_flags(library: TensorRTLibrary) -> int:
    flags = getattr(library.trt, "NetworkDefinitionCreationFlag", None)
    for name in ("STRONGLY_TYPED", "EXPLICIT_BATCH"):
        if hasattr(flags, name):
            return 1 << int(getattr(flags, name))
    return 0


def _configure(
    config: Any, library: TensorRTLibrary, options: BuildOptions, wants_half: bool, progress: Progress | None
) -> None:
    trt = library.trt
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    if options.optimisation_level is not None and hasattr(config, "builder_optimization_level"):
        config.builder_optimization_level = options.optimisation_level
    if hasattr(trt, "ProfilingVerbosity"):
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # the inspector names every layer's precision
    if hasattr(trt.BuilderFlag, "TF32"):
        # On by default: FP32 would be multiplied with ten bits of mantissa, as in half precision.
        config.clear_flag(trt.BuilderFlag.TF32)
    if wants_half and not library.strongly_typed:
        config.set_flag(trt.BuilderFlag.FP16)  # TensorRT 8: a request, checked by the comparison
    if progress is not None and hasattr(trt, "IProgressMonitor"):
        config.progress_monitor = progress_monitor(trt, progress)
    if options.compute_capability is not None:
        _set_compute_capability(config, library, options.compute_capability)
    if not library.is_rtx and hasattr(config, "create_timing_cache"):  # RTX builds without a device, and dies of it
        timings = config.create_timing_cache(options.timing_cache) or config.create_timing_cache(b"")
        if timings is not None:  # without them the builder measures again
            config.set_timing_cache(timings, False)  # timings of another device or version are left out


def _measured_timings(config: Any, library: TensorRTLibrary) -> bytes:
    timings = config.get_timing_cache() if not library.is_rtx and hasattr(config, "get_timing_cache") else None
    return bytes(timings.serialize()) if timings is not None else b""


def _set_compute_capability(config: Any, library: TensorRTLibrary, capability: str) -> None:
    known = getattr(library.trt, "ComputeCapability", None)
    if known is None or not hasattr(config, "set_compute_capability"):
        raise BackendError(
            f"{library.flavour} {library.version} builds only for the device it runs on; build there, "
            "or use TensorRT-RTX"
        )
    if capability not in rtx_capabilities(library):
        raise BackendError(
            f"{library.flavour} {library.version} does not build for compute capability {capability}; "
            f"it builds for {', '.join(rtx_capabilities(library))}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(known, f"SM{capability.replace('.', '')}"), 0)


def require_half(graph: bytes, half_layers: int, layers: int, library: TensorRTLibrary) -> None:
    """Refuse an engine of a half-precision graph whose builder kept FP32 without a message.

    Fusion changes the number of layers, so shares are compared. A plan's size proves nothing: on some devices weights
    are stored unpacked.

    Args:
        graph: That it was built from; nothing is asked of an engine of an FP32 graph.
        half_layers: Convolutions and matrix products in half precision, of `layers` in all.
        layers: As `half_layers` says.
        library: That built it. TensorRT 8 takes half precision as a request, and only the comparison tells.

    Raises:
        HalfRefusedError: With the numbers.
    """
    facts = read_onnx(graph)
    if not is_half_graph(facts) or not library.strongly_typed:
        return
    products = [node for kind in ("Conv", "MatMul", "Gemm") for node in facts.nodes_of(kind)]
    half_nodes = sum(facts.element_types.get(node.outputs[0]) == _HALF for node in products)
    if half_layers * 2 * len(products) < layers * half_nodes or (half_nodes and not half_layers):
        raise HalfRefusedError(
            f"{library.flavour} {library.version} kept {layers - half_layers} of {layers} layers in FP32 though the "
            f"graph is half ({half_nodes} of its {len(products)} products are); use another version, or the FP32 graph"
        )


def made(make: Callable[[], Any], what: str, reason: Callable[[], str], library: TensorRTLibrary) -> Any:
    """Make one of TensorRT's objects.

    Args:
        make: Makes it. Where the library has no device, it returns None or pybind raises a TypeError, by the class.
        what: It is called.
        reason: Returns the last error that was logged.
        library: For the message.

    Raises:
        BackendError: There is none.
    """
    try:
        thing = make()
    except TypeError as error:  # pybind11::init(): factory function returned nullptr
        thing, said = None, str(error)
    else:
        said = "no reason given"
    if thing is None:
        raise BackendError(
            f"{library.flavour} {library.version} gives no {what}: {reason() or said}; "
            "check the NVIDIA driver with nvidia-smi"
        )
    return thing


def _explain_failure(log: Any, library: TensorRTLibrary, options: BuildOptions) -> str:
    text = log.last() or "no reason given"
    if any(word in text.lower() for word in ("out of memory", "outofmemory", "insufficient memory")):
        return (
            f"{library.flavour} {library.version} ran out of memory with a workspace of {options.workspace_mib} MiB; "
            "close other programs, or lower --workspace-mib of the command `engine`"
        )
    return f"{library.flavour} {library.version} could not build the engine: {text[:400]}"


def _collecting_logger(trt: Any) -> Any:
    class CollectingLogger(trt.ILogger):  # type: ignore[misc, name-defined]
        """Keeps warnings and errors instead of printing them; the last error explains why a result is None."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors.append(message)
            elif severity == trt.ILogger.WARNING:
                self.warnings.append(message)

        def last(self) -> str:
            return " ".join((self.errors[-1] if self.errors else "").split())

    return CollectingLogger()
