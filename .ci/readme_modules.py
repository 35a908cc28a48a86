"""Write the list of modules in README.md anew: one line per module, its docstring's first.

python .ci/readme_modules.py            # what `make readme` runs
python .ci/readme_modules.py --check    # only say whether README.md is up to date
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- modules: written by `make readme` -->"
END = "<!-- end of modules -->"
ROOMS = ("lungsev", "train", "export", "runtime", "configs")


def main() -> int:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    fresh = with_modules(text, module_list(ROOT))
    if "--check" in sys.argv[1:]:
        print("README.md is up to date" if fresh == text else "README.md lacks modules; run: make readme")
        return int(fresh != text)
    readme.write_text(fresh, encoding="utf-8")
    return 0


def with_modules(readme: str, modules: str) -> str:
    """README with the part between its two markers replaced.

    Raises:
        ValueError: The markers are not there.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{modules}\n{END}{tail}"


def module_list(root: Path) -> str:
    """One part to unfold per room, named by its package's first line; one bullet per module."""
    parts = []
    for room in ROOMS:
        modules = sorted(path for path in (root / room).rglob("*.py") if path.name != "__init__.py")
        lines = [
            f"- [`{path.relative_to(root / room)}`]({path.relative_to(root)}): {summary(path)}" for path in modules
        ]
        heading = f"<b>{room}/</b> {summary(root / room / '__init__.py').replace('`', '')}"
        parts.append("\n".join([f"\n<details><summary>{heading}</summary>\n", *lines, "\n</details>"]))
    return "\n".join(parts)


def summary(path: Path) -> str:
    """First line of a module's docstring.

    Raises:
        ValueError: The module has none.
    """
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{path} has no docstring")
    return docstring.splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
