"""The stub of TensorRT in this process: objects whose virtual methods answer what a test says."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

BUILDER, RUNTIME, PARSER = 0, 1, 2


class Stub:
    """The loaded library; the bindings load the same file."""

    def __init__(self, name: str) -> None:
        self._c = ctypes.CDLL(name)
        self._c.stub_object.restype = ctypes.c_void_p
        self._keep: list[Any] = []

    def make(self) -> int:
        return int(self._c.stub_object())

    def factory(self, index: int, thing: int | None) -> None:
        self._c.stub_factory(index, ctypes.c_void_p(thing))

    def learn(self, call: Callable[[], Any]) -> int:
        """Return the slot of the last virtual method that a call reaches."""
        call()
        return int(self._c.stub_last_slot())

    def answer(self, thing: int, slot: int, *values: int | bytes) -> None:
        """Let a method return these in turn; bytes are given as their address."""
        numbers = [self.address(value) if isinstance(value, bytes) else value for value in values]
        array = (ctypes.c_ssize_t * len(numbers))(*numbers)
        self._c.stub_answer(ctypes.c_void_p(thing), slot, len(numbers), array)

    def address(self, value: bytes) -> int:
        buffer = ctypes.create_string_buffer(value)
        self._keep.append(buffer)
        return ctypes.addressof(buffer)

    def dims(self, *sides: int) -> None:
        """Let every method that returns a shape return this one."""
        self._c.stub_dims(len(sides), (ctypes.c_int64 * len(sides))(*sides))

    def log_soon(self, slot: int, severity: int, text: str) -> None:
        """Let the next virtual call log a message first."""
        self._c.stub_log_soon(slot, severity, ctypes.c_char_p(self.address(text.encode())))
