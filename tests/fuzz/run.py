"""Coverage-guided fuzzing with atheris: `make fuzz MINUTES=30`, or one target alone:

    python tests/fuzz/run.py --minutes 30
    python tests/fuzz/run.py --target reading --minutes 10 --corpus fuzz-corpus

Every target has a process of its own, so that a crash of a codec is found too; after a finding the next process goes
on until the time is used up. A finding is a crash, an error that the module does not declare, a server that no longer
answers, and what `fuzz.cost` forbids: time, memory, open files, threads. What fails is written to
tests/fuzz/crashes/TARGET/, where a test reads it for ever after. The corpus is kept, and the next run goes on from it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import operator
import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
CRASHES = TESTS / "fuzz" / "crashes"
HANG_SECONDS = 120  # on the clock, of a machine that may be busy; processor time has a limit of its own
MEMORY_MB = 400  # of the whole process, with all that libFuzzer keeps
MAX_INPUT_BYTES = {"reading": 1 << 18, "codestreams": 1 << 18, "dicom_listener": 1 << 16}
SHORT_INPUT_BYTES = 1 << 14  # of all other targets: what they take is text
STRUCTURED_SHARE = 0.3  # of mutations that know what a DICOM file looks like
MAX_FAILURES = 20
# glibc otherwise keeps the room of images between what libFuzzer keeps.
WITHOUT_FRAGMENTS = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
INSTRUMENTED = ["lungsev", "pydicom", "pynetdicom", "yaml", "h11", "uvicorn", "starlette", "fastapi", "http", "zipfile"]
_COVERAGE = re.compile(r"^#\d+\s+(INITED|NEW|REDUCE|pulse|RELOAD|DONE)\s+cov: (\d+)")
_OPERATORS = (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge)  # as Python numbers them


@dataclass
class Outcome:
    """What became of one target.

    Attributes:
        edges: Code reached, as libFuzzer counts it: by the corpus at the start, and at the end.
        costs: Number of inputs, the largest costs of one, and the memory of the process (`fuzz.cost`).
        findings: A line for each.
    """

    name: str
    seconds: float = 0.0
    edges: tuple[int, int] = (0, 0)
    costs: dict[str, float] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        costs = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in self.costs.items())
        edges = f"edges {self.edges[0]} -> {self.edges[1]}"
        return f"{self.name}: {self.seconds / 60:.1f} minutes, {costs}, {edges}, findings {len(self.findings)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="of all targets together")
    parser.add_argument("--target", action="append", help="repeatable; default: all")
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-corpus"), help="kept between runs")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        print('atheris is missing; install it: pip install "lungsev[fuzz]"', file=sys.stderr)
        return 1
    if options.alone:
        fuzz(options.alone, options.corpus, options.minutes * 60)
        return 0
    from fuzz.targets import TARGETS

    targets = options.target or sorted(TARGETS)
    if unknown := sorted(set(targets) - set(TARGETS)):
        parser.error(f"no target {', '.join(unknown)}; expected {', '.join(sorted(TARGETS))}")
    outcomes = [run_target(name, options.corpus, options.minutes * 60 / len(targets)) for name in targets]
    print(*outcomes, sep="\n")
    return int(any(outcome.findings for outcome in outcomes))


def run_target(name: str, corpus: Path, seconds: float) -> Outcome:
    """Fuzz one target in processes of its own, one after the other, until the time is used up."""
    from fuzz.seeds import write_seeds

    print(f"{name}: {seconds / 60:.1f} minutes", flush=True)
    outcome, started = Outcome(name), time.monotonic()
    corpus.mkdir(parents=True, exist_ok=True)
    write_seeds(name, corpus / f"{name}.seeds")
    (corpus / f"{name}.cost.json").unlink(missing_ok=True)
    (CRASHES / name).mkdir(parents=True, exist_ok=True)
    failures = 0
    while failures < MAX_FAILURES and (left := started + seconds - time.monotonic()) >= 1:
        before = set((CRASHES / name).iterdir())
        status, log = _run_alone(name, corpus, left)
        _add(outcome, log, corpus / f"{name}.cost.json")
        if status == 0:
            continue
        failures += 1
        found = sorted(str(path) for path in set((CRASHES / name).iterdir()) - before) or [f"ended with {status}"]
        outcome.findings += found
        lines = [f"  found: {line}" for line in found] + [f"    {line}" for line in log.splitlines()[-30:]]
        print("\n".join(lines), flush=True)
    outcome.seconds = time.monotonic() - started
    with contextlib.suppress(OSError):  # unless something was found
        (CRASHES / name).rmdir()
    print(outcome, flush=True)
    return outcome


def fuzz(name: str, corpus: Path, seconds: float) -> None:
    """Fuzz one target in this process, which ends with the run."""
    import atheris
    from fuzz.cost import Cost

    _compare_without_leaks()
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz.targets import TARGETS

        opened = TARGETS[name]()
        feed = opened.__enter__()
        crashes, seeds = CRASHES / name, sorted((corpus / f"{name}.seeds").iterdir())
        for seed in seeds[:: max(1, len(seeds) // 20)]:  # imports what is imported late
            feed(seed.read_bytes())
    cost = Cost(corpus / f"{name}.cost.json")
    (corpus / name).mkdir(parents=True, exist_ok=True)
    arguments = [sys.argv[0], str(corpus / name), str(corpus / f"{name}.seeds"), f"-artifact_prefix={crashes}/"]
    arguments += [f"-max_total_time={max(1, round(seconds))}", f"-timeout={HANG_SECONDS}", "-print_final_stats=0"]
    arguments += [
        "-report_slow_units=100000",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={MAX_INPUT_BYTES.get(name, SHORT_INPUT_BYTES)}",
    ]

    def keep_what_fails(data: bytes) -> None:
        try:
            with cost.of_input():
                feed(data)
        except BaseException:  # libFuzzer keeps what crashes or hangs, and at times what raises
            (crashes / f"crash-{hashlib.sha1(data).hexdigest()}").write_bytes(data)
            raise
        if cost.is_process_full():
            os._exit(0)

    atheris.Setup(arguments, keep_what_fails, custom_mutator=_mutate)
    atheris.Fuzz()


def _compare_without_leaks() -> None:
    """Have instrumented comparisons of arrays done by Python: atheris 3.0 never frees what they give."""
    import atheris

    trace, traced = atheris._trace_cmp, (int, str, bytes)

    def compare(left: Any, right: Any, number: int, *place: Any) -> Any:
        if isinstance(left, traced) and isinstance(right, traced):
            return trace(left, right, number, *place)
        return _OPERATORS[number](left, right)

    atheris._trace_cmp = compare


def _mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Bytes changed by libFuzzer, or a DICOM file changed where its structure is."""
    import atheris
    from dicom_mutations import DRAWN

    chance = random.Random(seed)
    if data[128:132] == b"DICM" and len(data) > 200 and chance.random() < STRUCTURED_SHARE:
        return DRAWN[chance.choice(sorted(DRAWN))](data, chance)[:max_size]
    return bytes(atheris.Mutate(data, max_size))


def _run_alone(name: str, corpus: Path, seconds: float) -> tuple[int, str]:
    command = [sys.executable, "-W", "ignore", str(Path(__file__)), "--alone", name, "--minutes", str(seconds / 60)]
    found = subprocess.run(
        [*command, "--corpus", str(corpus)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **WITHOUT_FRAGMENTS},
    )
    return found.returncode, found.stdout


def _add(outcome: Outcome, log: str, costs: Path) -> None:
    """Add what one process says at its end."""
    found = [match for line in log.splitlines() if (match := _COVERAGE.match(line))]
    while found and found[0][1] != "INITED":  # the corpus is still being read
        del found[0]
    edges = [int(match[2]) for match in found]
    if edges:
        outcome.edges = (outcome.edges[0] or edges[0], max(outcome.edges[1], edges[-1]))
    if costs.exists():
        outcome.costs = json.loads(costs.read_text())


if __name__ == "__main__":
    sys.exit(main())
