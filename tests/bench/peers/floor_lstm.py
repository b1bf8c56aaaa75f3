"""`python -m tests.bench.peers.floor_lstm`: the network alone, on packed batches, as the service runs it.

Prints the events per second of so many seconds, once it is warm.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from stream import model_file
from stream.core_speed import run_core, simulated_polls
from stream.settings import Settings

_EVENTS, _USERS, _DAY_MS = 200_000, 50_000, 86_400_000


def main() -> None:
    """The service's core without Kafka, of which the time in the network is what counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=Settings().model)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    settings = Settings(model=given.model, device="cpu")
    torch.set_num_threads(settings.torch_threads)
    loaded = model_file.load(settings.model)
    start_ms = (int(time.time() * 1000) // _DAY_MS - 60) * _DAY_MS
    polls = simulated_polls(settings, seed=1, users=_USERS, start_ms=start_ms, events=_EVENTS)
    run_core(settings, loaded, polls[:2])
    lstm_us: list[float] = []
    begun = time.perf_counter()
    while not lstm_us or time.perf_counter() - begun < given.seconds:
        lstm_us.append(run_core(settings, loaded, polls).lstm_us)
    print(json.dumps({"events_per_second": 1e6 * len(lstm_us) / sum(lstm_us)}))


if __name__ == "__main__":
    main()
