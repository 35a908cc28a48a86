"""One sentence says what scores and why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lungsev.inference.status import BackendStatus, describe_backend, in_use


def test_the_sentence_names_backend_reason_and_progress() -> None:
    status = BackendStatus("onnxruntime", "cpu", "fp32", "building", "the engine is built", "tactics", 0.34)
    assert str(status) == "onnxruntime fp32 on cpu: the engine is built (34%, tactics)"
    assert status.sentence == "onnxruntime fp32 on cpu: the engine is built"
    assert str(BackendStatus("openvino", "cpu", "bf16")) == "openvino bf16 on cpu"


@pytest.mark.parametrize(
    ("state", "is_degraded"), [("fixed", False), ("building", False), ("ready", False), ("failed", True)]
)
def test_a_person_should_know_of_a_gpu_that_does_not_score(state: Any, is_degraded: bool) -> None:
    assert BackendStatus("x", "y", "fp32", state).is_degraded == is_degraded


def test_any_backend_can_be_described() -> None:
    plain: Any = SimpleNamespace(name="a", device="b", precision="fp32")
    assert describe_backend(plain) == BackendStatus("a", "b", "fp32")
    assert in_use(plain) is plain
    status = BackendStatus("c", "d", "fp16", "ready")
    supervised: Any = SimpleNamespace(status=status, in_use=plain)
    assert describe_backend(supervised) is status
    assert in_use(supervised) is plain
