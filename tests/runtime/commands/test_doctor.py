from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungsev.bundle.archive import Bundle
from lungsev.errors import LungsevError
from lungsev.runtime.commands.doctor import doctor


def test_the_command_prints_json_and_fails_on_the_first_fault(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "bedside.yaml"
    config.write_text(f"watch: {{min_free_mb: 0}}\nmodel: {{bundle: {tiny_bundle.path}}}\n", encoding="utf-8")
    with pytest.raises(LungsevError, match=r"checks failed, first .*: ") as caught:
        doctor(tmp_path / "absent", out=tmp_path / "out", config=config, json_output=True)
    printed = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert {"incoming", "checksums", "disk"} <= set(printed)
    assert not printed["incoming"]["ok"]
    failed = [check for check in printed.values() if not check["ok"]]
    assert f"first {failed[0]['name']}: {failed[0]['advice']}" in str(caught.value)
