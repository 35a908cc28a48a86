"""Thousands of mutated images through the sandbox: each is read or refused with a reason, quickly and in little memory.

`LUNGSEV_FUZZ=20000` reads more of the endless supply, `LUNGSEV_FUZZ_FROM=` begins elsewhere.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pydicom.data
import pytest
from dicom_mutations import SPELLED_OUT, disguised, mutant

from lungsev.errors import ImageError
from lungsev.reading.completeness import check_completeness
from lungsev.sandbox.client import Sandbox

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3000), pytest.mark.filterwarnings("ignore")]
COUNT, FIRST = int(os.environ.get("LUNGSEV_FUZZ", "1500")), int(os.environ.get("LUNGSEV_FUZZ_FROM", "0"))
OUR_FAULT = {"decoder_crashed", "decoder_timeout", "internal_error", "no words"}


def outcome(sandbox: Sandbox, path: Path) -> str:
    try:
        sandbox.read(path)
    except ImageError as error:
        return error.code if str(error) else "no words"
    return "read"


def read_mutants(folder: str) -> None:
    """Print what became of every mutant, and the largest worker's memory, as JSON."""
    path = Path(folder) / "image.dcm"
    outcomes: Counter[str] = Counter()
    slowest = (0.0, "")
    with Sandbox() as sandbox:
        for number in range(FIRST, FIRST + COUNT):
            name, data = mutant(number)
            path.write_bytes(data)
            started = time.monotonic()
            check_completeness(path)
            code = outcome(sandbox, path)
            slowest = max(slowest, (time.monotonic() - started, f"{number} {name}"))
            outcomes[code] += 1
            assert code not in OUR_FAULT, f"mutant {number} ({name}): {code}"
    largest_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"outcomes": dict(outcomes.most_common()), "slowest": slowest, "largest_mb": largest_mb}))


def test_every_mutant_is_read_or_refused_with_a_reason(tmp_path: Path) -> None:
    """In an interpreter of its own: a child is billed for the memory of the process it was forked from."""
    code = f"from test_fuzz import read_mutants; read_mutants({str(tmp_path)!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-W", "ignore", "-c", code]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    print(found.stdout)
    result = json.loads(found.stdout.splitlines()[-1])
    assert result["largest_mb"] < 400
    assert result["outcomes"]["read"] < sum(result["outcomes"].values()) == COUNT


def test_odd_images_of_all_modalities_are_refused_or_read_even_when_their_tags_say_chest(tmp_path: Path) -> None:
    """pydicom's own test files, with tags of a chest radiograph, so that all of them get as far as their pixels."""
    path = tmp_path / "image.dcm"
    outcomes: Counter[str] = Counter()
    with Sandbox() as sandbox:
        for source in sorted(Path(pydicom.data.__file__).parent.rglob("*.dcm")):
            for disguise in (lambda data: data, disguised):
                try:
                    path.write_bytes(disguise(source.read_bytes()))
                except Exception:
                    continue  # pydicom itself cannot write it again
                code = outcome(sandbox, path)
                outcomes[code] += 1
                assert code not in OUR_FAULT, f"{source.name}: {code}"
    print(dict(outcomes.most_common()))
    assert sum(outcomes.values()) > 100


def test_mutants_are_the_same_every_time() -> None:
    for number in (*range(len(SPELLED_OUT)), 700, 701):
        assert mutant(number) == mutant(number)
