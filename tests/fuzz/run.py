"""Coverage-guided fuzzing with atheris: `make fuzz MINUTES=30`, or one target alone:

    python tests/fuzz/run.py --minutes 30
    python tests/fuzz/run.py --target reading --minutes 10 --corpus fuzz-corpus

Every target has a process of its own, so that a crash of a codec is found too. What fails is written to
tests/fuzz/crashes/TARGET/, where a test reads it for ever after. The corpus is kept, and the next run goes on from it.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
CRASHES = TESTS / "fuzz" / "crashes"
INPUT_SECONDS = 20
MEMORY_MB = 400 + 112  # an image in a process of its own, and what libFuzzer keeps of coverage and corpus
MAX_INPUT_BYTES = 1 << 20
STRUCTURED_SHARE = 0.3  # of mutations that know what a DICOM file looks like


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
    before = {path for path in CRASHES.rglob("*") if path.is_file()}
    failed = [name for name in targets if not _run_alone(name, options.corpus, options.minutes / len(targets))]
    for path in sorted({path for path in CRASHES.rglob("*") if path.is_file()} - before):
        print(f"found: {path}")
    print(f"{len(targets)} targets, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    return int(bool(failed))


def fuzz(name: str, corpus: Path, seconds: float) -> None:
    """Fuzz one target in this process, which ends with the run."""
    import atheris

    with atheris.instrument_imports(include=["lungsev", "pydicom", "pynetdicom", "yaml", "h11"]):
        from fuzz.targets import TARGETS

        opened = TARGETS[name]()
        feed = opened.__enter__()
    folder, crashes = corpus / name, CRASHES / name
    crashes.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        from fuzz.seeds import write_seeds

        write_seeds(name, folder)
    arguments = [sys.argv[0], str(folder), f"-artifact_prefix={crashes}/", f"-max_total_time={max(1, round(seconds))}"]
    arguments += [
        f"-timeout={INPUT_SECONDS}",
        f"-report_slow_units={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={MAX_INPUT_BYTES}",
    ]

    def keep_what_fails(data: bytes) -> None:
        try:
            feed(data)
        except BaseException:  # libFuzzer keeps what crashes or hangs, and at times what raises
            (crashes / hashlib.sha1(data).hexdigest()).write_bytes(data)
            raise

    atheris.Setup([*arguments, "-print_final_stats=1"], keep_what_fails, custom_mutator=_mutate)
    atheris.Fuzz()


def _mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Bytes changed by libFuzzer, or a DICOM file changed where its structure is."""
    import atheris
    from dicom_mutations import DRAWN

    chance = random.Random(seed)
    if data[128:132] == b"DICM" and len(data) > 200 and chance.random() < STRUCTURED_SHARE:
        return DRAWN[chance.choice(sorted(DRAWN))](data, chance)[:max_size]
    return bytes(atheris.Mutate(data, max_size))


def _run_alone(name: str, corpus: Path, minutes: float) -> bool:
    print(f"{name}: {minutes:.1f} minutes", flush=True)
    command = [sys.executable, "-W", "ignore", str(Path(__file__)), "--alone", name, "--minutes", str(minutes)]
    started = time.monotonic()
    found = subprocess.run([*command, "--corpus", str(corpus)], capture_output=True, text=True, errors="replace")
    report = [line for line in found.stderr.splitlines() if line.startswith(("stat::", "==", "SUMMARY", " ==="))]
    print("\n".join(f"  {line}" for line in report) or f"  {time.monotonic() - started:.0f} s")
    if found.returncode:
        print("\n".join(f"  {line}" for line in found.stderr.splitlines()[-30:]))
    return found.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
