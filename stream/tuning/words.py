"""A search as a table, the best trial first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from stream.tuning.gain import Gain
from stream.tuning.search import Tried, best_of

_WIDTH, _INDENT = 100, 7


def table(tried: Sequence[Tried], gain: Gain | None) -> Iterator[str]:
    """Lines, without line ends."""
    heads = list(dict.fromkeys(head for one in tried for head in one.judged.heads))
    titles = "".join(f"{f'AUC {head}':>13}" for head in heads)
    yield f"trial  log loss{titles}{'surprise':>10}{'epochs':>8}{'seconds':>9}"
    for one in sorted(tried, key=lambda one: (one.hopeless, one.judged.objective)):
        judged = one.judged
        aucs = "".join(f"{judged.heads[head].auc:>13.4f}" if head in judged.heads else f"{'-':>13}" for head in heads)
        yield f"{one.number:>5}{judged.objective:>10.4f}{aucs}{judged.nats:>10.4f}{one.epochs:>8}{one.seconds:>9.0f}"
        yield from textwrap.wrap(
            _what(one), _WIDTH, initial_indent=" " * _INDENT, subsequent_indent=" " * _INDENT, break_long_words=False
        )
    yield ""
    yield from textwrap.wrap(_conclusion(tried, gain), _WIDTH)


def _what(one: Tried) -> str:
    turned = ", ".join(
        f"{name} {f'{value:g}' if isinstance(value, float) else value}" for name, value in one.what.items()
    )
    return (turned or "the default") + ("; given up" if one.hopeless else "")


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
