"""From a run folder to a bundle, written only after its graphs were compared with the network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version as installed_version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch

import lungsev
from lungsev.bundle.archive import Bundle, write_bundle
from lungsev.bundle.card import write_card
from lungsev.bundle.card_text import INTENDED_USE, LICENCE
from lungsev.bundle.manifest import GraphSpec, InputSpec, Manifest, OutputSpec, Precision, Provenance
from lungsev.errors import ParityError
from lungsev.export.deployable import Deployable
from lungsev.export.fuse_batchnorm import fuse_batchnorm
from lungsev.export.graph.costs import total_gflop
from lungsev.export.graph.fp16 import HalfGraph
from lungsev.export.graph.mixed_precision import CaseOutputs, half_within_tolerance, run_graph
from lungsev.export.graph.split_concat import split_concat
from lungsev.export.half_weights import round_weights
from lungsev.export.onnx_from_network import OPSET, onnx_from_network, with_metadata
from lungsev.export.run_folder import RunFolder, read_run
from lungsev.grading import Calibration
from lungsev.inference.backend import Outputs
from lungsev.inference.cpus import usable_cpus
from lungsev.inference.parity import (
    FP32_TOLERANCE,
    ROUNDED_WEIGHTS_TOLERANCE,
    Parity,
    ParityCase,
    compare,
    parity_cases,
)
from lungsev.networks.checkpoint import load_network, read_network
from lungsev.networks.settings import FusedSettings
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX, PREPROCESSING_VERSION
from lungsev.quality.gate import IMAGE_CHECK_CLASSES
from lungsev.schemes import Scheme, load_scheme

MEANINGS = {
    "lung_mask": "probability of lung on the canvas",
    "theta": "affine map from the aligned frame to the canvas, normalised coordinates",
    "image_check": f"probability of {', '.join(IMAGE_CHECK_CLASSES)}",
    "probabilities": "calibrated grade distribution of every region",
    "severity_map": "expected grade per cell of the aligned frame",
}

Log = Callable[[str], None]


@dataclass(frozen=True)
class ExportOptions:
    """Choices of the user.

    Attributes:
        half: Also write the half-precision graph.
        bfloat16: Round the severity network's weights so that bfloat16 holds them, too.
        name, version: Of the model; None derives them from the schemes and the run.
        images: Real images to compare on besides the phantoms.
        data: Data sources that the run does not name, for example those of earlier stages.
        licence, intended_use: Written into the manifest and the card.
    """

    half: bool = False
    bfloat16: bool = False
    name: str | None = None
    version: str | None = None
    images: tuple[Path, ...] = ()
    data: tuple[str, ...] = ()
    licence: str = LICENCE
    intended_use: str = INTENDED_USE


@dataclass(frozen=True)
class Exported:
    """A written bundle and the comparisons that its graphs passed."""

    bundle: Bundle
    parities: tuple[Parity, ...]


def bundle_from_run(
    run: Path, out: Path, options: ExportOptions = ExportOptions(), log: Log = lambda _: None
) -> Exported:
    """Trace a run's network, convert it, compare the graphs with it, and only then write the bundle.

    Args:
        run: Run folder with `network.pt`.
        out: Folder or .zip of the bundle.
        options: Choices of the user.
        log: Receives one line about each step.

    Raises:
        ConfigError: `run` is not the folder of a finished severity run.
        ParityError: A graph differs from the network by more than the tolerance; nothing is written.
        BundleError: The bundle cannot be written.
    """
    folder = read_run(run)
    settings, _ = read_network(run, FusedSettings)
    schemes = tuple(load_scheme(name) for name in settings.severity.schemes)
    log(f"network of {folder.name}: {', '.join(scheme.name for scheme in schemes)}")
    network = load_network(run)
    torch.set_num_threads(min(torch.get_num_threads(), usable_cpus()))  # torch does not know a container's quota
    deployable = Deployable(network, CANVAS_SIZE_PX)
    cases = list(parity_cases(deployable.size_px, radiographs=options.images))
    as_trained = CaseOutputs(_run_torch(deployable), cases)
    fuse_batchnorm(network, deployable.example())
    rounded = options.half or options.bfloat16
    if rounded:
        round_weights(network, options.bfloat16)
    name = options.name or f"lungsev-{'-'.join(scheme.name for scheme in schemes)}"
    version = options.version or f"{lungsev.__version__}+{folder.stamp}"
    metadata = {"lungsev.name": name, "lungsev.version": version, "lungsev.preprocessing": PREPROCESSING_VERSION}
    traced = onnx_from_network(deployable, {**metadata, "lungsev.precision": "fp32"})
    graph = split_concat(traced)
    log(f"FP32 graph: opset {OPSET}, {len(graph) / 1e6:.1f} MB")
    manifest = _manifest(folder, schemes, deployable, graph, options, name, version)
    parities = _compare_with_torch(deployable, as_trained, graph, cases, manifest, rounded)
    for parity in parities:
        log(str(parity))
    graphs: dict[Precision, bytes] = {"fp32": graph}
    report: dict[str, object] = {}
    if options.half:
        half, passed = half_within_tolerance(traced, cases, manifest, log, full=graph)
        parities += passed
        report["half_precision"] = _describe_half(half)
        log(f"{_half_line(half)}; {passed[0]}")
        graphs["fp16"] = with_metadata(half.data, {**metadata, "lungsev.precision": "fp16"})
        manifest = _with_half(manifest, half)
    report["comparisons"] = [parity.to_dict() for parity in parities]
    files = {"parity.json": (json.dumps(report, indent=2) + "\n").encode("utf-8")}
    bundle = write_bundle(out, manifest, graphs, write_card(manifest, parities), files)
    return Exported(bundle, tuple(parities))


def _compare_with_torch(
    deployable: Deployable,
    as_trained: CaseOutputs,
    graph: bytes,
    cases: Sequence[ParityCase],
    manifest: Manifest,
    rounded: bool,
) -> list[Parity]:
    """Compare the FP32 graph with its network, and a network of rounded weights with the network as trained.

    Raises:
        ParityError: One of them differs by more than its tolerance.
    """
    network = CaseOutputs(_run_torch(deployable), cases) if rounded else as_trained
    parities = []
    if rounded:
        trained = ("PyTorch as trained", as_trained.infer)
        parities.append(compare(trained, ("PyTorch with rounded weights", network.infer), cases, manifest))
        try:
            parities[-1].require(ROUNDED_WEIGHTS_TOLERANCE)
        except ParityError as error:
            raise ParityError(
                f"{error}; train the network longer, or export it in FP32 alone (without --fp16)"
            ) from None
    parities.append(compare(("PyTorch FP32", network.infer), ("ONNX FP32", run_graph(graph)), cases, manifest))
    parities[-1].require(FP32_TOLERANCE)
    return parities


def _half_line(half: HalfGraph) -> str:
    return (
        f"FP16 graph: {len(half.data) / 1e6:.1f} MB, {half.half_layers} of {half.layers} layers and "
        f"{half.half_share:.1%} of the arithmetic in half precision"
    )


def _describe_half(half: HalfGraph) -> dict[str, object]:
    return {
        "share_of_arithmetic": round(half.half_share, 4),
        "layers": half.half_layers,
        "of_layers": half.layers,
        "fp32_parts": [island.part for island in half.islands],
    }


def _with_half(manifest: Manifest, half: HalfGraph) -> Manifest:
    spec = GraphSpec(
        opset=OPSET,
        gflop=manifest.graphs["fp32"].gflop,
        half_share=round(half.half_share, 4),
        fp32_islands=half.islands,
    )
    return manifest.model_copy(update={"graphs": {**manifest.graphs, "fp16": spec}})


def _manifest(
    folder: RunFolder,
    schemes: tuple[Scheme, ...],
    deployable: Deployable,
    graph: bytes,
    options: ExportOptions,
    name: str,
    version: str,
) -> Manifest:
    gflop = round(total_gflop(onnx.load_from_string(graph)), 3)
    shapes = deployable.output_shapes
    outputs = [OutputSpec(name=key, shape=shape, meaning=MEANINGS[key.split(".")[0]]) for key, shape in shapes.items()]
    return Manifest(
        name=name,
        version=version,
        input=InputSpec(size_px=deployable.size_px),
        preprocessing_version=PREPROCESSING_VERSION,
        schemes=schemes,
        outputs=tuple(outputs),
        mask_size_px=shapes["lung_mask"][-1],
        graphs={"fp32": GraphSpec(opset=OPSET, gflop=gflop)},
        calibration={key: Calibration.model_validate(value) for key, value in folder.calibration.items()},
        provenance=Provenance(
            created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            run=folder.name,
            commit=folder.made_by.get("commit"),
            data=(*folder.data, *options.data),
            split_sha256=folder.split_sha256,
            config=folder.config,
            versions={
                "lungsev": lungsev.__version__,
                "torch": torch.__version__,
                **{package: installed_version(package) for package in ("onnx", "onnxscript", "onnxruntime")},
            },
        ),
        metrics=folder.metrics,
        licence=options.licence,
        intended_use=options.intended_use,
    )


def _run_torch(deployable: Deployable) -> Callable[[npt.NDArray[np.float32]], Outputs]:
    def infer(image: npt.NDArray[np.float32]) -> Outputs:
        with torch.inference_mode():
            results = deployable(torch.from_numpy(image))
        return {name: value.numpy() for name, value in zip(deployable.output_names, results, strict=True)}

    return infer
