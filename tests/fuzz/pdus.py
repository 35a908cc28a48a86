"""PDUs of the DICOM upper layer (PS3.8 9.3), as bytes."""

from __future__ import annotations

import struct


def associate_request(syntax: bytes = b"1.2.840.10008.1.1") -> bytes:
    """An A-ASSOCIATE-RQ for one abstract syntax in implicit little endian (PS3.8 9.3.2)."""

    def item(kind: int, value: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(value)) + value

    context = b"\1\0\0\0" + item(0x30, syntax) + item(0x40, b"1.2.840.10008.1.2")
    user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4")
    items = item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user)
    body = struct.pack(">H2x16s16s32x", 1, b"LUNGSEV".ljust(16), b"PEER".ljust(16)) + items
    return struct.pack(">BxI", 1, len(body)) + body


def cut_pdus(data: bytes) -> list[bytes]:
    """Cut at the lengths that the bytes state; what is left is sent as it is."""
    parts, position = [], 0
    while position < len(data):
        length = int.from_bytes(data[position + 2 : position + 6], "big") + 6
        parts.append(data[position : position + length])
        position += length
    return parts


def is_whole_pdu(answer: bytes) -> bool:
    """Whether an answer holds its first PDU."""
    return len(answer) >= 6 and len(answer) >= 6 + int.from_bytes(answer[2:6], "big")
