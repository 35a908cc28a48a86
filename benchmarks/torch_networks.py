"""The networks of `gpu_latency.py` and `side_by_side.py` in PyTorch, and the clocks they are timed with."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lungsev.bundle.archive import Bundle
from lungsev.networks.build import build_fused
from lungsev.networks.checkpoint import load_network
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings

RECIPE = Path(__file__).resolve().parents[1] / "configs/train/model.yaml"
Infer = Callable[[np.ndarray], Any]
Result = dict[str, Any]
WARM_UP, RUNS, AT_MOST_S = 30, 300, 12.0


class MixedNetwork(nn.Module):
    """The fused network in half precision with the FP32 islands of the exported graph."""

    def __init__(self, network: FusedNetwork) -> None:
        super().__init__()
        self.network = network
        network.segmentation.half()
        network.severity.half()
        for head in network.severity.scheme_heads.float().values():
            head.register_forward_pre_hook(lambda _head, tokens: (tokens[0].float(),))
        network.severity.exact_maps.float()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map image [1, 1, S, S] float32 to mask, theta, then probabilities and map of every scheme."""
        net = self.network
        logits, deepest = net.segmentation.with_features(net.reduce(image).half())
        mask = logits.float().sigmoid()
        theta = net.alignment(mask)
        outputs = [mask, theta]
        if net.segmentation.image_check is not None:
            outputs.append(net.segmentation.image_check(deepest).float().softmax(dim=-1))
        crop, coverage = net.severity_inputs(image, mask, theta, upright=not net.alignment.rotation)
        for pair in net.severity(crop.half(), coverage if coverage is None else coverage.half()).values():
            outputs += [value.float() for value in pair]
        return tuple(outputs)


class PlainNetwork(nn.Module):
    """The fused network with its outputs in a tuple."""

    def __init__(self, network: FusedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map image [1, 1, S, S] to the outputs in the network's order."""
        return tuple(self.network(image).values())


class TorchRunner:
    """Pinned memory -> device -> network -> pinned memory, optionally as one recorded CUDA graph.

    Args:
        network: Image [1, 1, S, S] to a tuple of outputs; already on the device.
        size_px: Side of the image.
        graph: Record the run as a CUDA graph.
        device: `cuda`, or `cpu`, where nothing is copied and there are no graphs.
    """

    def __init__(
        self, network: Callable[[Tensor], tuple[Tensor, ...]], size_px: int, graph: bool, device: str = "cuda"
    ) -> None:
        self._network = network
        self._graph: torch.cuda.CUDAGraph | None = None
        self._host = torch.zeros(1, 1, size_px, size_px)
        self._stream: torch.cuda.Stream | None = None
        if device == "cpu":
            if graph:
                raise RuntimeError("a processor has no CUDA graphs")
            self._device = self._host
            return
        self._host = self._host.pin_memory()
        self._device = self._host.cuda()
        self._stream = torch.cuda.Stream()
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for _ in range(4):
                outputs = network(self._device)
            self._results = [torch.empty(value.shape, dtype=value.dtype).pin_memory() for value in outputs]
        self._stream.synchronize()
        if graph:
            recorded = torch.cuda.CUDAGraph()
            with torch.inference_mode(), torch.cuda.graph(recorded, stream=self._stream):
                self._static = network(self._device)
            self._graph = recorded

    @property
    def device_ms(self) -> float | None:
        """Milliseconds of the recorded graph alone, back to back; None without one."""
        if self._graph is None:
            return None
        with torch.cuda.stream(self._stream):
            return round(device_ms(self._graph.replay, 100), 4)

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Return copies of the outputs for image [1, 1, S, S]."""
        np.copyto(self._host.numpy(), image)
        if self._stream is None:
            with torch.inference_mode():
                return [value.numpy().copy() for value in self._network(self._device)]
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._device.copy_(self._host, non_blocking=True)
            if self._graph is not None:
                self._graph.replay()
            outputs = self._network(self._device) if self._graph is None else self._static
            for target, value in zip(self._results, outputs, strict=True):
                target.copy_(value, non_blocking=True)
        self._stream.synchronize()
        return [value.numpy().copy() for value in self._results]


def torch_network(
    bundle: Bundle, run: Path | None, mixed: bool, channels_last: bool, device: str = "cuda"
) -> nn.Module:
    """Return the network on the device, in eval mode."""
    network = load_network(run) if run is not None else build_fused(settings_of(bundle), pretrained=False)
    made = (MixedNetwork(network) if mixed else PlainNetwork(network)).eval().to(device)
    return made.to(memory_format=torch.channels_last) if channels_last else made


def settings_of(bundle: Bundle) -> FusedSettings:
    """Return the settings of the bundle's network.

    Those of its severity network are in its provenance. Those of segmentation and alignment are the recipe's of the
    packaged model where they give outputs of the bundle's shapes, else the defaults with those shapes.
    """
    manifest = bundle.manifest
    known = dict((manifest.provenance.config or {}).get("network") or {})
    known = {key: value for key, value in known.items() if key in SeveritySettings.model_fields}
    known |= {"pretrained": "none", "schemes": [scheme.name for scheme in manifest.schemes]}
    shapes = {output.name: tuple(output.shape) for output in manifest.outputs}
    mask, check = shapes["lung_mask"], shapes.get("image_check")
    seen: dict[str, Any] = {"size_px": mask[-1], "sides": mask[1] == 2, "image_check": check is not None}
    if check is not None:
        seen["image_check_classes"] = check[-1]
    frames = {"frames": "lungs" if len(shapes["theta"]) == 4 else "common"}
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    segmentation, alignment = recipe["segment"]["network"], recipe["align"]["network"]
    is_packaged = all(segmentation.get(key, value) == value for key, value in seen.items())
    return FusedSettings(
        segmentation=SegmentationSettings(**{**(segmentation if is_packaged else {}), **seen, "pretrained": "none"}),
        alignment=AlignmentSettings(**{**(alignment if is_packaged else {}), **frames}),
        severity=SeveritySettings.model_validate(known),
    )


def torch_gflop(network: nn.Module, image: np.ndarray) -> float:
    """Return the operations (10^9) that PyTorch counts for an image, to be held against the bundle's."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.from_numpy(image))
    return round(counter.get_total_flops() / 1e9, 3)


def device_ms(work: Callable[[], object], repeats: int) -> float:
    """Return the milliseconds of one run on the GPU, back to back."""
    for _ in range(3):
        work()
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeats):
        work()
    stop.record()
    torch.cuda.synchronize()
    return start.elapsed_time(stop) / repeats


def example(bundle: Bundle) -> np.ndarray:
    """Return a random image of the bundle's input size."""
    side = bundle.manifest.input.size_px
    return np.random.default_rng(0).random((1, 1, side, side), dtype=np.float32)


def timed(infer: Infer, image: np.ndarray, runs: int = RUNS, at_most_s: float = AT_MOST_S) -> Result:
    """Time from an image in host memory to outputs in host memory, milliseconds; fewer runs where they take long."""
    samples: list[float] = []
    end = time.monotonic() + at_most_s
    for index in range(min(WARM_UP, runs) + runs):
        started = time.perf_counter()
        infer(image)
        milliseconds = (time.perf_counter() - started) * 1000
        if index >= min(WARM_UP, runs) or time.monotonic() > end:
            samples.append(milliseconds)
        if time.monotonic() > end:
            break
    p50, p90, p99 = (round(float(value), 4) for value in np.percentile(samples, [50, 90, 99]))
    return {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "fastest_ms": round(min(samples), 4), "n": len(samples)}
