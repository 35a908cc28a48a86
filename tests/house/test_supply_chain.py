"""What an install holds is locked with hashes, listed, and fits every platform that is promised."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in ("audit", "locked", "licences", "sbom", "wheelhouse", "check_aarch64"):
        sys.modules.pop(name, None)


def stated() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["bedside"])]


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_lock_holds_one_version_of_every_package_that_the_bedside_needs(script, python: str, machine: str) -> None:
    environment = script("check_aarch64").target_environment(python, machine)
    locked = [each for each in script("locked").read_lock() if each.applies(environment)]
    versions = {each.name: each.version for each in locked}
    assert len(versions) == len(locked)
    for requirement in stated():
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement.name
    assert all(len(digest) == 64 for each in locked for digest in each.hashes)


def test_a_line_without_a_hash_is_refused(script, tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("numpy==2.0.0\n")
    with pytest.raises(ValueError, match=r"numpy==2\.0\.0 has no hash; .* make lock"):
        list(script("locked").read_lock(tmp_path / "lock.txt"))


def test_a_wheelhouse_takes_the_lines_of_its_platform_without_their_markers(script) -> None:
    lines = script("wheelhouse").requirements_for("aarch64", "3.10")
    assert ";" not in lines
    assert "imagecodecs==2025.3.30 --hash=sha256:" in lines
    assert "colorama" not in lines


def test_a_wheelhouse_in_a_relative_folder_holds_what_installs_it(
    script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheelhouse, asked = script("wheelhouse"), []

    def download(command: list[str], cwd: str, check: bool) -> None:
        requirements, folder = Path(command[command.index("-r") + 1]), Path(command[command.index("-d") + 1])
        asked.append((Path(cwd, requirements).read_text().split("==")[0], Path(cwd, folder)))
        Path(cwd, folder, f"{len(asked)}.whl").touch()

    monkeypatch.setattr(wheelhouse.subprocess, "run", download)
    monkeypatch.chdir(tmp_path)
    Path("lungsev-0.1.0-py3-none-any.whl").touch()
    chosen = ["--wheel", "lungsev-0.1.0-py3-none-any.whl", "--python", "3.10", "--machine", "aarch64"]
    monkeypatch.setattr(sys, "argv", ["wheelhouse.py", "houses", *chosen])
    assert wheelhouse.main() == 0
    folder = tmp_path / "houses" / "aarch64-cp310"
    assert asked == [("annotated-doc", folder), ("cuda-bindings", folder)]
    sums = (folder / "SHA256SUMS").read_text()
    assert [line.split()[1] for line in sums.splitlines()] == [
        *("1.whl", "2.whl", "bedside.requirements.txt", "install.sh"),
        *("lungsev-0.1.0-py3-none-any.whl", "tensorrt.requirements.txt"),
    ]


def test_the_binding_of_cuda_is_locked_as_the_extra_asks(script) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = map(Requirement, project["optional-dependencies"]["tensorrt"])
    (asked,) = (requirement for requirement in extra if requirement.name == "cuda-bindings")
    locked = script("locked")
    versions = {each.name: each.version for each in locked.read_lock(locked.TENSORRT_LOCK)}
    assert asked.specifier.contains(versions[asked.name])


def test_the_bill_of_materials_is_the_same_twice_and_names_the_model(script, tmp_path: Path) -> None:
    sbom, locked = script("sbom"), list(script("locked").read_lock())
    (tmp_path / "a.whl").write_bytes(b"wheel")
    document = sbom.make_sbom(locked, tmp_path / "a.whl")
    assert json.dumps(document) == json.dumps(sbom.make_sbom(locked, tmp_path / "a.whl"))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    references = [component["bom-ref"] for component in document["components"]]
    assert len(set(references)) == len(references) == len(locked) + 1
    assert document["components"][-1]["type"] == "machine-learning-model"
    numpy = next(component for component in document["components"] if component["name"] == "numpy")
    assert numpy["externalReferences"][0]["hashes"][0]["alg"] == "SHA-256"
    assert numpy["licenses"]
    assert document["components"][-1]["licenses"]
    assert sbom._licence("MIT AND BSD-3-Clause") == {"expression": "MIT AND BSD-3-Clause"}
    assert sbom._licence("BSD License") == {"license": {"name": "BSD License"}}


def test_strong_copyleft_and_silence_are_noticed(script) -> None:
    refused = script("licences").REFUSED
    assert all(refused.search(text) for text in ("GPL-3.0-only", "AGPL-3.0", "GNU General Public License v3 (GPLv3)"))
    assert all(refused.search(text) for text in ("SSPL-1.0", "EUPL-1.2", "CC-BY-NC-4.0", "for non-commercial use"))
    assert not any(refused.search(text) for text in ("LGPL-2.1", "GNU Lesser General Public License v3", "MPL-2.0"))
    assert script("licences").licence_of("no-such-package-here") == ""
    assert "pydicom" in script("licences").closure("lungsev", ["bedside"])


FAKE_PIP_AUDIT = """#!/bin/sh
case "$*" in
*"-s $ANSWERS "*) ;;
*) echo "requests.exceptions.ConnectionError: no route" >&2; exit 1 ;;
esac
eval file=\\${$#}
if grep -q "^pillow==0" "$file"; then echo "pillow 0 PYSEC-1"; echo "Found 1 known vulnerability" >&2; exit 1; fi
echo "No known vulnerabilities found" >&2
"""


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ("pypi", 0, "No known vulnerabilities"),
        ("osv", 0, "No known vulnerabilities"),
        ("none", 2, "api.osv.dev answered"),
    ],
)
def test_an_audit_asks_one_service_after_the_other_and_says_in_one_line_that_none_answers(
    script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, answers: str, code: int, said: str
) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(FAKE_PIP_AUDIT)
    program.chmod(0o755)
    monkeypatch.setenv("ANSWERS", answers)
    monkeypatch.setattr(sys, "argv", ["audit.py", str(program)])
    assert script("audit").main() == code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert code != 2 or (captured.out, captured.err.count("\n")) == ("", 1)


def test_an_audit_tells_what_is_known_of_every_version_in_the_lock(
    script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    audit, locked = script("audit"), script("locked")
    parts = audit.rounds(list(locked.read_lock()))
    assert len(parts) > 1  # Python 3.10 gets other versions than 3.13
    assert all(len({each.name for each in part}) == len(part) for part in parts)
    program = tmp_path / "pip-audit"
    program.write_text(FAKE_PIP_AUDIT)
    program.chmod(0o755)
    monkeypatch.setenv("ANSWERS", "pypi")
    known = locked.Locked(Requirement("pillow==0.1"), ("a",))
    assert audit.ask(str(program), [known]) == 1
    assert "PYSEC-1" in capsys.readouterr().out
