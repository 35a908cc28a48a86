"""The networks of `gpu_latency.py` and `side_by_side.py` in PyTorch, and the clocks they are timed with."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungsev.bundle.archive import Bundle
from lungsev.networks.build import build_fused
from lungsev.networks.checkpoint import load_network
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.settings import FusedSettings, SeveritySettings

Infer = Callable[[np.ndarray], Any]
Result = dict[str, Any]
WARM_UP, RUNS = 30, 300


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
        small = functional.avg_pool2d(image, image.shape[-1] // net.segmentation_px)
        logits, deepest = net.segmentation.with_features(small.half())
        mask = logits.float().sigmoid()
        theta = net.alignment(mask)
        outputs = [mask, theta]
        if net.segmentation.image_check is not None:
            outputs.append(net.segmentation.image_check(deepest).float().softmax(dim=-1))
        crop, _ = net.severity_inputs(image, mask, theta, upright=not net.alignment.rotation)
        for pair in net.severity(crop.half()).values():
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
    """Pinned memory -> device -> network -> pinned memory, optionally as one recorded CUDA graph."""

    def __init__(self, network: Callable[[Tensor], tuple[Tensor, ...]], size_px: int, graph: bool) -> None:
        self._network = network
        self._host = torch.zeros(1, 1, size_px, size_px).pin_memory()
        self._device = self._host.cuda()
        self._stream = torch.cuda.Stream()
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for _ in range(4):
                outputs = network(self._device)
            self._results = [torch.empty(value.shape, dtype=value.dtype).pin_memory() for value in outputs]
        self._stream.synchronize()
        self._graph: torch.cuda.CUDAGraph | None = None
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
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._device.copy_(self._host, non_blocking=True)
            if self._graph is not None:
                self._graph.replay()
            outputs = self._network(self._device) if self._graph is None else self._static
            for target, value in zip(self._results, outputs, strict=True):
                target.copy_(value, non_blocking=True)
        self._stream.synchronize()
        return [value.numpy().copy() for value in self._results]


def torch_network(bundle: Bundle, run: Path | None, mixed: bool, channels_last: bool) -> nn.Module:
    """Return the network on the GPU, in eval mode."""
    network = load_network(run) if run is not None else build_fused(settings_of(bundle), pretrained=False)
    made = (MixedNetwork(network) if mixed else PlainNetwork(network)).eval().cuda()
    return made.to(memory_format=torch.channels_last) if channels_last else made


def settings_of(bundle: Bundle) -> FusedSettings:
    """Return the settings of the bundle's network, as far as its provenance states them."""
    manifest = bundle.manifest
    known = dict((manifest.provenance.config or {}).get("network") or {})
    known = {key: value for key, value in known.items() if key in SeveritySettings.model_fields}
    known |= {"pretrained": "none", "schemes": [scheme.name for scheme in manifest.schemes]}
    return FusedSettings(severity=SeveritySettings.model_validate(known))


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


def timed(infer: Infer, image: np.ndarray, runs: int = RUNS) -> Result:
    """Time from an image in host memory to outputs in host memory, milliseconds."""
    samples = []
    for index in range(min(WARM_UP, runs) + runs):
        started = time.perf_counter()
        infer(image)
        if index >= min(WARM_UP, runs):
            samples.append((time.perf_counter() - started) * 1000)
    p50, p95, p99 = (round(float(value), 4) for value in np.percentile(samples, [50, 95, 99]))
    return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "fastest_ms": round(min(samples), 4)}
