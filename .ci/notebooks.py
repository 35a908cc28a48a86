"""Execute the notebooks, notebooks/*.py, and leave each as .ipynb and .html with its pictures.

Usage: notebooks.py OUT [NAME ...]; NAME is the beginning of a file name, e.g. 1; default: all.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import jupytext
import nbclient
import nbformat
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parents[1]
SECONDS_PER_CELL = 900


def main(out: Path, chosen: list[str]) -> None:
    """Execute in `out`, where data and runs remain for the next notebook."""
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted((ROOT / "notebooks").glob("*.py"))
    for source in sources:
        shutil.copy(source, out)  # one may run another
    for source in sources:
        if not chosen or any(source.name.startswith(name) for name in chosen):
            print(f"{source.stem} ...", flush=True)
            page = execute(source, out)
            print(f"{source.stem}: open {page}", flush=True)


def execute(source: Path, out: Path) -> Path:
    """Write the executed notebook and a page of it; return the page. Raises CellExecutionError."""
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbclient.NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(out)}},
        extra_arguments=["--log-level=ERROR"],  # else it warns of its own connection on this machine
    ).execute()
    nbformat.write(notebook, out / f"{source.stem}.ipynb")
    page = out / f"{source.stem}.html"
    text, _ = HTMLExporter().from_notebook_node(notebook)
    page.write_text(text, encoding="utf-8")
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
