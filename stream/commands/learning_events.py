"""What `train`, `tune` and `evaluate` read: files, the topics themselves, or simulated shops, by one set of flags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from stream.commands.options import SOURCES, format_flag, progress_flag, scenario_flag, setting_flags
from stream.settings import load

if TYPE_CHECKING:
    from stream.replay.formats import Format
    from stream.training.gathering import Gathered
    from stream.training.sources import Shop

Command = TypeVar("Command", bound=Callable[..., Any])

_START_MS, _DAY_MS = 1_767_225_600_000, 86_400_000  # 2026-01-01T00:00:00Z: any day does, features know the hour only
_SEEDS_APART = 1_000  # so that shops of two seeds have none in common
_LINES = 20  # of what was read: a thousand shops are no news
_PATH = click.Path(path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Moment(click.ParamType):
    """A time in UTC -> epoch ms."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from stream.decode import event_time_ms

        text = str(value)
        found = event_time_ms(text if "T" in text.upper() or text.isdigit() else f"{text}T00:00:00Z")
        if found < 0:
            self.fail(f"expected a day (2026-01-31), RFC 3339 with a zone, or milliseconds, got {text!r}", param, ctx)
        return found


class Events(msgspec.Struct, frozen=True):
    """Which events were asked for."""

    files: tuple[Path, ...]
    format_name: Format | None
    map_file: Path | None
    shop_per_file: bool
    labels: Path | None
    topics: bool
    since: int | None
    until: int | None
    simulated: int | None
    name_or_path: str
    honest: bool
    users: int
    days: int
    simulation_seed: int
    ignore_refused: bool
    temp_dir: Path | None
    progress: bool | None
    begun_ms: int | None = None  # of --topics without --until: what was sent before then

    def gather(self, flags: dict[str, Any]) -> Gathered:
        """Read them all, and say what was read."""
        from stream.commands.learning_progress import reading_shown
        from stream.training.gathering import Where, gather, told

        with reading_shown(self.progress) as progress:
            gathered = gather(
                self._shops(flags), fraud=self.labels, where=Where(folder=self.temp_dir), progress=progress
            )
        for line in told(gathered.readings)[:_LINES]:
            click.echo(line, err=True)
        return gathered

    @property
    def name(self) -> str:
        """For people."""
        if self.simulated is not None:
            return "a simulated shop" if self.simulated == 1 else f"{self.simulated} simulated shops"
        if self.topics or not self.files:
            return "the source topics"
        return self.files[0].name + (f" and {len(self.files) - 1} more" if len(self.files) > 1 else "")

    def described(self) -> dict[str, Any]:
        """For a card: what the model learned from."""
        if self.simulated is not None:
            shops = {"shops": self.simulated, "users_each": self.users, "days": self.days, "seed": self.simulation_seed}
            return {"simulated": True, "scenario": self.name_or_path, "honest": self.honest, **shops}
        if self.topics:
            return {"simulated": False, "topics": True, "since_ms": self.since, "until_ms": self.until or self.begun_ms}
        return {"simulated": False, "files": [path.name for path in self.files]}

    def _shops(self, flags: dict[str, Any]) -> list[Shop]:
        from stream.replay import load_map
        from stream.training.file_source import FileShop
        from stream.training.topic_source import TopicShop

        if sum((bool(self.files), self.topics, self.simulated is not None)) != 1:
            raise click.UsageError("expected one of FILE..., --topics and --simulated")
        of_files = bool(self.map_file or self.format_name or self.shop_per_file)
        for flag, given, source in (
            ("--since and --until", self.since is not None or self.until is not None, self.topics),
            ("--map, --format and --shop-per-file", of_files, self.files),
            ("--honest", self.honest, self.simulated is not None),
        ):
            if given and not source:
                raise click.UsageError(f"{flag}: they say nothing of this source of events; see --help")
        if self.map_file is not None and self.format_name is not None:
            raise click.UsageError("--map and --format exclude each other")
        if self.topics:
            topics = load(flags)
            times: dict[str, Any] = {"since_ms": self.since, "until_ms": self.until, "begun_ms": self.begun_ms}
            return [TopicShop(topics, **times, ignore_refused=self.ignore_refused)]
        if self.simulated is not None:
            return self._simulated(self.simulated)
        shop_map = load_map(self.map_file) if self.map_file else None
        groups = [[path] for path in self.files] if self.shop_per_file else [list(self.files)]
        return [
            FileShop(
                paths, self.format_name, shop_map, ignore_refused=self.ignore_refused, folder=self.temp_dir, say=_say
            )
            for paths in groups
        ]

    def _simulated(self, shops: int) -> list[Shop]:
        from stream.simulator import scenario
        from stream.training.sources import simulated

        shop = scenario.load(self.name_or_path)
        if self.honest:
            shop = scenario.honest(shop)
        end_ms = _START_MS + self.days * _DAY_MS
        seeds = range(_SEEDS_APART * self.simulation_seed, _SEEDS_APART * self.simulation_seed + shops)
        return [simulated(shop, seed=seed, users=self.users, start_ms=_START_MS, end_ms=end_ms) for seed in seeds]


def events_flags(command: Command) -> Command:
    """The flags of all this; passed on as `events`, and those of settings as `flags`."""

    def with_events(**given: Any) -> Any:
        events = Events(**{name: given.pop(name) for name in Events.__struct_fields__ if name in given})
        settings = {name: given.pop(name) for name in SOURCES}
        return command(events=events, flags=settings, **given)

    with_events.__name__, with_events.__doc__ = command.__name__, command.__doc__
    with_events.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    flags = [
        click.argument("files", type=_FILE, nargs=-1, metavar="FILE..."),
        format_flag,
        click.option("--map", "map_file", type=_PATH, help="TOML with the files' own columns (`replay --help`)."),
        click.option("--shop-per-file", is_flag=True, help="Users of two files are not the same, whatever their ids."),
        click.option("--labels", type=_PATH, help="JSON lines with event_id and fraud."),
        click.option("--topics", is_flag=True, help="Instead of files: what lies on the source topics."),
        click.option("--since", type=Moment(), help="Of --topics: from then on.  [the oldest]"),
        click.option("--until", type=Moment(), help="Of --topics: before then.  [the newest]"),
        click.option("--simulated", type=click.IntRange(1, _SEEDS_APART), help="Instead: so many simulated shops."),
        scenario_flag,
        click.option("--honest", is_flag=True, help="Of --simulated: no fraud."),
        click.option("--users", type=click.IntRange(1), default=1_000, help="Of each simulated shop. [1000]"),
        click.option("--days", type=click.IntRange(1, 3650), default=28, help="Of each simulated shop. [28]"),
        click.option("--simulation-seed", type=click.IntRange(0), default=1, help="Of the first one. [1]"),
        click.option("--ignore-refused", is_flag=True, help="Go on even if most rows are refused."),
        click.option("--temp-dir", type=_PATH, help="Where what does not fit in memory goes. [that of the system]"),
        progress_flag,
        setting_flags(*SOURCES),
    ]
    flagged: Any = with_events
    for flag in reversed(flags):  # click shows the option added last first
        flagged = flag(flagged)
    return flagged  # type: ignore[no-any-return]


def _say(line: str) -> None:
    click.echo(line, err=True)
