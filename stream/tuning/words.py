"""A search as a table, the best trial first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from stream.tuning.gain import Gain
from stream.tuning.search import Tried, best_of

_WIDTH, _WHAT = 100, 34


def table(tried: Sequence[Tried], gain: Gain | None) -> Iterator[str]:
    """Lines, without line ends."""
    heads = list(tried[0].judged.heads)
    yield (
        "trial  log loss  "
        + "".join(f"{f'AUC {head}':>13}" for head in heads)
        + f"{'nats':>9}{'epochs':>8}{'s':>7}  what"
    )
    for one in sorted(tried, key=lambda one: (one.hopeless, one.judged.objective)):
        judged = one.judged
        aucs = "".join(f"{judged.heads[head].auc if head in judged.heads else float('nan'):>13.4f}" for head in heads)
        row = (
            f"{one.number:>5}  {judged.objective:>8.4f}  {aucs}{judged.nats:>9.4f}{one.epochs:>8}{one.seconds:>7.0f}  "
        )
        first, *more = textwrap.wrap(_what(one), max(_WHAT, _WIDTH - len(row)), break_long_words=False)
        yield row + first
        yield from (" " * len(row) + line for line in more)
    yield ""
    yield from textwrap.wrap(_conclusion(tried, gain), _WIDTH)


def _what(one: Tried) -> str:
    turned = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in one.what.items()
    )
    return (turned or "the default") + (" (given up)" if one.hopeless else "")


def _conclusion(tried: Sequence[Tried], gain: Gain | None) -> str:
    best = best_of(tried)
    if not best.number:
        return "No trial was better than the default on what was held out."
    if gain is None:
        return f"Trial {best.number} is best."
    return (
        f"Trial {best.number} less the default: log loss {gain.mid:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] over "
        f"users held out, the best of {len(tried)} on these very users: on others it will gain less."
    )
