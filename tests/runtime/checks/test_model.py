from __future__ import annotations

from pathlib import Path

from lungsev.bundle.archive import Bundle
from lungsev.runtime.checks.model import check_model, self_test


def test_a_sound_bundle_passes_and_ends_with_a_score(tiny_bundle: Bundle) -> None:
    checks = check_model(tiny_bundle.path, "onnxruntime", 1)
    assert all(check.ok for check in checks)
    assert (checks[0].name, checks[-1].name) == ("lungsev", "self-test")


def test_a_folder_that_is_no_bundle_is_named_and_not_run(tmp_path: Path) -> None:
    checks = check_model(tmp_path)
    assert any(not check.ok and check.advice for check in checks)
    assert checks[-1].name != "self-test"
    assert not self_test(tmp_path).ok
