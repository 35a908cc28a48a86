"""Mutation testing: change one thing in a module, run its tests, and see whether they notice.

A module's mutants are drawn with a seed from all changes that the operators below can make. Each runs the module's
mirrored tests in a forked process, in which an import hook puts the mutant in the module's place: no file is written,
so runs beside each other do not disturb one another. A program that a test starts sees the unchanged module.

mutmut 3.8.1 needs file paths that equal module names, which rooms by `package-dir` do not have; cosmic-ray 8.7.0
writes the mutant into the checkout and starts Python for each of some 250 mutants a module.

    python .ci/mutants.py                                   # what `make mutants` runs
    python .ci/mutants.py runtime/patients/trend.py --count 100 --seed 3
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CHOSEN = (
    *("runtime/dashboard/pages/board_page.py", "runtime/dashboard/pages/exam_page.py", "runtime/dashboard/zones.py"),
    *("lungsev/grading.py", "lungsev/geometry.py", "lungsev/change.py"),
    *("runtime/patients/trend.py", "runtime/patients/history.py"),
    *("lungsev/quality/gate.py", "lungsev/quality/measures.py"),
)
# Loaded once, before the fork. None of them loads a module of lungsev.
PRELOADED = (
    *("numpy", "cv2", "pydicom", "pydantic", "yaml", "typer", "rich", "onnxruntime", "imagecodecs", "PIL.Image"),
    *("fastapi", "jinja2", "uvicorn", "hypothesis", "onnx", "pytest"),
)
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
    ast.USub: ast.UAdd,
}
NEVER_CAUGHT, NO_TESTS_FOUND = 0, 5  # exit codes of pytest


@dataclass(frozen=True)
class Mutant:
    """A module with one change."""

    tree: ast.Module
    line: int
    before: str
    after: str


def main() -> int:
    """Run the mutants of the chosen modules; 1 when the tests of a module catch too few."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", default=CHOSEN, help="files; default: the chosen ones")
    parser.add_argument("--count", type=int, default=40, help="mutants of each module; default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="which ones are drawn; default %(default)s")
    parser.add_argument("--least", type=float, default=0.85, help="share that must be caught; default %(default)s")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once; default %(default)s")
    arguments = parser.parse_args()
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    weak = []
    for module in arguments.modules:
        share = report(Path(module), arguments.count, arguments.seed, arguments.jobs)
        if share < arguments.least:
            weak.append(f"{module} {share:.0%}")
    if weak:
        print(f"caught too few, expected {arguments.least:.0%}: {', '.join(weak)}")
    return int(bool(weak))


def report(path: Path, count: int, seed: int, jobs: int) -> float:
    """Print the survivors of one module as differences; return the share that was caught."""
    tests = mirrored_test(path)
    if not (ROOT / tests).is_file():
        print(f"{path}: found no {tests}, expected the module's tests there")
        return 0.0
    mutants = mutants_of((ROOT / path).read_text(encoding="utf-8"))
    drawn = random.Random(f"{seed}:{path}").sample(mutants, min(count, len(mutants)))
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        code = run_all([None], path, tests, Path(scratch), 1, limit_seconds=3600)[0]
        if code != 0:
            sys.exit(f"{tests}: pytest ended with {code} on the unchanged module, expected 0; run it alone first")
        limit = 60 + 20 * (time.monotonic() - started)  # only an endless loop takes so long
        codes = run_all(drawn, path, tests, Path(scratch), jobs, limit)
    survivors = [mutant for mutant, code in zip(drawn, codes, strict=True) if code in (NEVER_CAUGHT, NO_TESTS_FOUND)]
    caught = len(drawn) - len(survivors)
    print(f"{path}: {caught} of {len(drawn)} caught ({caught / len(drawn):.0%}; {len(mutants)} possible), by {tests}")
    for mutant in sorted(survivors, key=lambda mutant: mutant.line):
        print(f"  {path}:{mutant.line}\n  - {mutant.before}\n  + {mutant.after}", flush=True)
    return caught / len(drawn)


def mirrored_test(path: Path) -> Path:
    """Return where the tests of a module are: `lungsev/` is mirrored in tests/core, its networks in tests/networks."""
    parts = path.parts[1:] if path.parts[:2] == ("lungsev", "networks") else path.parts
    parts = ("core", *parts[1:]) if parts[0] == "lungsev" else parts
    return Path("tests", *parts[:-1], f"test_{path.name}")


def mutants_of(source: str) -> list[Mutant]:
    """Return every mutant of a module's source, in the order of its lines."""
    tree = ast.parse(source)
    found = []
    for statement, node, change in changes(tree):
        mutated = copy.deepcopy(tree)
        twin = dict(zip(map(id, ast.walk(tree)), ast.walk(mutated), strict=True))
        change(twin[id(node)])
        before, after = first_line(statement), first_line(twin[id(statement)])
        if before != after:
            found.append(Mutant(ast.fix_missing_locations(mutated), statement.lineno, before, after))
    return found


def changes(tree: ast.Module) -> Iterator[tuple[ast.stmt, ast.AST, Any]]:
    """Yield statement, node and a function that changes the node's twin in place."""
    for statement in statements(tree):
        for node in own_nodes(statement):
            if isinstance(node, ast.Compare):
                for place, operator in enumerate(node.ops):
                    if type(operator) in SWAPS:
                        yield statement, node, lambda twin, place=place: swap_item(twin.ops, place)
            elif isinstance(node, ast.BoolOp | ast.BinOp | ast.UnaryOp | ast.AugAssign) and type(node.op) in SWAPS:
                yield statement, node, lambda twin: setattr(twin, "op", SWAPS[type(twin.op)]())
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                yield statement, node, negate_again
            elif isinstance(node, ast.Constant) and node.value is not None and node.value is not Ellipsis:
                yield statement, node, lambda twin: setattr(twin, "value", other_value(twin.value))
            if isinstance(node, ast.If | ast.While | ast.IfExp):
                yield statement, node, negate_test
        if isinstance(statement, ast.Return) and statement.value is not None:
            yield statement, statement, lambda twin: setattr(twin, "value", ast.Constant(None))
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            yield statement, statement, lambda twin: setattr(twin, "value", ast.Constant(None))
        if isinstance(statement, ast.Break | ast.Continue):
            yield statement, statement, turn_loop


def swap_item(operators: list[ast.AST], place: int) -> None:
    operators[place] = SWAPS[type(operators[place])]()


def negate_again(twin: ast.UnaryOp) -> None:
    twin.operand = ast.UnaryOp(ast.Not(), twin.operand)


def negate_test(twin: ast.If | ast.While | ast.IfExp) -> None:
    twin.test = ast.UnaryOp(ast.Not(), twin.test)


def turn_loop(twin: ast.stmt) -> None:
    twin.__class__ = SWAPS[type(twin)]  # type: ignore[assignment]


def other_value(value: Any) -> Any:
    """Return another constant of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + (value[:1] or "x")
    if isinstance(value, bytes):
        return value + (value[:1] or b"x")
    return value + 1


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield statements whose change a test can see: no docstring, no import, no type alias, no error message."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or isinstance(node, ast.Import | ast.ImportFrom | ast.Raise | ast.ClassDef):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "__all__" for name in node.targets):
            continue
        yield node


def own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the nodes of a statement's own lines: not its body's, no annotation, no decorator."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "type_params", "format_spec"):
                continue
            children = value if isinstance(value, list) else [value]
            waiting += [child for child in children if isinstance(child, ast.AST) and not isinstance(child, ast.stmt)]


def first_line(statement: ast.stmt) -> str:
    """Return a statement's own line, without the body and the decorators."""
    bare = copy.copy(statement)
    if isinstance(bare, ast.FunctionDef | ast.AsyncFunctionDef):
        bare.decorator_list = []
    if hasattr(bare, "body"):
        bare.body = [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(bare)).splitlines()[0]


def run_all(
    mutants: Sequence[Mutant | None], path: Path, tests: Path, scratch: Path, jobs: int, limit_seconds: float
) -> list[int]:
    """Run the tests once for each mutant, `jobs` at a time; return pytest's exit codes, -9 after the limit."""
    codes = [NEVER_CAUGHT] * len(mutants)
    running: dict[int, tuple[int, float]] = {}
    waiting = list(range(len(mutants)))
    while waiting or running:
        while waiting and len(running) < jobs:
            number = waiting.pop(0)
            child = os.fork()
            if child == 0:
                run_one(mutants[number], path, tests, scratch / f"{time.monotonic_ns()}")
            running[child] = (number, time.monotonic())
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            codes[running.pop(child)[0]] = os.waitstatus_to_exitcode(status)
            continue
        for child, (_, started) in running.items():
            if time.monotonic() - started > limit_seconds:
                os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    return codes


def run_one(mutant: Mutant | None, path: Path, tests: Path, scratch: Path) -> None:
    """Run pytest in this forked process with the mutant in its module's place; never returns."""
    code = 3
    try:
        os.chdir(ROOT)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(scratch / "hypothesis")
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
        if mutant is not None:
            sys.meta_path.insert(0, MutantFinder(module_name(path), mutant))
        scratch.mkdir(parents=True)
        import pytest

        quick = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--tb=no"]
        quick += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins were loaded before the fork
        code = int(pytest.main([*quick, f"--basetemp={scratch / 'files'}", str(tests)]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def module_name(path: Path) -> str:
    """Return the name under which a file of a room is imported."""
    parts = path.with_suffix("").parts
    return ".".join(parts if parts[0] == "lungsev" else ("lungsev", *parts))


class MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module by its name and runs the mutant in its place."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        self.name = name
        self.mutant = mutant

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for the module under test alone."""
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(name)
        assert found is not None
        return importlib.machinery.ModuleSpec(name, self, origin=found.origin)

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant's code."""
        origin = module.__spec__.origin if module.__spec__ else None
        module.__file__ = origin
        exec(compile(self.mutant.tree, origin or self.name, "exec"), module.__dict__)


if __name__ == "__main__":
    sys.exit(main())
