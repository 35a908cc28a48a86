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

# Copyleft that reaches what it is linked with, and terms that forbid some uses.
REFUSED = re.compile(
    r"(?<!L)(?<!Lesser )\b(A?GPL|GNU (Affero )?General Public|SSPL|Server Side Public|EUPL|European Union Public|OSL)"
    r"|non-?commercial|CC[- ]BY-(NC|SA)",
    re.IGNORECASE,
)
# Copyleft of the package's own files: it may be passed on as it is.
NAMED = re.compile(r"LGPL|Lesser General Public|MPL|Mozilla Public|EPL|Eclipse Public|CDDL", re.IGNORECASE)

# Of locked packages that other Pythons and systems install, from the metadata of the locked wheels.
NOT_INSTALLED_HERE = {
    "coloredlogs": "MIT License",
    "exceptiongroup": "MIT License",
    "humanfriendly": "MIT License",
    "pyreadline3": "BSD License",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", action="append", help="repeatable; default all")
    arguments = parser.parse_args()
    extras = arguments.extra or metadata.metadata("lungsev").get_all("Provides-Extra") or []
    names = closure("lungsev", extras)
    found = {name: licence_of(name) for name in names}
    print("| package | version | licence |\n|---|---|---|")
    for name in names:
        version = metadata.version(name) if is_installed(name) else "not installed here"
        print(f"| {name} | {version} | {(found[name] or 'not stated').replace('|', '/')} |")
    weak = [name for name in names if NAMED.search(found[name])]
    if weak:
        print(f"copyleft of their own files, to be passed on unchanged: {', '.join(weak)}", file=sys.stderr)
    absent = [name for name in names if not is_installed(name)]
    if absent:
        print(f"not installed here, so not looked at: {', '.join(absent)}", file=sys.stderr)
    bad = [name for name in names if is_installed(name) and (not found[name] or REFUSED.search(found[name]))]
    if bad:
        said = ", ".join(f"{name} ({found[name] or 'states none'})" for name in bad)
        print(f"may not be passed on with lungsev, or not known to: {said}", file=sys.stderr)
    return int(bool(bad))


def closure(package: str, extras: list[str]) -> list[str]:
    """Names of all packages that `package[extras]` asks for, itself left out; an absent one asks for nothing."""
    done: set[tuple[str, str]] = set()
    waiting = [(package, extra) for extra in ["", *extras]]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        stated = (metadata.requires(name) or []) if is_installed(name) else []
        for requirement in map(Requirement, stated):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(requirement.name), each) for each in ["", *requirement.extras]]
    return sorted({name for name, _ in done} - {package})


def is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def licence_of(name: str) -> str:
    """What a package says: SPDX expression, else classifiers, its field, or its licence file; empty if nothing."""
    if not is_installed(name):
        return NOT_INSTALLED_HERE.get(name, "")
    found = metadata.metadata(name)
    if found.get("License-Expression"):
        return str(found["License-Expression"])
    stated = [text for text in found.get_all("Classifier") or [] if text.startswith("License ::")]
    classifiers = [text.rsplit(" :: ", 1)[-1] for text in stated]
    field = (found.get("License") or "").strip().splitlines()
    said = field[0][:80] if field and field[0] != "UNKNOWN" else ""  # which setuptools wrote for nothing
    return ", ".join(classifiers) or said or _first_lines(name)


def _first_lines(name: str) -> str:
    """Title of the licence file; of a package that only asks for others, that it is one."""
    files = metadata.files(name) or []
    if files and all(".dist-info" in str(file) for file in files):
        return "none needed: no files of its own"
    for file in files:
        if re.search(r"dist-info/(licenses/)?(LICEN[CS]E|COPYING)[^/]*$", str(file), re.IGNORECASE):
            lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
            return ", ".join(lines[:2])[:80]
    return ""


if __name__ == "__main__":
    sys.exit(main())
