from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lungsev.bundle.archive import Bundle
from lungsev.errors import LungsevError
from lungsev.runtime.commands.verify import verify


def test_a_good_bundle_passes_every_check_and_runs(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    verify(tiny_bundle.path, "onnxruntime", 1, json_output=True)
    checks = json.loads(capsys.readouterr().out)
    assert all(check["ok"] for check in checks)
    assert {"lungsev", "checksums", "self-test"} <= {check["name"] for check in checks}


def test_one_changed_byte_is_found_and_the_advice_given(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.path, bundle)
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(bytes(data))
    with pytest.raises(LungsevError, match="copy the bundle again"):
        verify(bundle, "onnxruntime", 1, json_output=False)
    assert "FAIL" in capsys.readouterr().out
