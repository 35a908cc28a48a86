"""Show that every runtime dependency has a wheel for aarch64 Linux, as a Jetson needs.

pip resolves the tree for the foreign platform, but judges markers (`python_version < "3.11"`) by the
Python it runs on; so what a dependency asks for under the target's markers is added until nothing is
missing. Needs the network.

    python .ci/check_aarch64.py
    python .ci/check_aarch64.py --extra bedside --python 3.10
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
GLIBC_MINORS = range(17, 36)  # JetPack 6 is Ubuntu 22.04 with glibc 2.35


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="Python version, repeatable; default 3.10 and 3.12")
    parser.add_argument("--extra", action="append", default=[], help="also the packages of this extra, repeatable")
    arguments = parser.parse_args()
    failed = False
    for version in arguments.python or ["3.10", "3.12"]:
        try:
            wheels = resolve(runtime_requirements(arguments.extra), version)
        except RuntimeError as error:
            print(f"Python {version}, aarch64: no set of wheels\n{error}\n", file=sys.stderr)
            failed = True
            continue
        print(f"Python {version}, aarch64: {len(wheels)} wheels")
        for name, (package_version, file) in sorted(wheels.items()):
            print(f"  {name:24} {package_version:16} {file}")
        print()
    return int(failed)


def runtime_requirements(extras: list[str]) -> list[str]:
    """What `pip install lungsev[extras]` asks for, without the package itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in extras:
        requirements += project["optional-dependencies"][extra]
    return requirements


def resolve(requirements: list[str], python_version: str) -> dict[str, tuple[str, str]]:
    """Package to (version, wheel file) for the whole tree.

    Raises:
        RuntimeError: pip's own words, when a package has no wheel that fits.
    """
    environment = target_environment(python_version, "aarch64")
    wanted = [text for text in requirements if _applies(Requirement(text), environment)]
    while True:
        report = _pip_report(wanted, python_version)
        found = {canonicalize_name(item["metadata"]["name"]): item for item in report["install"]}
        missing = [
            str(requirement)
            for item in found.values()
            for requirement in map(Requirement, item["metadata"].get("requires_dist", []))
            if _applies(requirement, environment) and canonicalize_name(requirement.name) not in found
        ]
        if not missing:
            return {
                name: (item["metadata"]["version"], item["download_info"]["url"].rsplit("/", 1)[-1])
                for name, item in found.items()
            }
        wanted += [text.split(";")[0] for text in missing]


def target_environment(python_version: str, machine: str) -> dict[str, str]:
    """The values of markers on a Linux machine with this Python."""
    return {
        "python_version": python_version,
        "python_full_version": f"{python_version}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def _applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


def _pip_report(requirements: list[str], python_version: str) -> dict[str, list[dict]]:
    """pip's plan for the requirements on aarch64 Linux; wheels only, nothing is installed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--only-binary=:all:", "--target", folder, "--report", str(report)]
        command += ["--implementation", "cp", "--python-version", python_version]
        for minor in reversed(GLIBC_MINORS):
            command += ["--platform", f"manylinux_2_{minor}_aarch64"]
        command += ["--platform", "manylinux2014_aarch64"]
        result = subprocess.run([*command, *requirements], capture_output=True, text=True)
        if result.returncode != 0:
            raise RuntimeError(result.stderr.strip())
        return json.loads(report.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
