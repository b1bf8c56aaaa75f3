"""`replay`: recorded events of public data sets, or of a shop's own files, onto the three source topics."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.commands.options import SOURCES, format_flag, json_flag, progress_flag, setting_flags
from stream.errors import SettingsError
from stream.settings import load

if TYPE_CHECKING:
    from stream.replay.formats import Format

_LARGE_BYTES = 100_000_000  # takes several seconds to read


class _Speed(click.ParamType):
    name = "speed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from stream.simulator.load import RATE_MAX

        try:
            speed = 1.0 if value == "recorded" else float(value)
        except ValueError:
            speed = math.nan
        if not 0 < speed <= RATE_MAX:
            self.fail(f"expected `recorded` or a number above 0 and up to {RATE_MAX}, got {value!r}", param, ctx)
        return speed


@click.command("replay", short_help="recorded events onto the source topics")
@click.argument("file", type=click.Path(path_type=Path))
@format_flag
@click.option("--map", "map_file", type=click.Path(path_type=Path), help="Instead: TOML with FILE's own columns.")
@click.option("--dry-run", is_flag=True, help="Send nothing: show what would be sent. Needs no broker.")
@json_flag("one JSON object; of a dry run, all that it shows")
@click.option("--refused", "refused_file", type=click.Path(path_type=Path), help="Write rows that are refused here.")
@click.option("--ignore-refused", is_flag=True, help="Send the rest even if most rows are refused.")
@click.option("--speed", type=_Speed(), metavar="recorded|N", help="Times the recorded speed. [recorded, which is 1]")
@click.option("--flat-out", is_flag=True, help="Instead: as fast as the broker takes them.")
@click.option("--ignore-retention", is_flag=True, help="Send even records that their topic soon deletes.")
@click.option("--temp-dir", type=click.Path(path_type=Path), help="Where a large file is sorted. [that of the system]")
@progress_flag
@setting_flags(*SOURCES)
def replay(
    *,
    file: Path,
    format_name: Format | None,
    map_file: Path | None,
    dry_run: bool,
    as_json: bool,
    refused_file: Path | None,
    ignore_refused: bool,
    speed: float | None,
    flat_out: bool,
    ignore_retention: bool,
    temp_dir: Path | None,
    progress: bool | None,
    **flags: str | None,
) -> int:
    """Send recorded events, with their own times, by event time.

    FILE is CSV, JSON lines (each also as .gz) or Parquet, of any size. Without --format and --map, its columns
    tell what it is:

    \b
      ga4     Google Analytics 4: what the topics hold, or
              BigQuery's export, as JSON lines
      rees46  REES46's public CSV
      taobao  Taobao's UserBehavior, the CSV without a header;
              or columns user, ts, type, item, cat
      jdata   columns user, ts, type, item, session
      jd      JD's sessions, which have neither users nor a clock:
              each is a user, and begins a minute after the one
              before it, the first on 2020-01-01

    A shop's own file needs a --map, of which only [columns] must be there:

    \b
      time_format = "rfc3339"         # or s, ms, us, %d.%m.%Y %H:%M
      time_zone = "Europe/Berlin"     # of times that have none
      ignore = ["page"]               # words that are left out
      [columns]                       # in JSON: dotted paths
      user_id = ["customer", "cookie"]  # the first with a value
      event_name = "action"
      event_time = "at"
      item_id = "sku"
      price = "price"
      [events]                        # the shop's words
      viewed = "view_item"
      bought = "purchase"
      [csv]
      delimiter = ";"

    A row that cannot be read is refused and counted; where more are refused than sent, nothing is sent. Records get
    the recorded times as their timestamps, and a topic's retention goes by those: make the topics with
    --retention-hours -1 first.

    \b
      behaviour-stream replay events.csv.gz --map shop.toml --dry-run
      behaviour-stream topics --retention-hours -1
      behaviour-stream replay events.csv.gz --map shop.toml --speed 60
    """
    asked = load(flags)
    if map_file is not None and format_name is not None:
        raise click.UsageError("--map and --format exclude each other")
    if speed is not None and flat_out:
        raise click.UsageError("--speed and --flat-out exclude each other")
    # Of a million events that are kept to be sorted, the collector would look at all again and again: twice the time
    gc.set_threshold(100_000, 50, 50)
    from stream.commands.refused_rows import writing_refused
    from stream.commands.replay_report import show, totals, why_nothing_is_sent
    from stream.replay import load_map, open_recording, open_rows, survey

    shop_map = load_map(map_file) if map_file else None
    open_rows(file, format_name, shop_map)  # says what is wrong with it before --refused is emptied
    with writing_refused(refused_file, file, map_file) as refuse:
        if dry_run:
            surveyed = survey(file, format_name, shop_map, refuse=refuse)
            return show(surveyed, asked, as_json=as_json, ignore_refused=ignore_refused)
        _say_if_large(file)
        recording = open_recording(file, format_name, shop_map, refuse=refuse, folder=temp_dir, say=_say)
    for line in totals(file, recording.format, recording.tally):
        click.echo(line, err=as_json)
    problem = why_nothing_is_sent(file, recording.tally, ignore_refused=ignore_refused)
    if problem:
        raise SettingsError(problem)
    from stream.commands.load_run import Load, send

    return send(
        asked,
        Load(
            events=iter(recording),
            limit=recording.events,
            start_ms=recording.tally.first_ms,
            speed=None if flat_out else speed if speed is not None else 1.0,
            record_time="own",
            check_retention=not ignore_retention,
        ),
        progress=progress,
        as_json=as_json,
    )


def _say_if_large(file: Path) -> None:
    if file.is_file() and (size := file.stat().st_size) >= _LARGE_BYTES:
        _say(f"reading {file.name}, {size / 1e9:.1f} GB, before anything is sent: to count, check and order its events")


def _say(text: str) -> None:
    click.echo(text, err=True)
