"""What every peer in Python is started with."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple


class Peer(NamedTuple):
    """The flags of a peer."""

    bootstrap_servers: str
    app_id: str
    sources: tuple[str, str, str]  # clicks, searches, purchases
    purchase_intent: str
    anomaly_scores: str
    partitions: int
    state_dir: Path  # of all processes together
    model: Path
    process: int  # of those that are started together, from 0
    ports: tuple[int, ...]  # for them to talk to each other, one each

    @property
    def own_dir(self) -> Path:
        """For the state of this process alone."""
        return self.state_dir / str(self.process)

    @property
    def source_of(self) -> dict[str, int]:
        """Topic -> its place in a record."""
        return {topic: source for source, topic in enumerate(self.sources)}


def flags() -> Peer:
    """Of this process."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap-servers", "app-id", "clicks", "searches", "purchases", "purchase-intent", "anomaly-scores"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--ports", default="")
    given = parser.parse_args()
    given.state_dir.mkdir(parents=True, exist_ok=True)
    return Peer(
        given.bootstrap_servers,
        given.app_id,
        (given.clicks, given.searches, given.purchases),
        given.purchase_intent,
        given.anomaly_scores,
        given.partitions,
        given.state_dir,
        given.model,
        given.process,
        tuple(int(port) for port in given.ports.split(",") if port),
    )
