"""The documentation site: every page is reached, it builds without a warning, and it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest
import yaml

import lungsev
from lungsev.report import ModelInfo

ROOT = Path(__file__).resolve().parents[2]


def links_of(page: Path) -> set[Path]:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    return {(page.parent / target).resolve() for target in targets if "://" not in target}


def test_every_page_is_reached_from_the_index() -> None:
    reached = {ROOT / "docs/index.md"}
    waiting = list(reached)
    while waiting:
        found = {page for page in links_of(waiting.pop()) if page.suffix == ".md" and page.exists()} - reached
        reached |= found
        waiting += found
    assert sorted({*(ROOT / "docs").rglob("*.md")} - reached) == []


def test_every_part_of_the_report_on_the_model_is_explained() -> None:
    text = (ROOT / "docs/outputs.md").read_text(encoding="utf-8")
    table = text.partition("| `model` in the JSON |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [field.name for field in fields(ModelInfo)]


def test_every_decision_is_in_their_index() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    for path in folder.glob("[0-9]*.md"):
        number, _, title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").partition(". ")
        assert f"| {number} | [{title}]({path.name}) |" in index


def test_the_navigation_names_pages_that_exist() -> None:
    pages = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert pages
    made = {"reference/index.md", "security.md"}  # by .ci/site_pages.py, when the site is built
    assert [page for page in pages if page not in made and not (ROOT / "docs" / page).is_file()] == []


def test_the_reference_has_a_page_for_every_package() -> None:
    script = runpy.run_path(str(ROOT / ".ci/site_pages.py"))
    packages = script["packages_by_name"](ROOT)
    assert {"lungsev", "lungsev.reading", "lungsev.networks", "lungsev.runtime.watcher"} <= {*packages}
    assert "::: lungsev.reading.limits" in script["reference_page"]("lungsev.reading", packages["lungsev.reading"])


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings_handlers.python", reason="the extra docs is not installed")
    subprocess.run([sys.executable, ".ci/site_pages.py"], cwd=ROOT, check=True)
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
    pages = [page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")]
    assert len(pages) > 40
    assert [tag for page in pages for tag in re.findall(r"<(?:script|link|img)[^>]+https?://[^>]+>", page)] == []


def test_the_citation_file_cites_the_paper_and_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()  # what the format requires
    assert citation["version"] == lungsev.__version__
    papers = [citation["preferred-citation"], *citation["references"]]
    for paper in papers:
        assert {"type", "title", "authors"} <= paper.keys()
        assert re.fullmatch(r"10\.\d+/\S+", paper["doi"])
        assert 2000 < paper["year"] <= date.today().year
        assert paper["doi"] in (ROOT / "README.md").read_text(encoding="utf-8")
