"""Prepare what `make docs` builds: docs/, one reference page for each package, and the packages linked as installed.

Everything is written below site/source/. No module is imported: the site's generator reads the sources.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("lungsev", "train", "export", "runtime")


def main() -> None:
    """Rewrite all pages, so that no page of a removed module remains."""
    source = ROOT / "site/source"
    shutil.rmtree(source, ignore_errors=True)
    subprocess.run([ROOT / ".ci/linked_tree.sh", source / "packages"], cwd=ROOT, check=True)
    shutil.copytree(ROOT / "docs", source / "docs", ignore=shutil.ignore_patterns("deploy"))
    shutil.copy(ROOT / "SECURITY.md", source / "docs/security.md")
    for page in (source / "docs").glob("*.md"):  # which is beside docs/ in the sources
        page.write_text(page.read_text(encoding="utf-8").replace("](../SECURITY.md", "](security.md"), encoding="utf-8")
    reference = source / "docs/reference"
    reference.mkdir()
    packages = packages_by_name(ROOT)
    lines = [f"- [`{name}`]({name}.md)" for name in packages]
    (reference / "index.md").write_text("\n".join(["# Reference", "", *lines, ""]), encoding="utf-8")
    for name, folder in packages.items():
        (reference / f"{name}.md").write_text(reference_page(name, folder), encoding="utf-8")


def packages_by_name(root: Path) -> dict[str, Path]:
    """Return every package under the name by which it is imported."""
    folders = sorted(path.parent for room in ROOMS for path in (root / room).rglob("__init__.py"))
    names = {".".join(folder.relative_to(root).parts): folder for folder in folders}
    return {name if name.split(".")[0] == "lungsev" else f"lungsev.{name}": folder for name, folder in names.items()}


def reference_page(name: str, folder: Path) -> str:
    """Return a page with the package's docstring and everything public of its modules."""
    modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("__"))
    parts = [f"# {name}", f"::: {name}\n    options: {{members: false, show_root_heading: false}}"]
    return "\n\n".join([*parts, *(f"::: {name}.{module}" for module in modules)]) + "\n"


if __name__ == "__main__":
    main()
