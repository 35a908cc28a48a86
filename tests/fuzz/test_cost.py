"""What one input may cost: too much of anything is a finding."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import pytest
from fuzz import cost
from fuzz.cost import Cost
from fuzz.run import Outcome, _add


@pytest.fixture
def costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cost:
    monkeypatch.setattr(cost, "_INPUTS_BETWEEN_COUNTS", 1)
    monkeypatch.setattr(cost, "_SETTLE_SECONDS", 0.0)
    gc.collect()  # what other tests have left must not be freed while an input is measured
    return Cost(tmp_path / "cost.json")


def test_what_an_input_takes_for_a_moment_counts(costs: Cost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cost, "INPUT_MEMORY_MB", 20)
    with costs.of_input():
        bytearray(1 << 20)
    with pytest.raises(AssertionError, match="memory_mb"), costs.of_input():
        bytearray(b"x" * (60 << 20))
    assert json.loads((tmp_path / "cost.json").read_text())["memory_mb"] > 20


def test_processor_time_has_a_limit(costs: Cost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "INPUT_CPU_SECONDS", 0.005)
    with pytest.raises(AssertionError, match="cpu_seconds"), costs.of_input():
        sum(range(3_000_000))


def test_what_is_left_open_is_found(costs: Cost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "LEFT_OPEN", 3)
    kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
    with costs.of_input():
        pass
    with pytest.raises(AssertionError, match="4 files"), costs.of_input():
        kept.append(os.open("/dev/null", os.O_RDONLY))
    for descriptor in kept:
        os.close(descriptor)


def test_a_process_that_libfuzzer_has_filled_is_left(costs: Cost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "FRESH_PROCESS_MB", 1 << 20)
    assert not costs.is_process_full()
    monkeypatch.setattr(cost, "FRESH_PROCESS_MB", 1)
    assert costs.is_process_full()


def test_several_processes_of_a_target_are_one_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_INPUTS_BETWEEN_COUNTS", 1)
    outcome, record = Outcome("reading"), tmp_path / "cost.json"
    for first, last in ((100, 120), (119, 130)):
        log = f"#4\tpulse  cov: 9 ft: 1\n#8\tINITED cov: {first} ft: 1 corp: 2/3b\n#9\tREDUCE cov: {last} ft: 2\n"
        with Cost(record).of_input():
            pass
        _add(outcome, log, record)
    assert (outcome.costs["inputs"], outcome.edges) == (2, (100, 130))
    assert "inputs 2" in str(outcome)
    assert "edges 100 -> 130" in str(outcome)
