"""Every instrument, prefix `behaviour_`. Emitted once per batch, never labelled by user."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from stream.cuts import Cut
from stream.encode import Scored
from stream.events import REASONS, Reject
from stream.restoring import Restoring

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# Event time may lie days back, in a replay.
_LATENCY_SECONDS = (*_SECONDS[2:], 30.0, 60.0, 300.0, 3600.0, 86_400.0)
_BATCH_EVENTS = tuple(float(2**i) for i in range(0, 15))
_PROBABILITY = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 0.99, 0.997, 0.999)


class ColumnHistogram(Collector):
    """A histogram that takes a column at a time: prometheus_client's own costs microseconds per value."""

    def __init__(
        self, name: str, text: str, label: str, buckets: Sequence[float], *, registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._label = name, text, label
        self._edges = np.array(buckets)
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._sums: dict[str, float] = {}
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, label: str, values: NDArray[np.float64]) -> None:
        """Count each value [N] under the label."""
        counts = np.bincount(np.searchsorted(self._edges, values, side="left"), minlength=len(self._edges) + 1)
        with self._lock:
            self._counts[label] = self._counts.get(label, 0) + counts
            self._sums[label] = self._sums.get(label, 0.0) + float(values.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label])
        with self._lock:
            for label, counts in self._counts.items():
                edges = [*(f"{edge:g}" for edge in self._edges), "+Inf"]
                buckets = list(zip(edges, np.cumsum(counts).astype(float).tolist(), strict=True))
                family.add_metric([label], buckets, sum_value=self._sums[label])
        yield family


class Metrics:
    """The instruments of one worker, in a registry of their own.

    What is counted by one of the source topics or by reason is 0 from the start: a series that began with its first
    dead letter would show Prometheus no increase.
    """

    def __init__(self, topics: Sequence[str] = ()) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter(
            "behaviour_events", "events by topic and outcome: scored or rejected (a dead letter)", ["topic", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.replayed = Counter(
            "behaviour_replayed_events", "events passed over: a replay brought them, and their row held them already",
            registry=registry,
        )  # fmt: skip
        self.repeated = Counter(
            "behaviour_repeated_events", "events passed over: their id is that of one of their user's last ones",
            registry=registry,
        )  # fmt: skip
        self.rejects = Counter("behaviour_rejects", "records that could not be read", ["reason"], registry=registry)
        self.late = Counter("behaviour_late_events", "scored after a later event of the same user", registry=registry)
        self.time_bounded = Counter(
            "behaviour_time_bounded_events", "events whose own time was not believed", registry=registry
        )
        self.deferred = Counter(
            "behaviour_deferred_events", "times an event waited for the next batch: its user had had their share",
            registry=registry,
        )  # fmt: skip
        self.carries_rebuilt = Counter(
            "behaviour_carries_rebuilt_events",
            "scored as their user's first since the user's sequence was run through a new model",
            registry=registry,
        )
        self.carries_rebuilt_ahead = Counter(
            "behaviour_carries_rebuilt_ahead", "carries made by a new model before their user's next event came",
            registry=registry,
        )  # fmt: skip
        self.stale_users = Gauge(
            "behaviour_stale_users", "users in memory whose carry is to be made by the new model", registry=registry
        )
        self.batch_events = Histogram(
            "behaviour_batch_events", "events of a micro-batch", buckets=_BATCH_EVENTS, registry=registry
        )
        self.stage_seconds = Histogram(
            "behaviour_stage_seconds", "time of a micro-batch by stage", ["stage"], buckets=_STAGE_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.latency_seconds = ColumnHistogram(
            "behaviour_latency_seconds", "from event time, and from the record's timestamp, to the score", "since",
            _LATENCY_SECONDS, registry=registry,
        )  # fmt: skip
        self.purchase_intent = ColumnHistogram(
            "behaviour_purchase_intent", "published purchase intent", "horizon", _PROBABILITY, registry=registry
        )
        self.anomaly = ColumnHistogram(
            "behaviour_anomaly", "published anomaly", "model", _PROBABILITY, registry=registry
        )
        self.lag = Gauge(
            "behaviour_lag_records", "records in a source partition not yet scored", ["topic", "partition"],
            registry=registry,
        )  # fmt: skip
        self.users_expired = Counter(
            "behaviour_users_expired", "users silent for too long: whose next event began them anew, or whose row was "
            "deleted before it came", ["outcome"], registry=registry,
        )  # fmt: skip
        self.erasures = Counter("behaviour_erasures", "requests granted that a user be forgotten", registry=registry)
        self.erasures_waiting = Gauge(
            "behaviour_erasures_waiting", "requests that a user be forgotten, not granted yet", registry=registry
        )
        self.slots = Gauge("behaviour_slots_in_use", "users in memory", registry=registry)
        self.partitions = Gauge("behaviour_partitions_owned", "partitions of this worker", registry=registry)
        self.checkpoints = Counter("behaviour_checkpoints", "transactions committed", registry=registry)
        self.checkpoint_seconds = Histogram(
            "behaviour_checkpoint_seconds", "time of a checkpoint of a partition", buckets=_SECONDS, registry=registry
        )
        self.rows_flushed = Counter("behaviour_rows_flushed", "rows written to the changelog", registry=registry)
        self.holds_given_up = Counter(
            "behaviour_merge_holds_given_up", "times a topic that could not be read had held the others too long",
            registry=registry,
        )  # fmt: skip
        self.restoring = Gauge(
            "behaviour_restoring", "1 while rows are restored from the changelog, and nothing is scored",
            registry=registry,
        )  # fmt: skip
        self.restore_left_records = Gauge(
            "behaviour_restore_left_records", "records of the changelog to read before scoring begins", ["partition"],
            registry=registry,
        )  # fmt: skip
        self.restore_left_seconds = Gauge(
            "behaviour_restore_left_seconds", "time until scoring begins, at the pace of late; NaN: not known yet",
            registry=registry,
        )  # fmt: skip
        self.restored_rows = Gauge(
            "behaviour_restored_rows", "rows restored by the restore that goes on, or by the last", registry=registry
        )
        self.standby_lag_records = Gauge(
            "behaviour_standby_lag_records", "records of the changelog that a standby copy has not yet", ["partition"],
            registry=registry,
        )  # fmt: skip
        self.lost = Counter(
            "behaviour_lost_records", "records of a source that were deleted before they were read", ["topic"],
            registry=registry,
        )  # fmt: skip
        self.broker_answers = Gauge("behaviour_broker_answers", "1: the broker answers, 0: not", registry=registry)
        self.begun_anew = Counter(
            "behaviour_begun_anew", "times this process dropped what was not committed and began anew",
            registry=registry,
        )  # fmt: skip
        self.model = Info("behaviour_model", "the model that scores", registry=registry)
        self.models_refused = Counter(
            "behaviour_models_refused", "announced models that cannot be used here", registry=registry
        )
        self.model_cuts = Counter(
            "behaviour_model_cuts", "changes of a partition's model, committed", registry=registry
        )
        self.model_version = Gauge(
            "behaviour_model_version", "of the model of each partition, by its row; 0: that of --model",
            ["partition", "hash"], registry=registry,
        )  # fmt: skip
        for topic in topics:
            self.lost.labels(topic)
            for outcome in ("scored", "rejected"):
                self.events.labels(topic, outcome)
        for outcome in ("begun_anew", "deleted"):
            self.users_expired.labels(outcome)
        for reason in REASONS:
            self.rejects.labels(reason)

    def show_lag(self, lag: Mapping[tuple[str, int], int]) -> None:
        """Set the lag of every owned source partition; those no longer owned disappear."""
        self.lag.clear()
        for (topic, partition), records in lag.items():
            self.lag.labels(topic, str(partition)).set(records)

    def show_restore(self, restoring: Restoring, standby_lag: Mapping[int, int]) -> None:
        """Set what is known of the restore that goes on, and of the copies that follow another worker's."""
        self.restoring.set(restoring.active)
        self.restored_rows.set(restoring.rows)
        self.restore_left_seconds.set(math.nan if (left := restoring.secs_left) is None else left)
        for gauge, records in ((self.restore_left_records, restoring.left), (self.standby_lag_records, standby_lag)):
            gauge.clear()
            for partition, n in dict(records).items():
                gauge.labels(str(partition)).set(n)

    def show_model(self, name: str, model_hash: str, version: int, device: str) -> None:
        """Set which model scores, and where."""
        self.model.info({"name": name, "hash": model_hash, "version": str(version), "device": device})

    def show_models(self, cuts: Mapping[int, Cut]) -> None:
        """Set by which model each owned partition is scored."""
        self.model_version.clear()
        for partition, cut in cuts.items():
            self.model_version.labels(str(partition), cut.sha256[:12]).set(cut.version)

    def count_rejects(self, rejects: Sequence[Reject], topics: Sequence[str]) -> None:
        """`topics` by source."""
        for reject in rejects:
            self.rejects.labels(reject.reason).inc()
            self.events.labels(topics[reject.source], "rejected").inc()

    def observe_scores(
        self, scored: Scored, topics: Sequence[str], model: str, horizons: Sequence[str], now_ms: int
    ) -> None:
        """Count and distribute a batch's scores, published at `now_ms`; `topics` by source."""
        if not len(scored):
            return
        events = scored.events
        for source, n in enumerate(np.bincount(events["source"], minlength=len(topics)).tolist()):
            self.events.labels(topics[source], "scored").inc(n)
        self.batch_events.observe(len(scored))
        self.late.inc(int(scored.late.sum()))
        self.time_bounded.inc(int(events["time_bounded"].sum()))
        self.carries_rebuilt.inc(int(scored.carry_rebuilt.sum()))
        self.latency_seconds.observe("event", (now_ms - events["time_ms"]) / 1000.0)
        self.latency_seconds.observe("produce", (now_ms - events["record_time_ms"]) / 1000.0)
        for k, horizon in enumerate(horizons):
            self.purchase_intent.observe(horizon, scored.intent[:, k].astype(np.float64))
        self.anomaly.observe(model, scored.anomaly)
