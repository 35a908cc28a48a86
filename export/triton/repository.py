"""A Triton model repository from a bundle, for many stations that send to one server.

    OUT/lungsev_fp32/      ONNX, CPU or GPU
    OUT/lungsev_fp16/      ONNX, half precision, accelerated with TensorRT on the server's own GPU
    OUT/lungsev_plan/      TensorRT plan of one image, when one is given
    OUT/client.py          an example client: preprocessing, request, decoding

Preprocessing and decoding run in the client, with lungsev's own code. NVIDIA's libraries multiply FP32 as TF32, whose
mantissa is as short as that of half precision, unless the server is started with NVIDIA_TF32_OVERRIDE=0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lungsev.bundle.archive import Bundle
from lungsev.bundle.manifest import Manifest, Precision
from lungsev.errors import BundleError
from lungsev.export.graph.batched import batched_graph
from lungsev.system import atomic_folder

MARK = "lungsev_triton_repository"


@dataclass(frozen=True)
class TritonOptions:
    """How the server collects images into batches.

    Attributes:
        max_batch: Images in one run; 1 turns batching off.
        queue_us: How long the first image of a batch waits for others, microseconds.
        plan: A TensorRT plan built for the server's GPU.
        gpu: Run on GPUs; False keeps every model on the CPU.
    """

    max_batch: int = 8
    queue_us: int = 2000
    plan: Path | None = None
    gpu: bool = True


def triton_from_bundle(
    bundle: Bundle, out: Path, options: TritonOptions = TritonOptions(), log: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Write the repository completely or not at all.

    Args:
        bundle: Its graphs are served.
        out: New or empty folder, or an earlier repository, which is replaced.
        options: How the server collects images.
        log: Receives one line about each graph.

    Returns:
        Names of the models in it.

    Raises:
        BundleError: `out` holds other files, or cannot be written.
        ParityError: A batched graph gives other results than the graph of one image.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).is_file())):
        raise BundleError(f"{out} holds other files; choose another folder")
    files: dict[str, bytes] = {MARK: f"{bundle.sha256}\n".encode()}
    models = []
    for precision in bundle.precisions:
        name = f"lungsev_{precision}"
        graph = bundle.graph_bytes(precision)
        if options.max_batch > 1:
            graph = batched_graph(graph, half=precision == "fp16")
            log(f"{name}: a batch of images gives the same results as single images")
        files[f"{name}/1/model.onnx"] = graph
        files[f"{name}/config.pbtxt"] = model_config(name, bundle.manifest, options, precision).encode()
        models.append(name)
    if options.plan is not None:
        files["lungsev_plan/1/model.plan"] = _read_plan(options.plan)
        files["lungsev_plan/config.pbtxt"] = model_config("lungsev_plan", bundle.manifest, options, None).encode()
        models.append("lungsev_plan")
    files["client.py"] = (Path(__file__).parent / "client.py").read_bytes()
    files["manifest.yaml"] = bundle.file_bytes("manifest.yaml")
    _write(out, files)
    return models


def model_config(name: str, manifest: Manifest, options: TritonOptions, precision: Precision | None) -> str:
    """Return config.pbtxt; `precision` None is for the plan, whose batch size was fixed when it was built."""
    batched = options.max_batch > 1 and precision is not None
    lines = [
        f'name: "{name}"',
        f'backend: "{"tensorrt" if precision is None else "onnxruntime"}"',
        f"max_batch_size: {options.max_batch if batched else 0}",
        f"input [ {_tensor(manifest.input.name, (1, 1, manifest.input.size_px, manifest.input.size_px), batched)} ]",
        "output [",
        *(f"  {_tensor(output.name, output.shape, batched)}," for output in manifest.outputs[:-1]),
        f"  {_tensor(manifest.outputs[-1].name, manifest.outputs[-1].shape, batched)}",
        "]",
        f"instance_group [ {{ kind: {'KIND_GPU' if options.gpu else 'KIND_CPU'} count: 1 }} ]",
    ]
    if batched:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {options.queue_us} }}")
    if precision == "fp16" and options.gpu:
        lines.append(
            'optimization { execution_accelerators { gpu_execution_accelerator : [ { name : "tensorrt" '
            'parameters { key: "trt_engine_cache_enable" value: "true" } '
            'parameters { key: "trt_engine_cache_path" value: "/tmp/lungsev-engines" } } ] } }'
        )
    size = manifest.input.size_px
    dims = f"[ 1, {size}, {size} ]" if batched else f"[ 1, 1, {size}, {size} ]"
    # Without a warm-up the first image would wait until all kernels are loaded.
    lines.append(
        f'model_warmup [ {{ name: "first" batch_size: {1 if batched else 0} inputs {{ key: "{manifest.input.name}" '
        f"value {{ data_type: TYPE_FP32 dims: {dims} zero_data: true }} }} }} ]"
    )
    return "\n".join(lines) + "\n"


def _tensor(name: str, shape: tuple[int, ...], batched: bool) -> str:
    dims = ", ".join(str(side) for side in (shape[1:] if batched else shape))
    return f'{{ name: "{name}" data_type: TYPE_FP32 dims: [ {dims} ] }}'


def _read_plan(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read the plan {path}: {error.strerror or error}") from None
    if len(data) < 1024:
        raise BundleError(
            f"{path} has {len(data)} bytes and is no TensorRT plan; build one on the server with lungsev-export engine"
        )
    return data


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(out) as folder:
            for name, data in files.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    except OSError as error:
        raise BundleError(f"cannot write {out}: {error.strerror or error}") from None
