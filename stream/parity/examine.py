"""Topics between two times -> how far what the service published is from what offline scoring gives."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from stream.errors import SettingsError
from stream.events import EventBatch
from stream.model_file import LoadedModel
from stream.parity import offline, places
from stream.parity.differences import TOLERANCE, Largest, largest
from stream.parity.published import Published, together
from stream.parity.reading import Progress, Topics, read
from stream.sequences import Ints
from stream.settings import Settings


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `parity --json` prints."""

    ok: bool  # no difference is larger than the tolerance
    tolerance: float
    model: str
    model_hash: str
    largest: list[Largest]  # of each figure
    compared: int  # events
    users: int  # of these
    events: int  # on the source topics
    refused: int  # records there that are no events
    published: int  # events with both scores by this model
    repeated: int  # score records whose id came again: the last one counts
    single: int  # events of which one score is not there, or is of another application than the other
    without_event: int  # published scores
    without_score: int  # events
    sent_twice: int  # events that were passed over, since they had been scored before
    begun_users: int  # whose first event that is known was not their first: left out
    begun_events: int
    cut_users: int  # of whom an event is missing, or whose carry was made anew: left out from there on
    cut_events: int
    other_models: dict[str, int]  # hash -> score records
    former: int  # score records of events of a topic that was deleted and made anew since
    unreadable: int  # records on the score topics
    unreadable_first: str


async def examine(
    settings: Settings,
    model: LoadedModel,
    *,
    since_ms: int | None,
    until_ms: int | None,
    device: torch.device,
    progress: Progress,
) -> Report:
    """Read, score and compare. About 1 kB of memory for each event between the times.

    Raises SettingsError where there is nothing to compare, saying what there is.
    """
    on_topics = await read(settings, model, since_ms, until_ms, progress)
    return compare(settings, model, on_topics, device)


def compare(settings: Settings, model: LoadedModel, on_topics: Topics, device: torch.device) -> Report:
    """What was read, without the topics."""
    intent, anomaly, events = on_topics.intent, on_topics.anomaly, on_topics.events
    scores, single = together(*(_covered(collected.published(), on_topics) for collected in (intent, anomaly)))
    if not len(scores.place):
        raise SettingsError(_nothing(model, on_topics))
    place = places.number(*(events[name].astype(np.int64) for name in ("source", "partition", "offset")))
    _, of_event, of_score = np.intersect1d(place, scores.place, return_indices=True)
    scored = _taken(scores, of_score)
    order = offline.applied_order(events.take(of_event), scored.events_seen, scored.rebuilt)
    if not len(order.event):
        raise SettingsError(
            f"expected users whose first event is between these times, got {order.begun_users:,} of whom none is: "
            "what they carry is not known; begin earlier"
        )
    applied, known = events.take(of_event[order.event]), _taken(scored, order.event)
    made = offline.score(applied, order.counts, model, device)
    found = largest(known.figures, made, applied, known.events_seen, settings.source_topics)
    unscored = events.take(np.setdiff1d(np.arange(len(events)), of_event))
    sent_twice = _sent_twice(unscored, events.take(of_event))
    return Report(
        ok=all(figure.difference <= TOLERANCE for figure in found),
        tolerance=TOLERANCE,
        model=model.name,
        model_hash=model.hash,
        largest=found,
        compared=len(order.event),
        users=len(order.counts),
        events=len(events),
        refused=on_topics.refused,
        published=len(scores.place),
        repeated=intent.repeated + anomaly.repeated,
        single=single,
        without_event=len(scores.place) - len(of_score),
        without_score=len(unscored) - sent_twice,
        sent_twice=sent_twice,
        begun_users=order.begun_users,
        begun_events=order.begun_events,
        cut_users=order.cut_users,
        cut_events=order.cut_events,
        other_models=dict(intent.other_models + anomaly.other_models),
        former=intent.former + anomaly.former,
        unreadable=intent.unreadable + anomaly.unreadable,
        unreadable_first=intent.why or anomaly.why,
    )


def _sent_twice(unscored: EventBatch, scored: EventBatch) -> int:
    """How many of the unscored have user and id of one that is scored."""
    names = set(zip(scored.key.tolist(), scored["event_hash"].tolist(), strict=True))
    return sum(name in names for name in zip(unscored.key.tolist(), unscored["event_hash"].tolist(), strict=True))


def _covered(scores: Published, on_topics: Topics) -> Published:
    return _taken(scores, np.flatnonzero(on_topics.covers(scores.place)))


def _taken(scores: Published, index: Ints) -> Published:
    figures = {name: column[index] for name, column in scores.figures.items()}
    return Published(scores.place[index], scores.events_seen[index], scores.rebuilt[index], figures)


def _nothing(model: LoadedModel, on_topics: Topics) -> str:
    """Why there is nothing to compare."""
    expected = f"expected scores of model {model.name}, hash {model.hash}"
    intent, anomaly = on_topics.intent, on_topics.anomaly
    others = intent.other_models + anomaly.other_models
    if others:
        found = ", ".join(f"{records:,} of hash {other}" for other, records in others.most_common(5))
        return f"{expected}, got {found}; --model names the one that the worker had"
    if intent.why or anomaly.why:
        return f"{expected}, got records that are none, the first: {intent.why or anomaly.why}"
    return f"{expected}, got none of the {len(on_topics.events):,} events between these times"
