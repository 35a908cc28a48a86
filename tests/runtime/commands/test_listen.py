from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.errors import LungsevError
from lungsev.runtime.commands.listen import listen

pytest.importorskip("pynetdicom", reason='pip install "lungsev[bedside]"')


def test_without_an_inbox_it_says_where_to_name_one() -> None:
    with pytest.raises(LungsevError, match="no inbox: give INBOX"):
        listen(port=0)


@pytest.mark.parametrize("key", ["listen: {inbox: INBOX}", "watch: {incoming: INBOX}"])
def test_the_inbox_may_come_from_the_file(tmp_path: Path, key: str) -> None:
    config = tmp_path / "bedside.yaml"
    config.write_text(key.replace("INBOX", str(tmp_path / "absent")), encoding="utf-8")
    with pytest.raises(LungsevError, match=f"no folder at {tmp_path / 'absent'}"):
        listen(config=config, port=0)


def test_options_override_the_file(tmp_path: Path) -> None:
    config = tmp_path / "bedside.yaml"
    config.write_text("listen: {host: 127.0.0.1, allowed_addresses: [nonsense]}", encoding="utf-8")
    with pytest.raises(LungsevError, match="allowed_addresses"):
        listen(tmp_path, config=config)
    with pytest.raises(LungsevError, match="ae_title"):
        listen(tmp_path, ae_title="much too long for an AE title")
