"""This project's own network on plain token sequences: the code that trains and serves, with tokens as actions.

A sequence is a user, a token an event a second after the one before; there is nothing else to see. With more tokens
than an event may have actions (255), the rarest share a code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from stream.evaluation.sequence_scores import Learn, TokenScores
from stream.evaluation.token_sequences import Ints, TokenSequences
from stream.features import ACTION
from stream.model import BehaviourModel, Sizes
from stream.rows import RAW_EVENT
from stream.training.fit import Fitted, fit
from stream.training.lessons import Plan, lessons
from stream.training.recipe import Recipe
from stream.training.runs import Runs
from stream.training.task import Task
from stream.training.watching import Nobody, Watcher

_CODES = 256  # of an action
_RARE = _CODES - 1
_STEP_MS = 1_000
_LANES, _STEPS = 512, 64


def method(recipe: Recipe | None = None, *, hidden: int = 64, watcher: Watcher | None = None) -> Learn:
    """What learns normal sequences with one configuration, whatever they are."""
    how = Recipe(intent_weight=0.0) if recipe is None else recipe

    def learn(normal: TokenSequences) -> Callable[[TokenSequences], TokenScores]:
        code = _codes(normal)
        # No purchase ever comes: its head stays silent, and has to be there
        sizes = Sizes(hidden=hidden, actions=int(code.max()) + 1, horizons_secs=(60,), session=False)
        fitted = fit(Task(_runs(normal, code), sizes, how), watcher=watcher or Nobody())
        return lambda of: _scores(fitted, _runs(of, code))

    return learn


def _codes(normal: TokenSequences) -> Ints:
    """[V] code of a vocabulary -> action: itself, or that of all the rarest."""
    size = normal.vocabulary.size
    code = np.arange(size)
    if size > _CODES:
        often = np.argsort(-np.bincount(normal.tokens, minlength=size), kind="stable")
        code[:] = _RARE
        code[often[:_RARE]] = np.arange(_RARE)
    return code


def _runs(of: TokenSequences, code: Ints) -> Runs:
    raw = np.zeros(len(of.tokens), RAW_EVENT)
    raw["action"] = code[of.tokens]
    raw["time_ms"] = _STEP_MS * (np.arange(len(raw)) - of.starts[of.sequence])
    raw["price"] = np.nan
    return Runs.plain(raw, of.counts, end_ms=_STEP_MS)


@torch.inference_mode()
def _scores(fitted: Fitted, of: Runs) -> TokenScores:
    """Surprise of each token, and how many were likelier: `Scorer.score` tells the first alone."""
    model, sizes = fitted.model, fitted.model.sizes
    nats, rank = np.empty(len(of)), np.empty(len(of), np.int64)
    carry = torch.zeros(_LANES, sizes.parts, sizes.layers, sizes.hidden)
    plan = Plan(np.arange(len(of.counts)), _LANES, _STEPS)
    for packing, events, fresh, seen in lessons(of, plan, fitted.statistics):
        carry[torch.from_numpy(fresh)] = 0.0
        users = torch.from_numpy(packing.users)
        x = model.embed(*map(torch.from_numpy, seen.features))
        out, moved = model.advance(x, torch.from_numpy(packing.batch_sizes), carry[users])
        states = torch.cat([carry[users][:, 0, -1], out])[torch.from_numpy(packing.before)]
        carry[users] = moved
        logits = _action_logits(model, states)
        came = logits.gather(1, torch.from_numpy(seen.classes[:, ACTION])[:, None])
        nats[events] = (logits.logsumexp(dim=1) - came[:, 0]).clamp_min(0.0).numpy()
        rank[events] = (logits > came).sum(dim=1).numpy()
    return TokenScores(nats, rank)


def _action_logits(model: BehaviourModel, states: torch.Tensor) -> torch.Tensor:
    """[N, actions]: the first part of what the next-event head says, which no other part is given for."""
    logits: torch.Tensor = model.next_event(states)[:, : model.sizes.actions]
    return logits
