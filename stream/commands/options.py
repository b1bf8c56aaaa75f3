"""Flags that commands share; those of settings are made from `settings.describe()`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click
from click.shell_completion import CompletionItem

from stream.settings import Settings, describe

Command = TypeVar("Command", bound=Callable[..., Any])

SOURCES = ("bootstrap_servers", "clicks_topic", "searches_topic", "purchases_topic")
TOPICS = (
    *SOURCES,
    "purchase_intent_topic",
    "anomaly_scores_topic",
    "dead_letters_topic",
    "models_topic",
    "erasures_topic",
    "app_id",
    "partitions",
    "replication_factor",
    "min_insync_replicas",
    "retention_hours",
)
ALL = Settings.__struct_fields__
_FORMATS = ("ga4", "rees46", "taobao", "jdata", "jd")  # as `replay.formats` has them, which takes long to import


def setting_flags(*names: str) -> Callable[[Command], Command]:
    """Adds a flag for each of these settings. Values stay text: `settings.load` reads them, and says what is wrong."""
    kinds = get_type_hints(Settings)
    described = {name: (default, text) for name, default, text in describe()}

    def add(command: Command) -> Command:
        for name in reversed(names):  # click shows the option last added first
            default, text = described[name]
            command = click.option(
                "--" + name.replace("_", "-"),
                metavar=_metavar(kinds[name]),
                help=f"{text} [{default}]",
                shell_complete=_completing(name, kinds[name]),
            )(command)
        return command

    return add


def json_flag(what: str) -> Callable[[Command], Command]:
    """`--json`, of a command whose result a machine may read: that goes to standard output, and all else does not."""

    def add(command: Command) -> Command:
        return click.option("--json", "as_json", is_flag=True, help=f"For machines: {what}.")(command)

    return add


def scenario_flag(command: Command) -> Command:
    """`--scenario`, of commands that simulate: passed on as `name_or_path`."""
    return click.option(
        "--scenario",
        "name_or_path",
        default="default",
        metavar="NAME|FILE",
        shell_complete=_scenarios,
        help="What the shop is like: default, demo (more fraud), jdata (near a recording), or a TOML file with what "
        "differs from default. [default]",
    )(command)


def format_flag(command: Command) -> Command:
    """`--format`, of commands that read a recording: passed on as `format_name`."""
    return click.option("--format", "format_name", type=click.Choice(_FORMATS), help="[the one whose shape FILE has]")(
        command
    )


def progress_flag(command: Command) -> Command:
    """`--progress` or `--no-progress`; left out: None."""
    return click.option(
        "--progress/--no-progress", default=None, help="Show how far it is. [at a terminal, yes; else no]"
    )(command)


def _scenarios(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    from stream.simulator import scenario

    known = [CompletionItem(name) for name in scenario.names() if name.startswith(begun)]
    return known or [CompletionItem(begun, type="file")]


def _completing(name: str, kind: Any) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """What a shell offers for the value of a setting: its choices, a folder, a model; else nothing."""

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        if kind is Path:
            return [CompletionItem(begun, type="dir")]
        known = get_args(kind) if get_origin(kind) is Literal else shipped_models() if name == "model" else ()
        offered = [CompletionItem(value) for value in known if value.startswith(begun)]
        return offered or ([CompletionItem(begun, type="file")] if name == "model" else [])

    return complete


def shipped_models() -> list[str]:
    """As `model_file.shipped`, which takes seconds to import."""
    return sorted(path.stem for path in (Path(__file__).parents[1] / "models").glob("*.safetensors"))


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return {int: "N", Path: "FOLDER"}.get(kind, "TEXT")
