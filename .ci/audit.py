"""Ask for known vulnerabilities of every locked version, of all Pythons and platforms, by pip-audit.

PyPI's own service is asked first; a mirror of PyPI often has none, so OSV's is next. Exits with 1 where something is
known, with 2 where no service answered.

    python .ci/audit.py .venv-tools/bin/pip-audit
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from locked import TENSORRT_LOCK, Locked, read_lock

SERVICES = {"pypi": "pypi.org", "osv": "api.osv.dev"}
CLEAN, KNOWN, UNANSWERED = 0, 1, 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pip_audit")
    arguments = parser.parse_args()
    worst = CLEAN
    for packages in rounds([*read_lock(), *read_lock(TENSORRT_LOCK)]):
        worst = max(worst, ask(arguments.pip_audit, packages))
    if worst == UNANSWERED:
        places = " nor ".join(SERVICES.values())
        print(f"audit: neither {places} answered, so nothing is known; run it where the network is", file=sys.stderr)
    return worst


def rounds(packages: Sequence[Locked]) -> list[list[Locked]]:
    """The lock in parts that have one version of each package, as pip-audit wants them."""
    found: list[list[Locked]] = []
    for package in {(each.name, each.version): each for each in packages}.values():
        free = next((part for part in found if package.name not in {each.name for each in part}), None)
        if free is None:
            found.append(free := [])
        free.append(package)
    return found


def ask(pip_audit: str, packages: Sequence[Locked]) -> int:
    """Print what the first service that answers knows of some packages, whatever platforms they are for."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packages.txt"
        path.write_text("".join(f"{package.name}=={package.version}\n" for package in packages), encoding="utf-8")
        for service in SERVICES:
            command = [pip_audit, "--no-deps", "--disable-pip", "--strict", "--progress-spinner", "off"]
            done = subprocess.run([*command, "-s", service, "-r", str(path)], capture_output=True, text=True)
            if "known vulnerabilit" in done.stderr and done.returncode in (CLEAN, KNOWN):
                print(f"{done.stdout}{len(packages)} packages: {done.stderr.strip()}")
                return done.returncode
    return UNANSWERED


if __name__ == "__main__":
    sys.exit(main())
