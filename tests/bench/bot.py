"""`python -m tests.bench.bot [--json]`: what one user with half of all traffic does to the others' scores.

The same shoppers at the same rate, alone and beside a bot that sends as much as all of them; in turns, on one broker.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator

import click
import orjson

from stream.bench.bed import Plan, bed, of_its_own
from stream.bench.distribution import percentiles
from stream.bench.latency import latencies_ms
from stream.core_speed import this_machine
from stream.settings import load
from stream.shop_event import ShopEvent

BOT = b"bot"


@click.command()
@click.option("--rate", type=click.FloatRange(1), default=2500.0, help="Events a second of the shoppers. [2500]")
@click.option("--seconds", type=click.FloatRange(1), default=20.0, help="Of each run. [20]")
@click.option("--turns", type=click.IntRange(1), default=2, help="Of one run each way. [2]")
@click.option("--json", "as_json", is_flag=True)
def main(*, rate: float, seconds: float, turns: int, as_json: bool) -> None:
    """Measure both, and their ratio."""
    found: dict[str, list[dict[str, float]]] = {"quiet": [], "beside_a_bot": []}
    settings = load({}, environ={})
    with bed(settings) as here:
        placement = here.part(1)
        for turn, name in itertools.product(range(turns), found):
            shop = here.shop if name == "quiet" else beside_a_bot(here.shop)
            plan = Plan(
                settings, workers=1, events=0, latency_workers=1, seconds=seconds, say=_say,
                rate_per_sec=rate if name == "quiet" else 2 * rate,
            )  # fmt: skip
            latency_ms = asyncio.run(
                latencies_ms(
                    of_its_own(here.settings, f"{name}-{turn}", here.folder),
                    plan,
                    placement,
                    dataclasses.replace(here, shop=shop),
                    read_live=False,
                    of=lambda event: event.key != BOT,
                )
            )
            found[name].append(percentiles(latency_ms) | {"scores": len(latency_ms)})
            _say(f"{name}: {found[name][-1]}")
    best = {name: min(run["p99"] for run in runs) for name, runs in found.items()}
    figures = {
        "shoppers_events_per_second": rate,
        "p99_ratio": round(best["beside_a_bot"] / best["quiet"], 2),
        **found,
        "machine": this_machine(),
    }
    click.echo(json.dumps(figures) if as_json else json.dumps(figures, indent=1))


def beside_a_bot(shop: Iterator[ShopEvent], share: float = 0.5) -> Iterator[ShopEvent]:
    """After the events so many of the bot's that it has that share of all; it looks at another item each time."""
    number, owed = 0, 0.0
    for event in shop:
        yield event
        owed += share / (1 - share)
        while owed >= 1:
            yield _view(number, event.sent_ms)
            number, owed = number + 1, owed - 1


def _view(number: int, sent_ms: int) -> ShopEvent:
    view = {
        "event_id": f"bot-{number}", "event_name": "view_item", "event_time": sent_ms, "user_id": "bot",
        "item_id": f"sku-{number % 5_000}", "item_category": f"category-{number % 40}", "price": 9.99,
    }  # fmt: skip
    return ShopEvent("clicks", BOT, orjson.dumps(view), sent_ms)


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    sys.exit(main())
