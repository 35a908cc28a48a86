"""A Triton model repository from a bundle, for many stations that send to one server.

    OUT/lungsev/              ensemble: the bytes of an image file in, the report as JSON out
    OUT/lungsev_preprocess/   Python: reading and preprocessing, lungsev's own
    OUT/lungsev_fp32/         ONNX, CPU or GPU
    OUT/lungsev_fp16/         ONNX, half precision, accelerated with TensorRT on the server's own GPU
    OUT/lungsev_plan/         instead of the two: a TensorRT plan of one image
    OUT/lungsev_python/       instead of them: lungsev's own ONNX Runtime, for servers without Triton's
    OUT/lungsev_report/       Python: quality gate, grades and the report, lungsev's own
    OUT/client.py             a client, which needs no lungsev

NVIDIA's libraries multiply FP32 as TF32, whose mantissa is as short as that of half precision, unless the server is
started with NVIDIA_TF32_OVERRIDE=0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lungsev.bundle.archive import Bundle
from lungsev.bundle.contents import CHECKSUM_FILE, MANIFEST_FILE
from lungsev.errors import BundleError
from lungsev.export.triton.config import (
    ENSEMBLE,
    PREPROCESS,
    REPORT,
    TritonOptions,
    chosen_network,
    ensemble_config,
    network_config,
    preprocess_config,
    report_config,
)
from lungsev.export.triton.plan import Plan, read_plan
from lungsev.system import atomic_folder

MARK = "lungsev_triton_repository"
DEFAULTS = TritonOptions()

_HERE = Path(__file__).parent


def triton_from_bundle(
    bundle: Bundle, out: Path, options: TritonOptions = DEFAULTS, log: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Write the repository completely or not at all.

    Args:
        bundle: Its graphs are served.
        out: New or empty folder, or an earlier repository, which is replaced.
        options: How the server runs the model.
        log: Receives one line about each graph.

    Returns:
        Names of the models in it, the ensemble first.

    Raises:
        BundleError: `out` holds other files, or cannot be written; or there is no usable plan where one is needed.
        ParityError: A batched graph gives other results than the graph of one image.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).is_file())):
        raise BundleError(f"{out} holds other files; choose another folder")
    plan = read_plan(options.plan, bundle) if options.network_by == "tensorrt" else None
    network = chosen_network(bundle, options, plan)
    files = _network_files(bundle, options, plan, log)
    described = {name: bundle.file_bytes(name) for name in (MANIFEST_FILE, CHECKSUM_FILE)}
    for name, step, config in (
        (PREPROCESS, "preprocess", preprocess_config(bundle, options, network)),
        (REPORT, "report", report_config(bundle, options, network)),
    ):
        files |= {f"{name}/1/model.py": _step(step), f"{name}/config.pbtxt": config.encode()}
        files |= {f"{name}/1/{file}": data for file, data in described.items()}
    files[f"{ENSEMBLE}/config.pbtxt"] = ensemble_config(bundle, options, network).encode()
    files[f"{ENSEMBLE}/1/README"] = b"An ensemble has no files of its own; Triton asks for this folder.\n"
    files["client.py"] = (_HERE / "client.py").read_bytes()
    files[MARK] = f"{bundle.sha256}\n".encode()
    _write(out, files)
    models = {name.split("/")[0] for name in files if "/" in name}
    return [ENSEMBLE, *sorted(models - {ENSEMBLE})]


def _network_files(
    bundle: Bundle, options: TritonOptions, plan: Plan | None, log: Callable[[str], None]
) -> dict[str, bytes]:
    """The networks of the backend that the options name."""
    manifest = bundle.manifest
    if plan is not None:
        config = network_config("lungsev_plan", manifest, options, plan.precision)
        return {"lungsev_plan/1/model.plan": plan.data, "lungsev_plan/config.pbtxt": config.encode()}
    if options.network_by == "python":
        name = "lungsev_python"
        return {
            f"{name}/1/model.py": _step("network"),
            f"{name}/config.pbtxt": network_config(name, manifest, options, "fp32").encode(),
            **{f"{name}/1/bundle/{file}": bundle.file_bytes(file) for file in bundle.file_names},
        }
    files = {}
    for precision in bundle.precisions:
        name = f"lungsev_{precision}"
        graph = bundle.graph_bytes(precision)
        if options.is_batched:
            from lungsev.export.graph.batched import batched_graph

            graph = batched_graph(graph, half=precision == "fp16")
            log(f"{name}: a batch of images gives the same results as single images")
        files[f"{name}/1/model.onnx"] = graph
        files[f"{name}/config.pbtxt"] = network_config(name, manifest, options, precision).encode()
    return files


def _step(name: str) -> bytes:
    return (_HERE / "steps" / f"{name}.py").read_bytes()


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
