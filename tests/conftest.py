"""Fixtures every room's tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_bundle as tiny
from hypothesis import HealthCheck, settings

from lungsev.bundle.archive import Bundle

# On a busy machine a few inputs take seconds; that says nothing of the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

os.environ["LUNGSEV_ALLOW_UNSIGNED"] = "1"  # bundles of tests are signed where signatures are tested

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _any_processor() -> Iterator[None]:
    """What the processor can do decides no test: `auto` does not choose bfloat16, which would be timed first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lungsev.inference.bfloat16.choice.has_bfloat16", lambda: False)
        yield


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real images beside the project; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real images: {SHARED.name}/ is not beside the project")
    return SHARED


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A real bundle that scores phantoms without a trained network; its folder is `.path`. Do not change it."""
    return tiny.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
