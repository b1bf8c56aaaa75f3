"""What a check has found, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A warning lets a worker run; an error keeps it from running as it should."""

    name: str
    status: Status
    found: str
    to_do: str = ""  # empty where there is nothing to do


def is_ok(findings: Sequence[Finding], *, strict: bool = False) -> bool:
    """Whether a worker may be started: no error; if `strict`, no warning either."""
    bad = {"error", "warning"} if strict else {"error"}
    return not any(finding.status in bad for finding in findings)


def plural(n: int, noun: str) -> str:
    """`1 partition`, `12,000 partitions`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def size(n: float) -> str:
    """Bytes in words, to three digits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"
