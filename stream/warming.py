"""The compiled functions made ready, before anything waits for them: `python -m stream.warming`.

The first time takes a minute, and is done when the project is set up; later ones, which find the machine code on disk,
a second or two.
"""

from __future__ import annotations

import numpy as np

from stream import kernels, model_file
from stream.core_speed import run_core, simulated_polls
from stream.kafka.batches import BATCH_BYTES
from stream.model_file import LoadedModel
from stream.settings import Settings, load

# A few, some of which come a second time
_EVENTS, _USERS, _START_MS = 200, 10, 1_790_000_000_000


def warm_up(settings: Settings, loaded: LoadedModel) -> None:
    """Go through all of it with some events of nobody's."""
    picked = kernels.pick(settings.kernels)
    polls = simulated_polls(settings, seed=0, users=_USERS, start_ms=_START_MS, events=_EVENTS)
    run_core(settings, loaded, polls)
    if picked.batches is not None:
        picked.batches([(b"key", bytes(np.zeros(1))), (b"gone", None)], BATCH_BYTES)


def main() -> None:
    """With the settings as they are."""
    settings = load({}, environ={})
    warm_up(settings, model_file.load(settings.model))


if __name__ == "__main__":
    main()
