"""What the child says to its parent."""

from __future__ import annotations

import json
import logging
import socket
from typing import Any

from lungsev.inference.tensorrt import device_process


def heard(peer: socket.socket) -> list[dict[str, Any]]:
    messages = []
    peer.setblocking(False)
    while True:
        try:
            messages.append(json.loads(peer.recv(device_process.MAX_MESSAGE_BYTES)))
        except BlockingIOError:
            return messages


def test_thousands_of_steps_of_a_builder_are_a_few_messages() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    show = device_process._progress_to(theirs)
    for step in range(5000):
        show("tactics" * 100, step / 5000)
    messages = heard(ours)
    assert 1 <= len(messages) < 50
    phase, share = messages[0]["progress"]
    assert (len(phase), share) == (200, 0.0)
    ours.close()
    show("to nobody", 1.0)  # the parent has ended, and soon this process too
    theirs.close()


def test_warnings_reach_the_parents_log() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    logger = logging.Logger("lungsev.tensorrt")
    logger.addHandler(device_process._Forwarding(theirs))
    logger.info("nothing")
    logger.warning("running without a CUDA graph: %s", "no memory")
    assert heard(ours) == [{"say": "running without a CUDA graph: no memory"}]
    ours.close()
    theirs.close()


def test_the_layers_of_a_large_engine_fit_into_messages_whatever_their_names() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    layers = [(f"{number}" + "\u00e9" * 1000, 0.5) for number in range(120)]
    device_process._send_layers(theirs, layers)
    messages = heard(ours)
    assert [len(message["layers"]) for message in messages] == [50, 50, 20]
    assert messages[2]["layers"][19] == [layers[119][0][:200], 0.5]
    ours.close()
    theirs.close()
