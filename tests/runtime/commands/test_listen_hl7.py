from __future__ import annotations

import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from bedside_life import PATIENCE_SECONDS
from hl7_samples import a40

from lungsev.errors import LungsevError
from lungsev.runtime.commands.listen_hl7 import listen_hl7
from lungsev.runtime.patients.decisions import read_decisions
from lungsev.system import python_command


def test_without_an_output_folder_it_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="expected the one that watch writes to"):
        listen_hl7(tmp_path / "absent")


def test_options_and_file_are_checked(tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match=r"hl7_listen\.allowed_addresses"):
        listen_hl7(tmp_path, allow=["nonsense"])
    with pytest.raises(LungsevError, match=r"hl7_listen\.port"):
        listen_hl7(tmp_path, port=70000)


def test_a_merge_over_the_network_is_a_decision_of_the_folder(tmp_path: Path) -> None:
    command = ["listen-hl7", str(tmp_path), "--port", "0"]
    with subprocess.Popen(
        python_command("from lungsev.runtime.cli import main; main()", *command), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"listening for HL7 on 127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found
            with socket.create_connection(("127.0.0.1", int(found[1])), timeout=PATIENCE_SECONDS) as connection:
                connection.sendall(b"\x0b" + a40().encode() + b"\x1c\r")
                assert b"MSA|AA|MSG00001" in connection.recv(4096)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()
    assert {decision.source for decision in read_decisions(tmp_path).decisions} == {"hl7"}
