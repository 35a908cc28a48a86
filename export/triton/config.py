"""config.pbtxt of every model of the repository.

    lungsev               ensemble: file -> report
    lungsev_preprocess    file -> image, context
    lungsev_<network>     image -> lung_mask, theta, ...
    lungsev_report        context, image, lung_mask, theta, ... -> report

All take batches, or none does: then each tensor has its batch of one in its shape, as the graph has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lungsev.bundle.archive import Bundle
from lungsev.bundle.manifest import Manifest, Precision
from lungsev.export.triton.plan import Plan

NetworkBy = Literal["onnxruntime", "tensorrt", "python"]
NETWORKS_BY: tuple[NetworkBy, ...] = get_args(NetworkBy)

ENSEMBLE = "lungsev"
PREPROCESS = "lungsev_preprocess"
REPORT = "lungsev_report"

Tensor = tuple[str, str, tuple[int, ...]]  # name, Triton's type, shape of one image without the batch


@dataclass(frozen=True)
class TritonOptions:
    """How the server runs the model.

    Attributes:
        network_by: Triton's backend that runs the network; `python` is lungsev's own ONNX Runtime, on the CPU.
        max_batch: Images in one run; 1 turns batching off, as does a TensorRT plan, which is built for one image.
        queue_us: How long the first image of a batch waits for others, microseconds.
        plan: A TensorRT plan built for the server's GPU.
        gpu: Run on GPUs; False keeps every model on the CPU.
        workers: Processes that read and prepare images, and as many that write reports.
    """

    network_by: NetworkBy = "onnxruntime"
    max_batch: int = 8
    queue_us: int = 2000
    plan: Path | None = None
    gpu: bool = True
    workers: int = 2

    @property
    def is_batched(self) -> bool:
        """Whether the models take batches."""
        return self.max_batch > 1 and self.network_by != "tensorrt"

    @property
    def uses_gpu(self) -> bool:
        """Whether the network runs on a GPU."""
        return self.gpu and self.network_by != "python"


@dataclass(frozen=True)
class Network:
    """The network of the ensemble.

    Attributes:
        name: Of the model in the repository.
        precision: `fp32` or `fp16`, for the report.
    """

    name: str
    precision: Precision


def chosen_network(bundle: Bundle, options: TritonOptions, plan: Plan | None = None) -> Network:
    """Return which network the ensemble uses: on a GPU the half-precision one, where the bundle has it."""
    if plan is not None:
        return Network("lungsev_plan", plan.precision)
    if options.network_by == "python":
        return Network("lungsev_python", "fp32")
    precision: Precision = "fp16" if options.gpu and "fp16" in bundle.precisions else "fp32"
    return Network(f"lungsev_{precision}", precision)


def network_config(name: str, manifest: Manifest, options: TritonOptions, precision: Precision) -> str:
    """Return the configuration of a network; it is warmed up, or its first image would wait for all kernels."""
    outputs = [_numbers(output.name, output.shape) for output in manifest.outputs]
    lines = [
        *_head(name, options),
        *_tensors("input", [_image(manifest)], options),
        *_tensors("output", outputs, options),
    ]
    lines.insert(1, f'backend: "{options.network_by}"')
    lines.append(f"instance_group [ {{ kind: {'KIND_GPU' if options.uses_gpu else 'KIND_CPU'} count: 1 }} ]")
    if options.is_batched:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {options.queue_us} }}")
    if precision == "fp16" and options.gpu and options.network_by == "onnxruntime":
        lines.append(
            'optimization { execution_accelerators { gpu_execution_accelerator : [ { name : "tensorrt" '
            'parameters { key: "trt_engine_cache_enable" value: "true" } '
            'parameters { key: "trt_engine_cache_path" value: "/tmp/lungsev-engines" } } ] } }'
        )
    dims = _dims(_image(manifest)[2], options.is_batched)
    lines.append(
        f'model_warmup [ {{ name: "first" batch_size: {1 if options.is_batched else 0} '
        f'inputs {{ key: "{manifest.input.name}" value {{ data_type: TYPE_FP32 dims: {dims} zero_data: true }} }} }} ]'
    )
    return "\n".join(lines) + "\n"


def preprocess_config(bundle: Bundle, options: TritonOptions, network: Network) -> str:
    """Return the configuration of the step before the network."""
    outputs = [_image(bundle.manifest), _text("context")]
    return _step_config(PREPROCESS, [_text("file")], outputs, bundle, options, network)


def report_config(bundle: Bundle, options: TritonOptions, network: Network) -> str:
    """Return the configuration of the step after the network."""
    manifest = bundle.manifest
    from_network = [_numbers(output.name, output.shape) for output in manifest.outputs]
    inputs = [_text("context"), _image(manifest), *from_network]
    return _step_config(REPORT, inputs, [_text("report")], bundle, options, network)


def ensemble_config(bundle: Bundle, options: TritonOptions, network: Network) -> str:
    """Return the configuration of the whole: the bytes of a file in, a report out."""
    image = bundle.manifest.input.name
    found = [output.name for output in bundle.manifest.outputs]
    steps = (
        _step(PREPROCESS, ["file"], [image, "context"]),
        _step(network.name, [image], found),
        _step(REPORT, ["context", image, *found], ["report"]),
    )
    lines = [
        *_head(ENSEMBLE, options),
        *_tensors("input", [_text("file")], options),
        *_tensors("output", [_text("report")], options),
        "ensemble_scheduling { step [",
        *(f"  {step}{',' if index < len(steps) - 1 else ''}" for index, step in enumerate(steps)),
        "] }",
        *_parameters(bundle, options, network),
    ]
    lines.insert(1, 'platform: "ensemble"')
    return "\n".join(lines) + "\n"


def _step_config(
    name: str, inputs: list[Tensor], outputs: list[Tensor], bundle: Bundle, options: TritonOptions, network: Network
) -> str:
    lines = [
        *_head(name, options),
        *_tensors("input", inputs, options),
        *_tensors("output", outputs, options),
        f"instance_group [ {{ kind: KIND_CPU count: {options.workers} }} ]",
        *_parameters(bundle, options, network),
    ]
    lines.insert(1, 'backend: "python"')
    return "\n".join(lines) + "\n"


def _head(name: str, options: TritonOptions) -> list[str]:
    return [f'name: "{name}"', f"max_batch_size: {options.max_batch if options.is_batched else 0}"]


def _parameters(bundle: Bundle, options: TritonOptions, network: Network) -> list[str]:
    """What a client may ask for, and what the steps need to know."""
    values: Mapping[str, str] = {
        "bundle_sha256": bundle.sha256,
        "model": bundle.manifest.name,
        "model_version": bundle.manifest.version,
        "preprocessing_version": bundle.manifest.preprocessing_version,
        "network": network.name,
        "device": "gpu" if options.uses_gpu else "cpu",
        "precision": network.precision,
    }
    return [f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in values.items()]


def _step(model: str, inputs: Iterable[str], outputs: Iterable[str]) -> str:
    taken = " ".join(f'input_map {{ key: "{name}" value: "{name}" }}' for name in inputs)
    given = " ".join(f'output_map {{ key: "{name}" value: "{name}" }}' for name in outputs)
    return f'{{ model_name: "{model}" model_version: -1 {taken} {given} }}'


def _text(name: str) -> Tensor:
    return name, "TYPE_STRING", (1,)


def _numbers(name: str, shape: tuple[int, ...]) -> Tensor:
    return name, "TYPE_FP32", shape[1:]


def _image(manifest: Manifest) -> Tensor:
    side = manifest.input.size_px
    return _numbers(manifest.input.name, (1, 1, side, side))


def _tensors(key: str, tensors: list[Tensor], options: TritonOptions) -> list[str]:
    lines = [
        f'  {{ name: "{name}" data_type: {kind} dims: {_dims(shape, options.is_batched or kind == "TYPE_STRING")} }}'
        for name, kind, shape in tensors
    ]
    return [f"{key} [", ",\n".join(lines), "]"]


def _dims(shape: tuple[int, ...], is_batched: bool) -> str:
    """The shape without the batch where Triton adds it, and with a batch of one where it does not."""
    return f"[ {', '.join(map(str, shape if is_batched else (1, *shape)))} ]"
