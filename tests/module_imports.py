"""Which module of the project imports which, read from the source. Used by the tests of the house."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOMS = {"train": "lungsev.train", "export": "lungsev.export", "runtime": "lungsev.runtime"}
# A prefix per room, longest first: lungsev.networks is part of the core's folder but not of the core.
OWNERS = {**{package: room for room, package in ROOMS.items()}, "lungsev.networks": "networks", "lungsev": "core"}


def module_files(root: Path) -> dict[str, Path]:
    """Every module of the four rooms by its installed name."""
    found = {}
    for folder in ("lungsev", "configs", *ROOMS):
        package = folder if folder == "lungsev" else f"lungsev.{folder}"
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = path
    return found


def owner(module: str) -> str | None:
    """The room a module belongs to; None for everything that is not lungsev."""
    return next((room for prefix, room in OWNERS.items() if (module + ".").startswith(prefix + ".")), None)


def imports_of(module: str, path: Path) -> Iterator[tuple[str, int]]:
    """Absolute names a module imports anywhere in it, import_module("...") included, with the line."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _called_name(node) in ("import_module", "__import__"):
            yield from ((argument.value, node.lineno) for argument in node.args if _is_text(argument))


def _called_name(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
