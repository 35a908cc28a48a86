from __future__ import annotations

import numpy as np
import onnx
import pytest

from lungsev.inference.onnxruntime import open_session
from lungsev.runtime.benchmark import peaks
from lungsev.runtime.benchmark.peaks import Peak, copy_peak, faster_of, matrix_peak_gflops, peak_of_gpu


@pytest.mark.parametrize(
    ("name", "half_tflops", "gb_per_s"),
    [
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", 16.7, 102),
        ("NVIDIA Jetson AGX Orin Developer Kit", 42.5, 204.8),
        ("NVIDIA GeForce RTX 4090", 165, 1008),
        ("NVIDIA A100-SXM4-40GB", 312, 1555),
        ("NVIDIA A100-SXM4-80GB", 312, 2039),
        ("NVIDIA H100 80GB HBM3", 989, 3350),
        ("NVIDIA H100 PCIe", 756, 2000),
        ("NVIDIA H200", 989, 4800),
        ("NVIDIA L4", 121, 300),
        ("NVIDIA L40S", 362, 864),
        ("Tesla T4", 65, 320),
    ],
)
def test_a_known_card_has_the_peak_of_its_data_sheet(name: str, half_tflops: float, gb_per_s: float) -> None:
    peak = peak_of_gpu(name)
    assert peak is not None
    assert (peak.half_gflops, peak.gb_per_s) == (half_tflops * 1000, gb_per_s)
    assert peak.gflops < peak.half_gflops
    assert peak.source


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA Z1",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA A10G",
        "NVIDIA L40",
        "Orin",
        "NVIDIA H100 NVL",
        "NVIDIA A100-SXM4-80GB MIG 1g.10gb",
        "",
    ],
)
def test_a_card_that_only_sounds_like_a_known_one_has_no_peak(name: str) -> None:
    assert peak_of_gpu(name) is None


def test_the_yardstick_is_a_real_matrix_product() -> None:
    model = onnx.load_from_string(peaks._matrix_product_graph(16))
    onnx.checker.check_model(model, full_check=True)
    a = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    np.testing.assert_allclose(open_session(model.SerializeToString()).run(None, {"a": a})[0], a @ a, rtol=1e-5)
    assert matrix_peak_gflops(side=128, repeats=1) > 0


def test_the_copy_counts_what_is_read_and_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "fastest_ms", lambda call, _runs: call() and 8.0)  # 64 MB in 8 ms
    assert copy_peak(threads=2, sizes_mb=(4,)) == pytest.approx(64 / 8, rel=0.01)


def test_the_better_of_two_measurements_counts() -> None:
    best = faster_of(Peak(10, 10, 5, "measured"), Peak(8, 8, 7, "measured"))
    assert best == Peak(10, 10, 7, "measured")
