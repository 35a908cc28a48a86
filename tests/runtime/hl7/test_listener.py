from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bedside_life import PATIENCE_SECONDS, wait_for
from hl7_samples import a40

from lungsev.errors import LungsevError
from lungsev.runtime.hl7.listener import MergeListener, notice_dead_peers
from lungsev.runtime.hl7.merge import MergeMessage
from lungsev.runtime.hl7.message import Hl7Error
from lungsev.runtime.settings import Hl7ListenSettings

Serve = Callable[..., MergeListener]


@pytest.fixture
def recorded() -> list[MergeMessage]:
    return []


@pytest.fixture
def serve(recorded: list[MergeMessage]) -> Iterator[Serve]:
    """Starts listeners and stops them after the test."""
    opened: list[MergeListener] = []

    def start(on_merge: Callable[[MergeMessage], None] = recorded.append, **settings: object) -> MergeListener:
        listener = MergeListener(Hl7ListenSettings.model_validate({"port": 0, **settings}), on_merge)
        opened.append(listener)
        return listener.__enter__()

    yield start
    for listener in opened:
        listener.__exit__(None, None, None)


def connect(listener: MergeListener) -> socket.socket:
    return socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE_SECONDS)


def receive(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\x1c\r"):
        chunk = connection.recv(4096)
        if not chunk:
            break
        data += chunk
    return data


def ask(connection: socket.socket, message: str) -> str:
    connection.sendall(b"\x0b" + message.encode() + b"\x1c\r")
    answer = receive(connection)
    assert answer.startswith(b"\x0bMSH|")
    assert answer.endswith(b"\r\x1c\r")
    return answer.decode()


def test_a_merge_is_recorded_and_then_acknowledged_on_a_connection_that_stays(
    serve: Serve, recorded: list[MergeMessage]
) -> None:
    with connect(serve()) as connection:
        for number in range(3):
            assert f"MSA|AA|M{number}\r" in ask(connection, a40(control=f"M{number}"))
            assert len(recorded) == number + 1
    assert recorded[0].merges[0].prior[0].id == "EMERG-9"


def test_messages_in_pieces_or_together_are_each_answered(serve: Serve, recorded: list[MergeMessage]) -> None:
    with connect(serve()) as connection:
        frame = b"\x0b" + a40().encode() + b"\x1c\r"
        for place in range(0, len(frame), 50):
            connection.sendall(frame[place : place + 50])
        assert b"MSA|AA|" in receive(connection)
        connection.sendall(b"noise\r\n" + frame + b"\x0bMSH|half" + frame + frame)
        answers = receive(connection)
        while answers.count(b"MSA|AA|") < 3:
            answers += receive(connection)
    assert len(recorded) == 4


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (a40(event="ADT^A01"), "MSA|AR|MSG00001|found another event"),
        (a40(event="ORM^O01"), "MSA|AR|MSG00001|found a message of another type"),
        (a40(processing="T"), "MSA|AR|MSG00001|found a message for training"),
        (a40(mrg=""), "MSA|AE|MSG00001|found no identifier in MRG-1"),
        (a40(charset="KLINGON"), "MSA|AE|MSG00001|the character set"),
        ("hello", "MSA|AR||found no HL7 message"),
    ],
)
def test_what_is_no_merge_is_refused_with_the_reason_and_the_connection_stays(
    serve: Serve, recorded: list[MergeMessage], message: str, code: str
) -> None:
    with connect(serve()) as connection:
        assert code in ask(connection, message)
        assert recorded == []
        assert "MSA|AA|" in ask(connection, a40())


def test_a_merge_that_cannot_be_told_or_recorded_is_an_error_to_its_sender(serve: Serve) -> None:
    def fail(message: MergeMessage) -> None:
        if message.control_id == "1":
            raise Hl7Error("several patients have this id", code=205)
        raise sqlite3.OperationalError("disk I/O error: DOE^JANE")

    with connect(serve(fail)) as connection:
        assert "MSA|AE|1|several patients have this id\r" in ask(connection, a40(control="1"))
        answer = ask(connection, a40(control="2"))
    assert "MSA|AE|2|the merge could not be recorded" in answer
    assert "DOE" not in answer


def test_a_sender_that_wants_no_answer_gets_none(serve: Serve, recorded: list[MergeMessage]) -> None:
    with connect(serve()) as connection:
        silent = a40(control="silent").replace("|2.5||||||", "|2.5|||NE|NE||")
        connection.sendall(b"\x0b" + silent.encode() + b"\x1c\r")
        assert "MSA|AA|loud" in ask(connection, a40(control="loud"))
    assert [message.control_id for message in recorded] == ["silent", "loud"]


def test_only_listed_addresses_and_so_many_connections_are_served(serve: Serve) -> None:
    with connect(serve(allowed_addresses=["10.0.0.0/8"])) as stranger:
        assert stranger.recv(1) == b""
    listener = serve(max_connections=1)
    with connect(listener) as first:
        assert "MSA|AA|" in ask(first, a40())
        with connect(listener) as second:
            assert second.recv(1) == b""

    def is_served() -> bool:
        with connect(listener) as later:
            try:
                later.sendall(b"\x0b" + a40().encode() + b"\x1c\r")
                return b"MSA|AA|" in receive(later)
            except ConnectionError:
                return False

    wait_for(is_served)


def test_a_message_that_is_too_long_and_a_sender_that_is_silent_are_disconnected(
    serve: Serve, recorded: list[MergeMessage]
) -> None:
    with connect(serve(max_message_kb=1)) as connection:
        connection.sendall(b"\x0b" + bytes(5000))
        assert connection.recv(1) == b""
    with connect(serve(idle_seconds=0.05)) as connection:
        assert connection.recv(1) == b""
    assert recorded == []


def test_merges_are_recorded_one_at_a_time(serve: Serve) -> None:
    inside: list[MergeMessage] = []
    most: list[int] = []

    def record(message: MergeMessage) -> None:
        inside.append(message)
        most.append(len(inside))
        inside.pop()

    listener = serve(record)

    def send() -> None:
        with connect(listener) as connection:
            for _ in range(5):
                assert "MSA|AA|" in ask(connection, a40())

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20


def test_a_port_in_use_is_an_error_that_names_its_setting(serve: Serve) -> None:
    with pytest.raises(LungsevError, match=r"cannot listen for HL7 on .*choose another hl7_listen\.port"):
        serve(port=serve().port)


def test_with_tls_only_a_sender_with_a_certificate_is_served(
    serve: Serve, recorded: list[MergeMessage], tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate of this test and is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    listener = serve(tls_certificate=certificate, tls_key=key, tls_authorities=certificate)
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    with connect(listener) as plain, contextlib.suppress(ConnectionError):
        plain.sendall(b"\x0b" + a40().encode() + b"\x1c\r")
        assert b"MSA" not in receive(plain)
    with connect(listener) as stranger, contextlib.suppress(OSError):  # shows nothing
        encrypted = context.wrap_socket(stranger)
        encrypted.sendall(b"\x0b" + a40().encode() + b"\x1c\r")
        assert encrypted.recv(1) == b""
    assert recorded == []
    context.load_cert_chain(certificate, key)
    with context.wrap_socket(connect(listener)) as sender:
        assert "MSA|AA|" in ask(sender, a40())
    assert len(recorded) == 1


def test_tls_files_that_cannot_be_used_are_named(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match=r"hl7_listen\.tls_\*: expected PEM files"):
        serve(tls_certificate=tmp_path / "absent.pem", tls_key=tmp_path / "absent.pem")


def test_a_peer_that_lost_its_power_is_noticed_within_minutes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as peer:
        notice_dead_peers(peer)
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle, interval, count = (peer.getsockopt(socket.IPPROTO_TCP, name) for name in names)
        assert idle + interval * count <= 300
