"""What the comparison found, as JSON and as a table."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from typing import Any

import msgspec

from stream.kafka.embedded import _KAFKA_VERSION
from tests.bench.peers import environment, measuring
from tests.bench.peers import settings as python_settings
from tests.bench.peers.checking import Check

_OURS = "behaviour-stream"
_PROJECTS = ("behaviour-stream", "faust-streaming", "aiokafka", "torch", "numpy", "rocksdict")
_PEERS = ("quixstreams", "bytewax", "numba", "onnxruntime", "confluent-kafka", "uvloop")


class Found(msgspec.Struct, kw_only=True):
    """What `--json` prints."""

    events_per_second: dict[str, float | None]  # the median; None: void, or it cannot run here
    spread: dict[str, tuple[float, float]]
    runs: dict[str, list[float]]
    checks: dict[str, Check]
    void: dict[str, str]  # why
    machine: str
    versions: dict[str, str]
    settings: dict[str, Any]
    events: int
    model: str


def versions() -> dict[str, str]:
    """Of what is compared."""
    made = {name: importlib.metadata.version(name) for name in _PROJECTS}
    pinned = dict(line.split("==") for line in environment.REQUIREMENTS.read_text().split() if "==" in line)
    return {"kafka": _KAFKA_VERSION, **made, **{name: pinned[name] for name in _PEERS}}


def settings_of_all(seconds: float, rounds: int) -> dict[str, Any]:
    """How it was measured, and how each peer in Python is set."""
    rule = {
        "warm_seconds": measuring.WARM_SECS,
        "warm_share": measuring.WARM_SHARE,
        "end_share": measuring.END_SHARE,
        "seconds": seconds,
        "rounds": rounds,
    }
    peers = {name.lower(): value for name, value in vars(python_settings).items() if name.isupper()}
    return {"measured": rule, "python_peers": peers}


def table(found: Found) -> Iterator[str]:
    """Lines for people."""
    ours = found.events_per_second.get(_OURS)
    wide = max(map(len, found.events_per_second))
    yield f"{'':{wide}}  events/s   from .. to            of {_OURS}"
    for name, rate in found.events_per_second.items():
        if rate is None:
            yield f"{name:{wide}}  void: {found.void[name].splitlines()[0]}"
            continue
        least, most = found.spread[name]
        ratio = f"{rate / ours:.2f}" if ours else ""
        yield f"{name:{wide}}  {rate:>8,.0f}   {f'{least:,.0f} .. {most:,.0f}':20}  {ratio}"
    yield f"{found.events:,} events, model {found.model}, {found.machine}"
