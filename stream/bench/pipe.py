"""Messages of any bytes between two processes, through a pipe."""

from __future__ import annotations

import struct
from typing import IO

_LENGTH = struct.Struct(">Q")


def write(file: IO[bytes], message: bytes) -> None:
    """It has left this process when this returns."""
    file.write(_LENGTH.pack(len(message)))
    file.write(message)
    file.flush()


def read(file: IO[bytes]) -> bytes:
    """The next one. EOFError where the other process has ended."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    message = file.read(length)
    if len(message) < length:
        raise EOFError
    return message
