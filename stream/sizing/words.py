"""A size, for people: a short table, what breaks first, and what is only assumed. Every number has its unit."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from stream.sizing.constants import Fact
from stream.sizing.limits import Limit
from stream.sizing.plan import PARTITIONS_PER_WORKER
from stream.sizing.sizing import Sizing
from stream.sizing.trial import Trial

_NAME, _VALUE = 20, 16  # columns
_SHOWN = 5  # limits of a deployment; --json has all
_STAGES_SHOWN_US = 0.05


def lines(sizing: Sizing, model: str, width: int) -> Iterator[str]:
    """All of it, in so many columns."""
    asked = sizing.demands
    sizes = asked.model
    yield from _wrapped(
        f"{asked.events_per_second:,.0f} events/s of {asked.users:,} users, {_acting(sizing)}; {model}: {sizes.cell}, "
        f"{sizes.layers} x {sizes.hidden} units, a row of {sizing.row_bytes:,} bytes; {asked.settings.guarantee}",
        width,
    )
    yield ""
    for name, value, more in _table(sizing):
        first, *rest = _wrapped(more, width - _NAME - _VALUE)
        yield f"{name:<{_NAME}}{value:<{_VALUE}}{first}".rstrip()
        yield from (" " * (_NAME + _VALUE) + line for line in rest)
    yield ""
    yield "This deployment, as events and users grow alike, fills up first:"
    yield from _limits(sizing.fills_first[:_SHOWN], width)
    yield ""
    yield "However many machines there are, first breaks:"
    yield from _limits(sizing.breaks_first, width)
    yield ""
    yield "Not measured:"
    for fact in sizing.constants:
        if fact.origin != "measured":
            yield from _entry("-", _fact(fact), width)
    for text in _simplified(sizing):
        yield from _entry("-", text, width)


def _table(sizing: Sizing) -> Iterator[tuple[str, str, str]]:
    asked, spent, moved, set_up = sizing.demands, sizing.cost, sizing.traffic, sizing.deployment
    held, stored, seconds = sizing.memory, sizing.disk, spent.interval_secs
    each = asked.events_per_second / set_up.workers
    cores = f"{asked.cores_per_worker:g} core{'' if asked.cores_per_worker == 1 else 's'}"
    yield (
        "workers", f"{set_up.workers:,}",
        f"{sizing.workers_for}; each {each:,.0f} events/s, and {spent.events_per_second:,.0f} with nothing of {cores} "
        f"left free ({asked.headroom:.0%} is)",
    )  # fmt: skip
    yield "partitions", f"{set_up.partitions:,}", f"of each topic, {PARTITIONS_PER_WORKER} a worker"
    yield (
        "brokers", f"{set_up.brokers:,}",
        f"{sizing.brokers_for}; {asked.headroom:.0%} left free; replication factor {asked.replication_factor}",
    )  # fmt: skip
    yield "an event", f"{spent.worker_us:.1f} us", _stages(spent.stages_us)
    yield (
        "in memory", f"{spent.in_memory:,.0f} users",
        f"a worker; {spent.misses:.1%} of events read the store, {spent.rows:.2f} rows an event go to the changelog",
    )  # fmt: skip
    yield (
        "a worker's memory", size(held.total),
        f"process {size(held.process)}, users {size(held.users)} (while it grows {size(held.growth)} more), store "
        f"{size(held.store)}, waiting {size(held.waiting)}, in flight {size(held.in_flight)}",
    )  # fmt: skip
    yield (
        "a worker's disk", size(stored.bytes),
        f"{stored.rows:,.0f} rows; {size(stored.bytes_written_per_second)}/s written",
    )  # fmt: skip
    yield "input", f"{size(moved.input)}/s", "three topics, not compressed"
    yield "output", f"{size(moved.output)}/s", "purchase intents and anomaly scores, not compressed"
    yield (
        "changelog", f"{size(moved.changelog)}/s",
        f"{moved.rows_per_second:,.0f} rows/s, {sizing.rows_per_checkpoint:,.0f} a checkpoint of a partition"
        + (f"; as much again read by standbys: {size(moved.standby)}/s" if moved.standby else ""),
    )  # fmt: skip
    yield (
        "brokers write", f"{size(moved.broker_write)}/s",
        f"in all, replicas included; {size(moved.broker_write / set_up.brokers)}/s each",
    )  # fmt: skip
    hours = asked.settings.retention_hours
    kept = f"scores and events of {hours:,} h" if hours >= 0 else "it grows for ever: --retention-hours=-1"
    yield "brokers' disks", size(stored.broker_bytes), f"in all, replicas included; {kept}"
    yield (
        "transactions",
        f"{sizing.transactions_per_second:,.1f}/s",
        f"each partition's checkpoint, each {seconds:.3g} s",
    )
    yield (
        "restore", f"{sizing.restore_worker_secs:,.0f} s",
        f"of a worker whose disk is lost; of one partition {sizing.restore_partition_secs:,.0f} s",
    )  # fmt: skip


def _acting(sizing: Sizing) -> str:
    asked = sizing.demands
    if asked.active_users_per_checkpoint is not None:
        return f"{asked.active_users_per_checkpoint:,} of whom act between two checkpoints"
    if asked.active_share is not None:
        return f"{asked.active_share:.3g} of whom act, all alike"
    if asked.law == "uniform":
        return "who act all alike"
    return (
        f"who act by Zipf's law ({asked.zipf_exponent:g}), nobody oftener than {asked.user_max_events_per_second:g} "
        "events/s"
    )


def _stages(stages_us: dict[str, float]) -> str:
    shown = {name: us for name, us in stages_us.items() if us >= _STAGES_SHOWN_US}
    return "processor time: " + ", ".join(f"{name} {us:.1f}" for name, us in shown.items())


def _limits(limits: Sequence[Limit], width: int) -> Iterator[str]:
    for number, limit in enumerate(limits, 1):
        at, users = limit.breaks_at_events_per_second, limit.breaks_at_users
        when = "not within thousands of times this" if at is None else f"at {at:,.0f} events/s, {users:,} users"
        passed = "" if limit.holds else "PASSED ALREADY; "
        used = f"{_amount(limit.used, limit.unit)} of {_with_unit(limit.limit, limit.unit)} now"
        yield from _entry(f"{number}.", f"{limit.name}: {passed}{when} ({used}); {limit.then}", width)


def _amount(n: float, unit: str) -> str:
    """A number of this unit; bytes have theirs."""
    if unit.startswith("bytes"):
        return size(n)
    return f"{n:,.0f}" if n >= 100 else f"{n:.3g}"


def _with_unit(n: float, unit: str) -> str:
    return f"{_amount(n, unit)} {unit.removeprefix('bytes').lstrip()}".rstrip()


def _fact(fact: Fact) -> str:
    return f"{fact.name} = {_with_unit(fact.value, fact.unit)} {fact.text} ({fact.source})"


def _simplified(sizing: Sizing) -> Iterator[str]:
    """What is left out, and which way that errs."""
    yield (
        "processor time is of a backlog on a quiet core: on a busy machine the same work took up to 1.7 times as long, "
        "which is what headroom is for"
    )
    if sizing.demands.model.cell != "lstm":
        yield (
            f"a {sizing.demands.model.cell} is taken to cost what an LSTM of as many multiply-adds does, though no "
            "kernel is compiled for it"
        )


def trial_lines(trial: Trial) -> Iterator[str]:
    """A prediction beside a run."""
    yield f"{'one worker':<20}{'unit':<16}{'predicted':>14}{'measured':>14}{'ratio':>8}"
    for figure in trial.figures:
        numbers = (
            (size(figure.predicted), size(figure.measured))
            if figure.unit.startswith("bytes ") and figure.predicted > 1e6
            else (f"{figure.predicted:,.4g}", f"{figure.measured:,.4g}")
        )
        yield f"{figure.name:<20}{figure.unit:<16}{numbers[0]:>14}{numbers[1]:>14}{figure.ratio:>8.2f}"
    yield (
        f"{trial.events:,} events of {trial.users:,} simulated shoppers; it had {trial.cores:.2f} cores; a checkpoint "
        f"{trial.checkpoint_ms:,.0f} ms; {trial.machine}"
    )


def size(n: float) -> str:
    """Bytes in words, to three digits."""
    if math.isinf(n):
        return "no end"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if n < 999.5:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:,.3g} PB" if n < 999.5 else f"{n:,.0f} PB"


def _entry(mark: str, text: str, width: int) -> Iterator[str]:
    first, *rest = _wrapped(text, width - 5)
    yield f"  {mark:<3}{first}"
    yield from (" " * 5 + line for line in rest)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
