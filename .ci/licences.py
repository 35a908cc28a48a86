"""Report the licence of every package that lungsev's extras bring in, as this environment has them installed.

Exits with 1 where a package states none, or one that may not be passed on with lungsev.

    python .ci/licences.py                        # as Markdown: core and all extras
    python .ci/licences.py --extra bedside        # core and this extra
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Copyleft that reaches what it is linked with. LGPL and MPL do not; NVIDIA's are named in the docs.
REFUSED = re.compile(r"(?<!L)(?<!Lesser )\b(A?GPL|GNU (Affero )?General Public)", re.IGNORECASE)

# Of packages whose metadata say nothing; this one is what pip installs of CUDA for torch.
STATED_ELSEWHERE = {"cuda-toolkit": "NVIDIA Software License Agreement"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", action="append", help="repeatable; default all")
    arguments = parser.parse_args()
    names = closure("lungsev", arguments.extra or metadata.metadata("lungsev").get_all("Provides-Extra") or [])
    bad = []
    print("| package | version | licence |\n|---|---|---|")
    for name in names:
        licence = licence_of(name)
        print(f"| {name} | {metadata.version(name)} | {(licence or 'not stated').replace('|', '/')} |")
        if not licence or REFUSED.search(licence):
            bad.append(name)
    if bad:
        print(f"look at the licences of {', '.join(bad)}", file=sys.stderr)
    return int(bool(bad))


def closure(package: str, extras: list[str]) -> list[str]:
    """Names of all installed packages that `package[extras]` asks for, itself left out."""
    done: set[tuple[str, str]] = set()
    waiting = [(package, extra) for extra in ["", *extras]]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in done:
            continue
        try:
            stated = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        done.add((name, extra))
        for requirement in map(Requirement, stated):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(requirement.name), each) for each in ["", *requirement.extras]]
    return sorted({name for name, _ in done} - {package})


def licence_of(name: str) -> str:
    """What a package says: SPDX expression, else classifiers, else the first line of its field; empty if nothing."""
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    if found.get("License-Expression"):
        return str(found["License-Expression"])
    stated = [text for text in found.get_all("Classifier") or [] if text.startswith("License ::")]
    classifiers = [text.rsplit(" :: ", 1)[-1] for text in stated]
    lines = (found.get("License") or "").strip().splitlines()
    return ", ".join(classifiers) or (lines[0][:80] if lines else STATED_ELSEWHERE.get(name, ""))


if __name__ == "__main__":
    sys.exit(main())
