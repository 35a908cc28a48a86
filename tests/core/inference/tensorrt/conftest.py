"""An engine on a fake GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_cuda import FakeDevice, bindings
from fake_tensorrt import library_of, make_fake_tensorrt

from lungsev.bundle.archive import Bundle
from lungsev.inference.parity import ParityCase, parity_cases
from lungsev.inference.tensorrt import prepare
from lungsev.inference.tensorrt.cuda import CudaDriver
from lungsev.inference.tensorrt.prepare import open_tensorrt
from lungsev.inference.tensorrt.settings import EngineSettings


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture(scope="module")
def cases() -> list[ParityCase]:
    """The gate's own images, drawn once."""
    return list(parity_cases(512))


@pytest.fixture
def open_engine(
    tiny_bundle: Bundle,
    tmp_path: Path,
    device: FakeDevice,
    cases: list[ParityCase],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    monkeypatch.setattr(prepare, "parity_cases", lambda _size_px: iter(cases))

    def opened(
        module: Any = None,
        driver: Callable[[FakeDevice], Callable[[], CudaDriver]] = bindings,
        fresh: bool = False,
        **settings: Any,
    ) -> Any:
        module = module or make_fake_tensorrt(device)
        return open_tensorrt(
            tiny_bundle,
            EngineSettings(**{"cache": tmp_path / "engines", **settings}),
            said.append,
            fresh=fresh,
            library=library_of(module),
            open_device=driver(device),
        )

    said: list[str] = []
    opened.said = said  # type: ignore[attr-defined]
    return opened
