"""A comparison -> what a terminal shows, and the same as an object. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from stream.comparison.fraud_rules import Kind
from stream.comparison.result import Comparison, counts

_RULES_KEPT = 10  # of a kind of fraud, in the object


def table(of: Comparison) -> Iterator[str]:
    """Lines of at most 100 columns. A distribution is shown by its mean, and its median in brackets."""
    yield f"{'':38} {'recorded':>15} {'simulated':>15} {'distance':>8} aim"
    for section, rows in groupby(of.rows(), lambda row: row.section):
        yield section
        for row in rows:
            met = {None: "", True: "met", False: "missed"}[row.met]
            line = (
                f"  {row.figure[:36]:36} {side(row.real, row.real_median):>15} "
                f"{side(row.simulated, row.simulated_median):>15} {number(row.distance):>8} {row.aim} {met}"
            )
            yield line.rstrip()


def as_object(of: Comparison, *, real_name: str, simulated_name: str) -> dict[str, Any]:
    """For programs. Numbers that are not known are null."""
    return {
        "recorded": {"name": real_name, **counts(of.view.real)},
        "simulated": {"name": simulated_name, **counts(of.view.simulated)},
        "selection": [*of.view.steps, *of.notes],
        "figures": [dataclasses.asdict(row) for row in of.rows()],
        "buyers": [dataclasses.asdict(case) for case in of.buyers],
        "fraud": None if of.fraud is None else {"users": _kinds(of.fraud.users), "sessions": _kinds(of.fraud.sessions)},
    }


def _kinds(kinds: Sequence[Kind]) -> list[Mapping[str, Any]]:
    return [dataclasses.asdict(dataclasses.replace(kind, rules=kind.rules[:_RULES_KEPT])) for kind in kinds]


def side(value: float | None, median: float | None) -> str:
    """One side of a row."""
    return number(value) if median is None else f"{number(value)} ({number(median)})"


def number(value: float | None) -> str:
    """As people write it: about three digits that matter, and no exponent."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.3g}"
