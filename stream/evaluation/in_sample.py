"""Whether a model may have learned from what it is judged by, as far as its card says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream.training.reading import moment


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged, as a card says what was learned from."""

    source: Mapping[str, Any]  # `simulated`, and `files`, `topics`, or `scenario` and `seed`
    first_ms: int
    last_ms: int
    hold_out: tuple[int, int] | None = None  # (k, n): of the users of the k-th of n folds alone


def may_have_learned(made: Mapping[str, Any], judged: Judged) -> str | None:
    """A note that the model may know what it was judged by; None where its card (`made`) leaves no such doubt.

    That is where both are of the same source, their times overlap, and users were judged who were not held out.
    """
    source = _in_common(made, judged.source)
    ends = [made[name] for name in ("before_ms", "end_ms") if made.get(name) is not None]
    learned_later = made.get("first_ms") is not None and judged.last_ms < made["first_ms"]
    left_out = made.get("hold_out")
    if source is None or learned_later or any(judged.first_ms >= end for end in ends):
        return None
    if left_out and judged.hold_out and _within(judged.hold_out, left_out):
        return None
    until = f" before {moment(min(ends))}" if ends else ""
    without = f", without the users of fold {left_out[0]}/{left_out[1]}" if left_out else ""
    other = (
        "shops of another --simulation-seed" if made.get("simulated") else "what --before or --hold-out kept from it"
    )
    return (
        f"The model may have learned from these events, and its figures would flatter it: by its card it learned from "
        f"{source}{until}{without}. Judge it by {other}."
    )


def _in_common(made: Mapping[str, Any], source: Mapping[str, Any]) -> str | None:
    """What both are of, in words; None: nothing."""
    if made.get("simulated") and source.get("simulated"):
        # One seed counts the shops from its own thousand on, so that those of two have none in common
        same = all(made.get(name) == source.get(name) for name in ("scenario", "seed"))
        return f"simulated shops of seed {made.get('seed')}" if same else None
    if made.get("topics") and source.get("topics"):
        return "the source topics"
    files = [name for name in made.get("files", ()) if name in source.get("files", ())]
    return ", ".join(files) or None


def _within(fold: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether each user of the k-th of n folds is of the other fold: users are numbers, and a fold a remainder."""
    (k, n), (other_k, other_n) = fold, other
    return n % other_n == 0 and (k - other_k) % other_n == 0
