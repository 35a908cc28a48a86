"""Download the wheels of the lock files for offline installs: a folder per platform and Python, with what installs it.

python .ci/wheelhouse.py dist/wheelhouse --wheel dist/lungsev-0.1.0-py3-none-any.whl
python .ci/wheelhouse.py dist/wheelhouse --wheel ... --python 3.10 --machine aarch64
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check_aarch64 import GLIBC_MINORS, target_environment
from locked import LOCK, TENSORRT_LOCK, read_lock

INSTALL = """#!/bin/sh
# Install lungsev from this folder alone: sh install.sh /opt/lungsev/bin/python [tensorrt]
set -eu
python=$1
cd "$(dirname "$0")"
sha256sum --check --quiet SHA256SUMS
for part in bedside ${2:-}; do
    "$python" -m pip install --no-index --find-links . --require-hashes -r "$part.requirements.txt"
done
"$python" -m pip install --no-index --no-deps ./lungsev-*.whl
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--wheel", type=Path, required=True, help="lungsev's own wheel")
    parser.add_argument("--python", action="append", help="repeatable; default 3.10 and 3.12")
    parser.add_argument("--machine", action="append", help="repeatable; default x86_64 and aarch64")
    arguments = parser.parse_args()
    for machine in arguments.machine or ["x86_64", "aarch64"]:
        for version in arguments.python or ["3.10", "3.12"]:
            folder = arguments.out.resolve() / f"{machine}-cp{version.replace('.', '')}"
            fill(folder, machine, version, arguments.wheel)
            print(f"{folder}: {len(list(folder.glob('*.whl')))} wheels")
    return 0


def fill(folder: Path, machine: str, version: str, wheel: Path) -> None:
    """Raises CalledProcessError when a package has no such wheel, or one whose hash is not in the lock."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", version]
    for minor in reversed(GLIBC_MINORS):
        command += ["--platform", f"manylinux_2_{minor}_{machine}"]
    command += ["--platform", f"manylinux2014_{machine}", "-d", str(folder)]
    for part, lock in {"bedside": LOCK, "tensorrt": TENSORRT_LOCK}.items():
        requirements = folder / f"{part}.requirements.txt"
        requirements.write_text(requirements_for(machine, version, lock), encoding="utf-8")
        subprocess.run([*command, "-r", str(requirements)], check=True, cwd=tempfile.gettempdir())
    shutil.copy(wheel, folder)
    (folder / "install.sh").write_text(INSTALL, encoding="utf-8")
    files = sorted(path for path in folder.iterdir())
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8")


def requirements_for(machine: str, version: str, lock: Path = LOCK) -> str:
    """The lines of the lock that apply there, without markers: pip would judge them by its own Python."""
    environment = target_environment(version, machine)
    lines = []
    for each in read_lock(lock):
        if each.applies(environment):
            hashes = " ".join(f"--hash=sha256:{digest}" for digest in each.hashes)
            lines.append(f"{each.name}=={each.version} {hashes}\n")
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
