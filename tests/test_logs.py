"""What libraries say again and again is said once in 10 s; what this project says is never held back."""

from __future__ import annotations

import logging

from stream.errors import PassingError
from stream.logs import Calm


class _Heard(logging.Handler):
    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.addFilter(Calm(lambda: clock[0]))
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def _logger(name: str, heard: _Heard) -> logging.Logger:
    logger = logging.Logger(name)
    logger.addHandler(heard)
    return logger


def test_what_a_library_repeats_is_said_once_in_10_s_with_how_often_it_was_held_back() -> None:
    clock = [50.0]
    heard = _Heard(clock)
    aiokafka = _logger("aiokafka", heard)
    for port in range(1_000):
        aiokafka.error("Unable connect to node %s", port)
    aiokafka.error("another thing")
    clock[0] += 10.0
    aiokafka.error("Unable connect to node %s", 7)
    aiokafka.error("Unable connect to node %s", 8)
    assert heard.said == [
        "Unable connect to node 0",
        "another thing",
        "Unable connect to node 7 (and 999 more like it)",
    ]


def test_what_is_ours_is_never_held_back() -> None:
    heard = _Heard([0.0])
    for _ in range(3):
        _logger("stream.worker", heard).warning("waiting")
    assert heard.said == ["waiting"] * 3


def test_an_error_that_passes_is_no_crash_with_a_traceback() -> None:
    heard = _Heard([0.0])
    faust = _logger("faust.app", heard)
    faust.error("Crashed reason=%r", PassingError("no broker"))
    faust.error("Crashed", exc_info=PassingError("no broker"))
    _logger("stream.anew", heard).error("ours", exc_info=PassingError("no broker"))
    faust.error("Crashed reason=%r", ValueError("a bug"))
    assert heard.said == ["ours", "Crashed reason=ValueError('a bug')"]
