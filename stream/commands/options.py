"""Flags that commands share; those of settings are made from `settings.describe()`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click

from stream.settings import Settings, describe

Command = TypeVar("Command", bound=Callable[..., Any])

SOURCES = ("bootstrap_servers", "clicks_topic", "searches_topic", "purchases_topic")
TOPICS = (
    *SOURCES,
    "purchase_intent_topic",
    "anomaly_scores_topic",
    "dead_letters_topic",
    "app_id",
    "partitions",
    "replication_factor",
    "min_insync_replicas",
    "retention_hours",
)
ALL = Settings.__struct_fields__


def setting_flags(*names: str) -> Callable[[Command], Command]:
    """Adds a flag for each of these settings. Values stay text: `settings.load` reads them, and says what is wrong."""
    kinds = get_type_hints(Settings)
    described = {name: (default, text) for name, default, text in describe()}

    def add(command: Command) -> Command:
        for name in reversed(names):  # click shows the option last added first
            default, text = described[name]
            flag = "--" + name.replace("_", "-")
            command = click.option(flag, metavar=_metavar(kinds[name]), help=f"{text} [{default}]")(command)
        return command

    return add


def progress_flag(command: Command) -> Command:
    """`--progress` or `--no-progress`; left out: None."""
    return click.option(
        "--progress/--no-progress", default=None, help="Show how far it is. [at a terminal, yes; else no]"
    )(command)


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return {int: "N", Path: "FOLDER"}.get(kind, "TEXT")
