"""One function chooses the device; what predicts sends its batches there, and gets its results back on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lungsev.errors import ConfigError, LungsevError
from lungsev.networks.build import build_alignment, build_fused
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings
from lungsev.schemes import load_scheme
from lungsev.train.evaluation.inference import TTA, embed, find_lungs, predict
from lungsev.train.evaluation.lungs import image_check_accuracy, predict_masks
from lungsev.train.fitting import device
from lungsev.train.fitting.device import device_of, devices_of, nodes_of, place_of, run_batches
from lungsev.train.settings import LoopSettings
from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer, image_masks, thetas_of

SCHEME = load_scheme("brixia")
SETTINGS = FusedSettings(
    segmentation=SegmentationSettings(
        encoder="mobilenetv3_small_050", decoder_channels=(16, 8, 8, 8, 8), size_px=64, pretrained="none"
    ),
    alignment=AlignmentSettings(input_px=16),
    severity=SeveritySettings(
        backbone="mobilenetv3_small_050",
        crop_px=64,
        dim=16,
        oversample=1,
        pretrained="none",
        schemes=("brixia",),
        mask_attention=True,
        flip_tta=True,
    ),
)


@pytest.fixture
def fused() -> Any:
    torch.manual_seed(0)
    return build_fused(SETTINGS, pretrained=False).eval()


def images(count: int) -> list[Any]:
    draw = np.random.default_rng(0)
    canvases = draw.random((count, 512, 512), dtype=np.float32)
    return [SimpleNamespace(key=str(row), canvas=lambda row=row: canvases[row]) for row in range(count)]


def test_the_gpu_of_this_process_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device_of() == device_of("gpu") == torch.device("cuda", 1)
    assert device_of("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"loop\.accelerator is gpu, but torch finds none"):
        device_of("gpu")


def test_processes_that_were_not_started_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert (devices_of(LoopSettings()), nodes_of(LoopSettings(nodes=2))) == (1, 2)
    with pytest.raises(ConfigError, match="torchrun --nproc_per_node=2"):
        devices_of(LoopSettings(devices=2))


def test_two_machines_of_four_processes_are_counted_from_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert (devices_of(LoopSettings()), nodes_of(LoopSettings())) == (4, 2)


class Doubler(nn.Module):
    """Fails as torch does where more than `room` images come at once."""

    def __init__(self, room: int, error: Exception | None = None) -> None:
        super().__init__()
        self.room, self.error, self.seen = room, error or torch.OutOfMemoryError("CUDA out of memory"), list[int]()

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        self.seen.append(len(batch))
        if len(batch) > self.room:
            raise self.error
        return {"twice": batch * 2, "whole": batch.to(torch.uint8)}


def doubled(network: Doubler, count: int) -> device.Arrays:
    return run_batches(network, range(count), lambda chunk: np.array(chunk, dtype=np.float64), network, batch=8)


def test_a_batch_that_does_not_fit_is_halved_and_no_image_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    network = Doubler(room=3)
    found = doubled(network, 9)
    assert found["twice"].tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert (found["twice"].dtype, found["whole"].dtype) == (np.float32, np.uint8)
    assert network.seen == [8, 4, 2, 2, 2, 2, 1]
    assert "does not hold 8 images at once; continuing with 4" in capsys.readouterr().out


def test_one_image_that_does_not_fit_is_one_line() -> None:
    with pytest.raises(LungsevError, match=r"does not hold one image's prediction; .*loop\.accelerator=cpu"):
        doubled(Doubler(room=0, error=RuntimeError("DefaultCPUAllocator: can't allocate memory")), 2)
    with pytest.raises(RuntimeError, match="a mistake"):
        doubled(Doubler(room=0, error=RuntimeError("a mistake")), 2)


def test_autocast_and_tf32_around_a_prediction_change_no_number() -> None:
    torch.manual_seed(0)
    network = nn.Linear(64, 8)
    allowed: list[bool] = []

    def work(batch: Tensor) -> dict[str, Tensor]:
        allowed.append(torch.backends.cudnn.allow_tf32)
        return {"out": network(batch)}

    def found() -> Any:
        return run_batches(network, range(4), lambda rows: np.eye(64, dtype=np.float32)[list(rows)], work)["out"]

    plain = found()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(found(), plain)
    assert allowed == [False, False]
    assert torch.backends.cudnn.allow_tf32


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.device]]:
    """A GPU that computes shapes only, and refuses tensors of another device; yields where results came from."""
    sources: list[torch.device] = []

    def on_cpu(value: Tensor) -> Any:
        sources.append(value.device)
        assert value.cpu().device.type == "cpu"
        return np.zeros(tuple(value.shape), np.uint8 if value.dtype == torch.uint8 else np.float32)

    monkeypatch.setattr(device, "_on_cpu", on_cpu)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield sources


def on_fake_gpu(network: Any) -> Any:
    """Move weights and buffers, which `to` cannot under a fake mode; whatever else a network holds stays behind."""
    for module in network.modules():
        for store in (module._parameters, module._buffers):
            for name, value in store.items():
                if value is not None:
                    moved = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                    store[name] = nn.Parameter(moved) if isinstance(value, nn.Parameter) else moved
    return network


class Lungs(nn.Module):
    """Segmentation and image check of one convolution each."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.check = nn.Conv2d(1, 1, 1), nn.Linear(1, 6)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)

    def encode(self, images: Tensor) -> list[Tensor]:
        return [self.net(images)]

    def image_check(self, features: Tensor) -> Tensor:
        return self.check(features.mean(dim=(2, 3)))

    def locate(self, images: Tensor) -> tuple[Tensor, None, None]:
        return self.net(images[..., :64, :64]), None, None


def test_everything_that_predicts_sends_its_images_to_the_gpu(
    fused: Any, fake_gpu: list[torch.device], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused, lungs, align = on_fake_gpu(fused), on_fake_gpu(Lungs()), on_fake_gpu(build_alignment(SETTINGS.alignment))
    assert place_of(fused) == torch.device("cuda", 0)
    monkeypatch.setattr(SpatialNormalizer, "sha256", "0")
    normalizer = SpatialNormalizer(lungs, SETTINGS.segmentation, align, SETTINGS.alignment)
    radiographs = images(2)
    calls: list[tuple[Callable[[], Any], tuple[int, ...]]] = [
        (lambda: predict(fused, radiographs, [SCHEME], ["turn_left"])["probabilities.brixia"], (2, 6, 4)),
        (lambda: embed(fused, radiographs, SCHEME), (2, 6, 16)),
        (lambda: find_lungs(lungs, radiographs), (2, 64, 64)),
        (lambda: thetas_of(normalizer, [image.canvas() for image in radiographs]), (2, 2, 3)),
        (lambda: image_masks(normalizer, radiographs, tmp_path), (2, 64, 64)),
        (lambda: np.stack(predict_masks(lungs, radiographs, 64)), (2, 1, 64, 64)),
        (lambda: np.array(image_check_accuracy(lungs, radiographs, 64)), ()),
    ]
    for call, shape in calls:
        fake_gpu.clear()
        assert call().shape == shape
        assert {place.type for place in fake_gpu} == {"cuda"}


def test_a_gpu_gets_larger_batches(fake_gpu: list[torch.device]) -> None:
    network = on_fake_gpu(nn.Linear(2, 2))
    run_batches(network, range(65), lambda rows: np.ones((len(rows), 2), np.float32), lambda x: {"out": network(x)})
    assert len(fake_gpu) == 2


def test_the_fake_gpu_refuses_images_that_were_left_on_the_cpu(fake_gpu: list[torch.device]) -> None:
    network = on_fake_gpu(nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="same device"):
        network(torch.zeros(1, 2))


@pytest.mark.gpu
def test_a_gpu_says_what_the_cpu_says(fused: Any) -> None:
    radiographs = images(3)
    expected = predict(fused, radiographs, [SCHEME], list(TTA))
    found = predict(fused.to(device_of("gpu")), radiographs, [SCHEME], list(TTA))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)


@pytest.mark.gpu
def test_a_gpu_whose_memory_is_full_gets_smaller_batches() -> None:
    network = nn.Conv2d(1, 1, 1).to(device_of("gpu"))
    free, _ = torch.cuda.mem_get_info()

    def greedy(batch: Tensor) -> dict[str, Tensor]:
        torch.empty(len(batch) * (free // 20), dtype=torch.uint8, device=batch.device)
        return {"sums": network(batch).sum(dim=(1, 2, 3))}

    found = run_batches(network, range(70), lambda rows: np.ones((len(rows), 1, 4, 4), np.float32), greedy)
    assert found["sums"].shape == (70,)
