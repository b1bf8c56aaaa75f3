"""What `/healthz` tells: of the scoring once it is there, and of what is waited for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from stream.patience import Patience

logger = logging.getLogger(__name__)

# -> (healthy, what to say of it)
Facts = Callable[[], tuple[bool, dict[str, Any]]]


class Health:
    """Asked from the metrics thread, from the start of a process to its end."""

    def __init__(self) -> None:
        self._of_scoring: Facts | None = None
        self._patiences: list[Patience] = []

    def scores(self, facts: Facts) -> None:
        """From now on there is something that scores."""
        self._of_scoring = facts

    def patience(self) -> Patience:
        """What is waited for with it is logged, and told here."""
        self._patiences.append(patience := Patience(logger.warning))
        return patience

    def __call__(self) -> tuple[bool, dict[str, Any]]:
        """Whether it gets on, and the facts; while nothing scores yet it does not."""
        healthy, facts = self._of_scoring() if self._of_scoring else (False, {})
        waits = [what for patience in self._patiences if (what := patience.waiting_for)]
        return healthy, {**facts, "waiting_for": "; ".join(waits)} if waits else facts
