"""What the demo knows at a moment: figures, who is likely to buy, what is strange, who has bought. No clock, no output.

Times in seconds are the demo's, as they are passed in; times in ms are the shop's: of its events. Memory is bounded.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

import msgspec
import numpy as np

from stream.commands.demo_history import Fact, Histories, History
from stream.commands.demo_rankings import Shelf, Strange, Strangest, Tally, nines
from stream.commands.demo_reasons import VISIT_MS, why
from stream.commands.demo_scores import Scored
from stream.commands.demo_words import fraud
from stream.commands.score_lines import timed

_MINUTE_MS = 60_000
_UNITS_MS = {"s": 1_000, "m": _MINUTE_MS, "h": 60 * _MINUTE_MS}
# A prediction is looked at so long after its horizon: scores of other partitions may come a little later.
_SLACK_MS = 60 * _MINUTE_MS
_OPEN = 200_000  # predictions whose horizon has not passed: more than the fastest demo has

_FIGURE_SECS = 1.0
_SPARK_FIGURES = 120  # of a figure a second
_LATENCY_FIGURES = 5  # latency is that of so many seconds
_LATENCIES = 100_000  # the last ones, for the percentiles of the whole run

_RANK_SECS = 2.0
_LOOKED_AT = 5_000  # users scored last, in search of the likeliest: more than visit the fastest demo in half an hour
_SHOWN_SECS = 4.0  # time to read a line; by then its half hour of the shop has passed, at 150 s a day
_LIKELY, _STRANGE, _BOUGHT = 8, 8, 12  # kept of each; the board shows as many as it has room for
_NEWLY_BOUGHT = 2  # of them at a time, so that each stays for some seconds
_DECILE = 0.1
_PERCENT = 0.01
_NINES_MAX = 10.0  # of the scale on which the tally of strange events is kept


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase, and the highest probability that its user had had in the day before it."""

    user: str
    fact: Fact
    soon: float | None  # None: it was the first event that is known of the user
    before_ms: int  # so long before the purchase


class DemoState:
    """Everything that is shown, and summed up at the end."""

    def __init__(self, begun_secs: float) -> None:
        self.begun_secs = begun_secs
        self.first_secs: float | None = None  # when the first score came
        self.shop_begun_ms = self.shop_ms = 0  # event time: of the first event, and the latest
        self.count = self.users = self.purchases = 0
        self.horizons: tuple[str, ...] = ()
        self.horizon_ms = 0  # of the first horizon
        self.outcomes = Tally()  # probabilities within the first horizon, and whether it came to pass
        self.strangeness = Tally()  # nines / _NINES_MAX, and whether a label says fraud
        self.series: dict[str, deque[float]] = {
            name: deque(maxlen=_SPARK_FIGURES) for name in ("rate", "lag", "p50", "p99", "users")
        }
        self.likely: list[History] = []
        self.strange: list[Strange] = []
        self.bought: deque[Bought] = deque(maxlen=_BOUGHT)  # newest first; some, where there are too many to read
        self._newly_bought: deque[Bought] = deque(maxlen=_NEWLY_BOUGHT)
        self._histories = Histories()
        self._strangest = Strangest()
        self._open: deque[tuple[int, float, History]] = deque(maxlen=_OPEN)
        self._likely_shelf: Shelf[str] = Shelf(_SHOWN_SECS)
        self._strange_shelf: Shelf[str] = Shelf(_SHOWN_SECS)
        self._figures_secs = self._ranked_secs = begun_secs
        self._figures_count = 0
        self._new_latencies: list[float] = []
        self._recent_latencies: deque[list[float]] = deque(maxlen=_LATENCY_FIGURES)
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._live = 0  # sent after the first score: the others waited for the worker to start
        self._last_live_secs = 0.0

    def add(self, event: Scored, now: float) -> None:
        """An event both of whose scores have come; of one user, in the order in which they were scored."""
        intent, anomaly, fact = event.intent, event.anomaly, event.fact
        assert intent is not None and anomaly is not None
        if self.first_secs is None:
            self.first_secs = now
            self.shop_begun_ms = intent.event_time_ms
            self.horizons = tuple(timed(intent.purchase_intent))
            self.horizon_ms = _in_ms(self.horizons[0])
        self.count += 1
        self.users += intent.events_seen == 1
        if event.sent_secs > self.first_secs:
            self._live += 1
            self._last_live_secs = now
            self._latencies.append(now - event.sent_secs)
            self._new_latencies.append(now - event.sent_secs)
        chances = [intent.purchase_intent[horizon] for horizon in self.horizons]
        fact.time_ms, fact.soon = intent.event_time_ms, chances[0]
        self.shop_ms = max(self.shop_ms, fact.time_ms)

        history = self._histories.before(intent.user_id, intent.events_seen)
        if self._strangest.would_take(history.user, anomaly.anomaly, now):
            self._strangest.take(self._with_reasons(event, history, now))
        self.strangeness.add(min(nines(anomaly.anomaly) / _NINES_MAX, 1.0), event.label is not None)
        if fact.name == "purchase":
            self.purchases += 1
            self._newly_bought.append(_bought(history, fact))
        self._histories.add(history, fact, intent.events_seen)
        history.day = chances[-1]
        self._open.append((fact.time_ms, fact.soon, history))

    def tick(self, now: float, lag: int) -> None:
        """Called several times a second: moves on what is due. `lag` in events sent and not yet scored."""
        if now - self._figures_secs >= _FIGURE_SECS:
            self._add_figures(now, lag)
            self._look_at_outcomes()
        if now - self._ranked_secs >= _RANK_SECS or not (self.likely or self.strange):
            self._ranked_secs = now
            self._rank(now)
            self.bought.extendleft(self._newly_bought)
            self._newly_bought.clear()

    def latency_ms(self) -> tuple[float, float] | None:
        """p50 and p99 of the last seconds."""
        return _percentiles([latency for second in self._recent_latencies for latency in second])

    def latency_of_all_ms(self) -> tuple[float, float] | None:
        """p50 and p99 of the last 100,000 events."""
        return _percentiles(list(self._latencies))

    def rate_per_sec(self) -> float | None:
        """Events scored per second, from the first score on."""
        if self.first_secs is None or not self._live:
            return None
        return self._live / (self._last_live_secs - self.first_secs)

    def likeliest_tenth(self) -> tuple[float, float] | None:
        """Shares that bought within the first horizon: of the scores in the highest tenth, and of all."""
        count, hits = self.outcomes.highest(_DECILE)
        return (hits / count, self.outcomes.hits / self.outcomes.count) if count else None

    def strangest_percent(self) -> tuple[int, int, int] | None:
        """(the strangest 1 % of events, how many of them were labelled as fraud, and of all); None without labels."""
        if not self.strangeness.hits:
            return None
        return *self.strangeness.highest(_PERCENT), self.strangeness.hits

    def _with_reasons(self, event: Scored, history: History, now: float) -> Strange:
        assert event.anomaly is not None
        bit = self._histories.category_bit(event.fact.category)
        reason = why(
            event.fact,
            history,
            msgspec.structs.asdict(event.anomaly.surprise_parts),
            known=history.count + 1 == event.anomaly.events_seen,
            first_time_in=bool(bit) and not history.has_met(bit),
        )
        return Strange(
            user=history.user,
            fact=event.fact,
            anomaly=event.anomaly.anomaly,
            why=reason,
            fraud=fraud(event.label),
            at_secs=now,
        )

    def _add_figures(self, now: float, lag: int) -> None:
        self._recent_latencies.append(self._new_latencies)
        self._new_latencies = []
        figures = {
            "rate": (self.count - self._figures_count) / (now - self._figures_secs),
            "lag": float(lag),
            "users": float(self.users),
        }
        for name, figure in figures.items():
            self.series[name].append(figure)
        of_this_second = _percentiles(self._recent_latencies[-1])
        if of_this_second is not None:
            self.series["p50"].append(of_this_second[0])
            self.series["p99"].append(of_this_second[1])
        self._figures_secs, self._figures_count = now, self.count

    def _look_at_outcomes(self) -> None:
        """Whether those predictions came to pass whose horizon is over."""
        while self._open and self._open[0][0] + self.horizon_ms + _SLACK_MS <= self.shop_ms:
            time_ms, soon, history = self._open.popleft()
            self.outcomes.add(soon, any(0 < at - time_ms <= self.horizon_ms for at in history.bought_ms))

    def _rank(self, now: float) -> None:
        likely = sorted(self._about_to_buy(), key=lambda history: -history.chance)
        shown = self._likely_shelf.settle([history.user for history in likely], _LIKELY, now)
        found = [history for user in shown if (history := self._histories.get(user)) is not None]
        self.likely = sorted(found, key=lambda history: -history.chance)
        strange = {event.user: event for event in (*self.strange, *self._strangest.ranked())}
        ranked = sorted(strange, key=lambda user: -strange[user].standing)
        kept = [strange[user] for user in self._strange_shelf.settle(ranked, _STRANGE, now)]
        self.strange = sorted(kept, key=lambda event: -event.anomaly)

    def _about_to_buy(self) -> list[History]:
        """Users whose last prediction still holds: they have not bought since, and its horizon is not over."""
        return [
            history
            for history in islice(self._histories.newest_first(), _LOOKED_AT)
            if self.shop_ms - history.last_ms <= self.horizon_ms
            and history.facts[-1].name not in ("purchase", "refund")
        ]


def _in_ms(name: str) -> int:
    """`30m`, as records name it, in ms; a session's is the pause that ends one."""
    return int(name[:-1]) * _UNITS_MS[name[-1]] if name[:-1].isdigit() else VISIT_MS


def _bought(history: History, fact: Fact) -> Bought:
    day_ago_ms = fact.time_ms - 24 * 60 * _MINUTE_MS
    since = max(history.bought_ms, default=day_ago_ms)  # a score before that meant another purchase
    earlier = [f for f in history.facts if f.time_ms >= max(day_ago_ms, since) and f.name != "purchase"]
    if not earlier:
        return Bought(history.user, fact, None, 0)
    best = max(earlier, key=lambda f: f.soon)
    return Bought(history.user, fact, best.soon, fact.time_ms - best.time_ms)


def _percentiles(latencies: list[float]) -> tuple[float, float] | None:
    if not latencies:
        return None
    p50, p99 = 1000 * np.percentile(latencies, (50, 99))
    return float(p50), float(p99)
