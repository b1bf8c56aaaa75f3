"""`watch`: follows an output topic."""

from __future__ import annotations

import click

from stream.commands.options import json_flag, setting_flags
from stream.settings import load

_TOPICS = ("purchase-intent", "anomaly-scores", "dead-letters")


@click.command("watch", short_help="follow scores or dead letters")
@click.argument("which", type=click.Choice(_TOPICS), default=_TOPICS[0])
@click.option("--from-start", is_flag=True, help="From the oldest record that the topic still holds. [from now on]")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many records. [ctrl-C stops]")
@json_flag("records as they are, one a line")
@setting_flags("bootstrap_servers", "purchase_intent_topic", "anomaly_scores_topic", "dead_letters_topic")
def watch(which: str, from_start: bool, limit: int | None, as_json: bool, **flags: str | None) -> int:
    """Follow purchase-intent (the default), anomaly-scores or dead-letters.

    One line per record, of all partitions as they come. It reads without a consumer group: nothing is committed, and
    subscribers do not notice. Teams that act on scores copy stream/examples/keep_first.py instead.

    \b
      behaviour-stream watch
      behaviour-stream watch anomaly-scores --from-start --limit 20
      behaviour-stream watch --json | jq 'select(.purchase_intent."24h" > 0.8)'
    """
    asked = load(flags)
    from stream.commands import follow
    from stream.commands.client import with_broker
    from stream.commands.score_lines import VIEWS, line_width

    topic = dict(zip(_TOPICS, asked.output_topics, strict=True))[which]
    show = follow.raw if as_json else follow.Table(VIEWS[which], line_width())
    return with_broker(
        asked, lambda: follow.follow(asked.bootstrap_servers, topic, show, from_start=from_start, limit=limit)
    )
