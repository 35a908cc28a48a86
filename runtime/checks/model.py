"""Checks of a bundle: checksums, versions, and one inference on a phantom image."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

from lungsev import __version__
from lungsev.errors import LungsevError
from lungsev.inference.tensorrt.settings import AUTOMATIC, EngineSettings
from lungsev.runtime.checks.check import Check

ANOTHER_BUNDLE = "name another bundle with --bundle"  # a missing signature says itself what to do


def check_model(
    bundle: Path | None,
    backend: str = "auto",
    threads: int | None = None,
    allow_unsigned: bool = False,
    engine: EngineSettings = AUTOMATIC,
) -> list[Check]:
    """Check checksums and versions of a bundle and, if they hold, one inference on a phantom image."""
    from lungsev.bundle.archive import verify_bundle

    checks = [Check("lungsev", True, f"{__version__} on Python {platform.python_version()}, {platform.machine()}")]
    checks += [
        Check(check.name, check.passed, check.detail, "" if check.name == "signature" else ANOTHER_BUNDLE)
        for check in verify_bundle(bundle, allow_unsigned)
    ]
    if all(check.ok for check in checks):
        checks.append(self_test(bundle, backend, threads, allow_unsigned, engine))
    return checks


def self_test(
    bundle: Path | None,
    backend: str = "auto",
    threads: int | None = None,
    allow_unsigned: bool = False,
    engine: EngineSettings = AUTOMATIC,
) -> Check:
    """Score one phantom file twice, as `watch` does: there must be numbers, and the same numbers.

    A GPU scores where its engine was built before; nothing is built here.
    """
    from lungsev.inference.select import DeviceOptions
    from lungsev.model import load
    from lungsev.phantom import make_phantom, write_phantom_dicom

    with tempfile.TemporaryDirectory(prefix="lungsev-") as folder:
        path = Path(folder) / "phantom.dcm"
        write_phantom_dicom(make_phantom(seed=1), path)
        try:
            device = DeviceOptions(engine, build=False, wait=True, service=True)
            with load(bundle, backend, threads, allow_unsigned=allow_unsigned, device=device) as model:
                first, second = (model.score(path) for _ in range(2))
        except LungsevError as error:
            return Check("self-test", False, str(error), "try --backend onnxruntime, or reinstall lungsev")
    info = first.model
    where = f"{info.backend} {info.precision} on {info.device} ({info.reason})" if info else "no model"
    if first.scores != second.scores or first.status != second.status:
        return Check("self-test", False, f"{where}: two runs differ", "try --backend onnxruntime")
    if first.status == "failed":
        return Check("self-test", False, f"{where}: {first.error}: {first.message}", "reinstall lungsev")
    totals = ", ".join(f"{name} {first.standing_score(name).words}" for name in first.scores)
    said = totals or f"{first.status}, {first.reason}"
    return Check("self-test", True, f"{where}: phantom {said}, {first.timing_ms.total:.0f} ms")
