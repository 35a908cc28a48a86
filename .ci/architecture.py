"""Write the module index of ARCHITECTURE.md: one line per module, the first line of its docstring.

python .ci/architecture.py            # what `make architecture` runs
python .ci/architecture.py --check    # only say whether ARCHITECTURE.md is up to date
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- modules: written by `make architecture` -->"
END = "<!-- end of modules -->"
ROOMS = ("lungsev", "train", "export", "runtime")


def main() -> int:
    """Write the index, or with --check only compare it."""
    document = ROOT / "ARCHITECTURE.md"
    text = document.read_text(encoding="utf-8")
    current = with_modules(text, module_index(ROOT))
    if "--check" in sys.argv[1:]:
        print(
            "ARCHITECTURE.md is up to date" if current == text else "ARCHITECTURE.md is stale; run: make architecture"
        )
        return int(current != text)
    document.write_text(current, encoding="utf-8")
    return 0


def with_modules(document: str, modules: str) -> str:
    """Replace the part between the two markers.

    Raises:
        ValueError: A marker is missing.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"ARCHITECTURE.md needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{modules}\n{END}{tail}"


def module_index(root: Path) -> str:
    """Return one heading per package with its first line, and below it one bullet per module."""
    parts = []
    for room in ROOMS:
        packages = sorted(path.parent for path in (root / room).rglob("__init__.py"))
        for package in packages:
            modules = sorted(path for path in package.glob("*.py") if path.name != "__init__.py")
            name = package.relative_to(root).as_posix()
            heading = f"### {name}/" if package == root / room else f"#### {name}/"
            lines = [f"- [`{path.name}`]({path.relative_to(root).as_posix()}): {summary(path)}" for path in modules]
            parts.append("\n".join([f"\n{heading}\n\n{summary(package / '__init__.py')}\n", *lines]).rstrip())
    return "\n".join(parts) + "\n"


def summary(path: Path) -> str:
    """Return the first line of a module's docstring.

    Raises:
        ValueError: The module has none.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{path} has no docstring")
    return docstring.splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
