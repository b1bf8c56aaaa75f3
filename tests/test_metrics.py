"""Every instrument as a scrape sees it, and the server that answers the scrape."""

from __future__ import annotations

import contextlib
import http.client
import math
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream.errors import SettingsError
from stream.events import REASONS
from stream.metrics import ColumnHistogram, Metrics
from stream.metrics_server import Health, MetricsServer

# Each has few values; a user, an item or an event has millions.
LABELS = {"topic", "outcome", "reason", "stage", "since", "horizon", "model", "partition", "hash"}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _scraped(registry: CollectorRegistry) -> Samples:
    """(name, labels) -> value of every sample."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def _buckets(samples: Samples, name: str, label: tuple[str, str]) -> dict[float, float]:
    """Edge -> cumulated count."""
    return {
        float(dict(labels)["le"]): value
        for (sample, labels), value in samples.items()
        if sample == f"{name}_bucket" and label in labels
    }


def test_a_value_at_an_edge_is_counted_in_the_bucket_of_that_edge() -> None:
    registry = CollectorRegistry()
    histogram = ColumnHistogram("h", "text", "kind", (0.1, 1.0, 10.0), registry=registry)
    histogram.observe("a", np.array([0.0, 0.1, np.nextafter(0.1, 1), 1.0, 10.0, np.nextafter(10.0, 11), 1e9, -5.0]))
    samples = _scraped(registry)
    assert _buckets(samples, "h", ("kind", "a")) == {0.1: 3, 1.0: 5, 10.0: 6, math.inf: 8}
    assert samples["h_count", (("kind", "a"),)] == 8
    assert samples["h_sum", (("kind", "a"),)] == pytest.approx(1e9 + 16.2)


def test_columns_add_up_and_labels_are_kept_apart() -> None:
    registry = CollectorRegistry()
    histogram = ColumnHistogram("h", "text", "kind", (1.0, 2.0), registry=registry)
    for values in ([0.5, 1.5], [], [1.5, 3.0]):
        histogram.observe("a", np.array(values, np.float64))
    histogram.observe('b"\\\n', np.array([2.0]))
    samples = _scraped(registry)
    assert _buckets(samples, "h", ("kind", "a")) == {1.0: 1, 2.0: 3, math.inf: 4}
    assert _buckets(samples, "h", ("kind", 'b"\\\n')) == {1.0: 0, 2.0: 1, math.inf: 1}
    assert samples["h_sum", (("kind", "a"),)] == 6.5


def test_a_histogram_of_nothing_is_empty() -> None:
    registry = CollectorRegistry()
    ColumnHistogram("h", "text", "kind", (1.0,), registry=registry)
    assert _scraped(registry) == {}


def test_it_counts_as_a_histogram_of_prometheus_client_does() -> None:
    values = np.random.default_rng(0).lognormal(-3, 3, 2000)
    metrics = Metrics()
    theirs = metrics.checkpoint_seconds  # any histogram with edges of its own
    edges = [e for e in _buckets_of(theirs) if math.isfinite(e)]
    ours = ColumnHistogram("ours", "text", "kind", edges, registry=metrics.registry)
    ours.observe("a", values)
    for value in values.tolist():
        theirs.observe(value)
    samples = _scraped(metrics.registry)
    assert _buckets(samples, "ours", ("kind", "a")) == {
        float(dict(labels)["le"]): value
        for (name, labels), value in samples.items()
        if name == "behaviour_checkpoint_seconds_bucket"
    }


def _buckets_of(histogram: Any) -> list[float]:
    return [float(s.labels["le"]) for s in histogram.collect()[0].samples if s.name.endswith("_bucket")]


def _instruments(metrics: Metrics) -> dict[str, Any]:
    return {name: value for name, value in vars(metrics).items() if name != "registry"}


def _label_names(instrument: Any) -> tuple[str, ...]:
    # No public way to ask an instrument that has no samples yet.
    if isinstance(instrument, ColumnHistogram):
        return (instrument._label,)
    return tuple(instrument._labelnames)


def _touched() -> Metrics:
    """Metrics each of whose instruments has a sample."""
    metrics = Metrics()
    for instrument in _instruments(metrics).values():
        if isinstance(instrument, ColumnHistogram):
            instrument.observe("x", np.array([0.5]))
        elif names := _label_names(instrument):
            instrument.labels(*("x" for _ in names))
    metrics.model.info({"name": "m", "hash": "h", "device": "cpu"})
    return metrics


def test_every_instrument_has_our_prefix_a_text_and_no_label_of_many_values() -> None:
    metrics = _touched()
    families = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
    assert len([f for f in families if not f.name.endswith("_created")]) == len(_instruments(metrics))
    for family in families:
        assert family.name.startswith("behaviour_")
        assert family.documentation
        assert family.samples
        assert all(sample.name.startswith("behaviour_") for sample in family.samples)
    for instrument in _instruments(metrics).values():
        assert set(_label_names(instrument)) <= LABELS


def test_what_is_counted_by_source_topic_or_reason_is_0_before_the_first() -> None:
    samples = _scraped(Metrics(["clicks", "searches"]).registry)
    for topic in ("clicks", "searches"):
        for outcome in ("scored", "rejected"):
            assert samples["behaviour_events_total", (("outcome", outcome), ("topic", topic))] == 0
    assert {dict(labels)["reason"] for name, labels in samples if name == "behaviour_rejects_total"} == set(REASONS)


def test_two_workers_of_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.late.inc(3)
    assert _scraped(one.registry)["behaviour_late_events_total", ()] == 3
    assert _scraped(other.registry)["behaviour_late_events_total", ()] == 0


def test_the_lag_of_a_partition_no_longer_owned_disappears() -> None:
    metrics = Metrics()
    metrics.show_lag({("clicks", 0): 5, ("clicks", 1): 0})
    metrics.show_lag({("clicks", 1): 7, ("searches", 1): 2})
    assert {
        labels: value for (name, labels), value in _scraped(metrics.registry).items() if name == "behaviour_lag_records"
    } == {(("partition", "1"), ("topic", "clicks")): 7, (("partition", "1"), ("topic", "searches")): 2}


def _healthy() -> tuple[bool, dict[str, Any]]:
    return True, {"lag": 3}


@contextlib.contextmanager
def _serving(health: Health = _healthy, *, port: int = 0) -> Iterator[MetricsServer]:
    server = MetricsServer("127.0.0.1", port, _touched().registry, health)
    try:
        yield server
    finally:
        server.close()


def _get(port: int, path: str, *, timeout: float = 5.0) -> tuple[int, str, str]:
    """Status, content type and body."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_a_scrape_gets_every_instrument() -> None:
    with _serving() as server:
        status, kind, text = _get(server.port, "/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        names = {family.name for family in text_string_to_metric_families(text)}
        assert {"behaviour_events", "behaviour_latency_seconds", "behaviour_model_info"} <= names
        assert _get(server.port, "/metrics?name[]=behaviour_slots_in_use")[0] == 200


def test_health_is_200_or_503_with_the_facts() -> None:
    health: dict[str, Any] = {"said": (True, {"lag": 3})}
    with _serving(lambda: health["said"]) as server:
        status, kind, text = _get(server.port, "/healthz")
        assert (status, kind, orjson.loads(text)) == (200, "application/json", {"healthy": True, "lag": 3})
        health["said"] = (False, {"lag": 9, "stalled_secs": 61.5})
        status, _, text = _get(server.port, "/healthz")
        assert (status, orjson.loads(text)) == (503, {"healthy": False, "lag": 9, "stalled_secs": 61.5})


def test_any_other_path_is_404_and_told_the_two() -> None:
    with _serving() as server:
        for path in ("/", "/metric", "/metrics/", "/healthz/x", "/favicon.ico"):
            status, _, text = _get(server.port, path)
            assert (status, text) == (404, "expected /metrics or /healthz\n")


def test_a_taken_port_is_named_and_free_again_after_close() -> None:
    with _serving() as server:
        with pytest.raises(SettingsError) as refused, _serving(port=server.port):
            pass
        assert f"--metrics-port={server.port}: cannot listen on 127.0.0.1:{server.port} (" in str(refused.value)
        assert str(refused.value).endswith("; choose another, or 0")
        assert _get(server.port, "/healthz")[0] == 200  # the first is not disturbed
    with _serving(port=server.port) as again:
        assert again.port == server.port


def test_port_0_picks_a_free_one() -> None:
    with _serving() as one, _serving() as other:
        assert 0 < one.port != other.port > 0
        assert _get(one.port, "/healthz")[0] == _get(other.port, "/healthz")[0] == 200


def test_close_ends_its_thread() -> None:
    before = set(threading.enumerate())
    with _serving() as server:
        assert {thread.name for thread in set(threading.enumerate()) - before} == {"metrics"}
    assert set(threading.enumerate()) - before == set()
    with pytest.raises(ConnectionRefusedError):
        _get(server.port, "/healthz")


def test_a_connection_that_asks_nothing_holds_up_no_other() -> None:
    with _serving() as server, socket.create_connection(("127.0.0.1", server.port), timeout=5):
        assert _get(server.port, "/healthz", timeout=1.0)[0] == 200
