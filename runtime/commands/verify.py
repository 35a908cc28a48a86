"""Is the model what it claims to be, and does it run on this machine?"""

from __future__ import annotations

import json
import platform
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from lungsev import __version__
from lungsev.errors import LungsevError
from lungsev.runtime.console import open_console


@dataclass(frozen=True)
class Check:
    """One thing looked at. `advice` says what to do when it is not `ok`."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def verify_command(bundle: Path | None, backend: str, threads: int | None, json_output: bool) -> None:
    """`lungsev-run verify`."""
    checks = verify(bundle, backend, threads)
    print_checks(checks, json_output)
    failed = [check for check in checks if not check.ok]
    if failed:
        raise LungsevError(f"{failed[0].name}: {failed[0].found}; {failed[0].advice}".rstrip("; "))


def verify(bundle: Path | None, backend: str = "auto", threads: int | None = None) -> list[Check]:
    """Checksums and versions of a bundle, then, if they hold, one inference on a phantom image."""
    from lungsev.bundle.archive import verify_bundle

    checks = [Check("lungsev", True, f"{__version__} on Python {platform.python_version()}, {platform.machine()}")]
    checks += [
        Check(check.name, check.passed, check.detail, "copy the bundle again, or name another with --bundle")
        for check in verify_bundle(bundle)
    ]
    if all(check.ok for check in checks):
        checks.append(self_test(bundle, backend, threads))
    return checks


def self_test(bundle: Path | None, backend: str = "auto", threads: int | None = None) -> Check:
    """One phantom image through the whole chain, file included, twice: the numbers must be there and be the same."""
    from lungsev.model import load
    from lungsev.phantom import make_phantom, write_phantom_dicom

    with tempfile.TemporaryDirectory(prefix="lungsev-") as folder:
        path = Path(folder) / "phantom.dcm"
        write_phantom_dicom(make_phantom(seed=1), path)
        try:
            with load(bundle, backend, threads) as model:
                first, second = (model.score(path) for _ in range(2))
        except LungsevError as error:
            return Check("self-test", False, str(error), "try --backend onnxruntime, or reinstall lungsev")
    info = first.model
    where = f"{info.backend} {info.precision} on {info.device}" if info else "no model"
    if first.scores != second.scores or first.status != second.status:
        return Check("self-test", False, f"{where}: two runs differ", "try --backend onnxruntime")
    if first.status == "failed":
        return Check("self-test", False, f"{where}: {first.error}: {first.message}", "reinstall lungsev")
    totals = ", ".join(f"{name} {score.total}/{score.total_max}" for name, score in first.scores.items())
    said = totals or f"{first.status}, {first.reason}"
    return Check("self-test", True, f"{where}: phantom {said}, {first.timing_ms.total:.0f} ms")


def print_checks(checks: list[Check], json_output: bool) -> None:
    """A line per check; JSON for machines."""
    if json_output:
        print(json.dumps([asdict(check) for check in checks], indent=2))
        return
    console = open_console()
    for check in checks:
        console.print(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.found}")
        if not check.ok and check.advice:
            console.print(f"     what to do: {check.advice}")
