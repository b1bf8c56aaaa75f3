"""The end of the demo: what it came to, for people and for machines, and what to do next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from stream.commands.demo_state import DemoState


def sentences(state: DemoState, sent: int, repeated: int) -> list[str]:
    """A line on each thing that can be said; the first one on all of it."""
    text = f"Scored {state.count:,} of {sent - repeated:,} simulated events, of {state.users:,} shoppers"
    if repeated:
        text += f" (sent twice and scored once: {repeated:,})"
    latency, rate = state.latency_of_all_ms(), state.rate_per_sec()
    if latency is not None and rate is not None:
        took = f"from sending an event to reading its scores p50 {latency[0]:.0f} ms, p99 {latency[1]:.0f} ms"
        text += f", {rate:,.0f} a second; {took}"
    said = [f"{text}."]
    if (tenth := state.likeliest_tenth()) is not None:
        said.append(
            f"Of the tenth of the scores that said so most, {tenth[0]:.0%} were followed by a purchase within "
            f"{state.horizons[0]}; of all, {tenth[1]:.0%}."
        )
    if (strange := state.strangest_percent()) is not None:
        events, frauds, of_all = strange
        said.append(
            f"Of the strangest 1 % ({events:,} events), {frauds:,} were simulated fraud; of all events, {of_all:,}."
        )
    return said


def figures(state: DemoState, sent: int, repeated: int) -> dict[str, Any]:
    """The same for machines: plain JSON values; None where nothing can be said."""
    latency, rate = state.latency_of_all_ms(), state.rate_per_sec()
    tenth, strange = state.likeliest_tenth(), state.strangest_percent()
    return {
        "events_sent": sent,
        "events_sent_twice": repeated,
        "events_scored": state.count,
        "users": state.users,
        "purchases": state.purchases,
        "events_per_second": None if rate is None else round(rate, 1),
        "latency_ms": None if latency is None else {"p50": round(latency[0], 1), "p99": round(latency[1], 1)},
        "horizon": state.horizons[0] if state.horizons else None,
        "bought_within_horizon": None
        if tenth is None
        else {"of_likeliest_tenth": round(tenth[0], 4), "of_all": round(tenth[1], 4)},
        "strangest_percent": None
        if strange is None
        else {"events": strange[0], "simulated_fraud": strange[1], "simulated_fraud_of_all": strange[2]},
    }


def next_steps() -> list[str]:
    """What to try with one's own events: commands that work where the demo was started."""
    program = _program()
    steps = (
        ("your Kafka", "export BEHAVIOUR_BOOTSTRAP_SERVERS=localhost:9092"),
        ("what it lacks", f"{program} doctor"),
        ("make the topics", f"{program} topics"),
        ("score events", f"{program} worker"),
        ("see the scores", f"{program} watch anomaly-scores"),
        ("your own CSV", f"{program} replay events.csv --map shop.toml --dry-run"),
        ("how to map it", f"{program} replay --help"),
        ("all the rest", "less README.md" if Path("README.md").exists() else f"{program} --help"),
    )
    return ["Next, with your own events:", *(f"  {what:<18} {command}" for what, command in steps)]


def _program() -> str:
    """How this command is called here: by its name if the shell finds it, else by its path from here."""
    here = Path(sys.executable).parent / "behaviour-stream"
    found = shutil.which("behaviour-stream")
    if found is not None and Path(found).resolve() == here.resolve():
        return "behaviour-stream"
    if not here.exists():
        return f"{shlex.quote(sys.executable)} -m stream.cli"
    relative = os.path.relpath(here)
    return shlex.quote(str(here) if relative.startswith(os.pardir) else relative)
