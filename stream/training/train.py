"""The shipped model, from nothing but numbers that say how: `python -m stream.training.train --out PATH`.

It learns from simulated shoppers, and its card says so. One thread and one seed give the same weights bit for bit on
the same build of torch.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from stream import anomaly, model_file
from stream.features import Statistics
from stream.model import BehaviourLSTM, Sizes
from stream.simulator import scenario
from stream.training import dataset, evaluation, sources
from stream.training.dataset import Chunk, Examples
from stream.training.gathering import gather
from stream.training.runs import Runs

Say = Callable[[str], None]

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z: any day does, the features know the hour only
_DAY_MS = 86_400_000
_VALIDATION_SHARE = 0.2  # of the users
_CLIP = 1.0  # largest norm of a gradient, so that no odd chunk undoes what many have taught
_SHOPS_MAX = 1000  # of one recipe
# torch draws embeddings from N(0, 1): an item bucket that training never met would then speak as loudly as any other.
_ITEM_STD = 0.05


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """All that the weights depend on."""

    seed: int = 1
    shops: int = 40  # of different prices, so that no shop's catalogue is learned by heart
    users: int = 1_000  # of each shop
    days: int = 28
    epochs: int = 8
    lanes: int = 64  # users side by side
    steps: int = 32  # through which a gradient goes back; the carry goes on beyond
    learning_rate: float = 4e-3
    # Of the purchase horizons' loss beside that of the next event, which is ten times larger and would drown it.
    # ROC-AUC within a day, of 15 shops and 4 epochs: 0.625 at a weight of 1, 0.719 at 4, 0.710 at 12.
    intent_weight: float = 4.0


def simulated(recipe: Recipe) -> tuple[Runs, Runs]:
    """(training, validation) runs. Whole shops go to one side, so validation is on prices that training never saw."""
    normal, end_ms = scenario.honest_and_orderly(scenario.load()), START_MS + recipe.days * _DAY_MS
    first = _SHOPS_MAX * recipe.seed  # recipes of two seeds have no shop in common
    shops = [
        sources.simulated(normal, seed=first + n, users=recipe.users, start_ms=START_MS, end_ms=end_ms)
        for n in range(recipe.shops)
    ]
    kept = max(1, round(_VALIDATION_SHARE * recipe.shops))
    return gather(shops[kept:]).runs, gather(shops[:kept]).runs


def examples(runs: Runs, statistics: Statistics, sizes: Sizes) -> Examples:
    """What `dataset.examples` makes of one of the two parts of `simulated`."""
    return dataset.examples(runs, statistics, horizons_secs=sizes.horizons_secs)


def train(training: Examples, sizes: Sizes, recipe: Recipe, say: Say = lambda line: None) -> BehaviourLSTM:
    """A model fitted to the training users; `say` gets a line per epoch, with the mean loss in nats an event."""
    with _reproducible(recipe.seed):
        model = BehaviourLSTM(sizes)
        nn.init.normal_(model.item.weight, std=_ITEM_STD)
        optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate)
        rng = np.random.default_rng(recipe.seed)
        began = time.monotonic()
        for epoch in range(recipe.epochs):
            order = rng.permutation(len(training.counts))
            total, seen = 0.0, 0
            carry = torch.zeros(recipe.lanes, 2, sizes.layers, sizes.hidden)
            for chunk in dataset.chunks(training.counts, order, lanes=recipe.lanes, steps=recipe.steps):
                share = (epoch + seen / len(training)) / recipe.epochs
                optimizer.param_groups[0]["lr"] = recipe.learning_rate * _schedule(share)
                carry[chunk.fresh] = 0.0
                loss, moved = _loss(model, training, chunk, carry[chunk.packing.users], recipe.intent_weight)
                carry[chunk.packing.users] = moved.detach()
                optimizer.zero_grad()
                # A fixed divisor: the few events of an epoch's last chunks count each as much as any other.
                torch.autograd.backward(loss / (recipe.lanes * recipe.steps))
                nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
                optimizer.step()
                total, seen = total + loss.item(), seen + len(chunk.events)
            say(f"epoch {epoch + 1}/{recipe.epochs}: loss {total / seen:.4f}, {time.monotonic() - began:.0f} s")
    return model.eval()


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)  # sums in parallel have no fixed order
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _schedule(share: float) -> float:
    """What the learning rate is multiplied by after this share of the training: a short rise, then half a cosine."""
    return min(1.0, share / 0.02) * 0.5 * (1.0 + math.cos(math.pi * share))


def _loss(
    model: BehaviourLSTM, of: Examples, chunk: Chunk, carry: Tensor, intent_weight: float
) -> tuple[Tensor, Tensor]:
    """(loss summed over the chunk's events, carry [U, 2, L, H]); the surprise is that of `Scorer.score`."""
    packing, events = chunk.packing, chunk.events
    features, outcome = of.model_columns(events)
    x = model.embed(*map(torch.from_numpy, features))
    out, moved = model.advance(x, torch.from_numpy(packing.batch_sizes), carry)
    states = torch.cat([carry[:, 0, -1], out])
    classes, first = map(torch.from_numpy, outcome)
    surprise = model.surprise(states[torch.from_numpy(packing.before)], classes, first)
    bought, known = (torch.from_numpy(column[events]).float() for column in of.labels)
    intent = nn.functional.binary_cross_entropy_with_logits(model.intent_logits(out), bought, known, reduction="sum")
    return surprise.sum() + intent_weight * intent, moved


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="PATH of PATH.safetensors and PATH.json.")
@click.option("--hidden", default=64, show_default=True, help="Hidden units of the one LSTM layer.")
@click.option("--seed", default=Recipe().seed, show_default=True)
@click.option(
    "--shops",
    type=click.IntRange(2, _SHOPS_MAX),
    default=Recipe().shops,
    show_default=True,
    help="One in five is for validation.",
)
@click.option("--users", default=Recipe().users, show_default=True, help="Users of each shop.")
@click.option("--days", default=Recipe().days, show_default=True, help="Days of events.")
@click.option("--epochs", default=Recipe().epochs, show_default=True)
def main(out: Path, hidden: int, **numbers: int) -> None:
    """Train a model on simulated shoppers; the defaults make the shipped one."""
    recipe, sizes = Recipe(**numbers), Sizes(hidden=hidden)
    runs = simulated(recipe)
    statistics = dataset.statistics(runs[0])
    training, validation = (examples(part, statistics, sizes) for part in runs)
    click.echo(f"{len(training)} events of {len(training.counts)} users, {len(validation)} more for validation")
    model = train(training, sizes, recipe, click.echo)
    with _reproducible(recipe.seed):
        intent, nats = evaluation.score(model, validation)
    reached = evaluation.figures(evaluation.Baseline.of(training), validation, intent, nats)
    click.echo(msgspec.json.format(msgspec.json.encode(reached)).decode())
    normal = anomaly.fit(nats.sum(axis=1, dtype=np.float64))
    options = " ".join(f"--{name} {number}" for name, number in {"hidden": hidden, **numbers}.items())
    made = {
        "simulated": True,
        "command": f"python -m stream.training.train --out {out} {options}",
        "torch": str(torch.__version__),
        "recipe": msgspec.to_builtins(recipe),
        "training": {"events": len(training), "users": len(training.counts)},
        "validation": {"events": len(validation), "users": len(validation.counts), "reached": reached},
    }
    model_file.save(model, out, statistics=statistics, normal=normal, made=made)
    click.echo(f"wrote {out}.safetensors and {out}.json")


if __name__ == "__main__":
    main()
