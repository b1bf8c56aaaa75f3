"""The command `behaviour-stream`: what there is, in which order to meet it, and how each way of ending is told."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import click

from stream import __version__
from stream.commands import INTERRUPTED
from stream.commands.bench import bench
from stream.commands.compare import compare
from stream.commands.completion import completion
from stream.commands.demo import demo
from stream.commands.distill import distill
from stream.commands.doctor import doctor
from stream.commands.erase import erase
from stream.commands.evaluate import evaluate
from stream.commands.model import model
from stream.commands.parity import parity
from stream.commands.replay import replay
from stream.commands.service import broker, settings, topics, worker
from stream.commands.simulate import simulate
from stream.commands.size import size
from stream.commands.train import train
from stream.commands.tune import tune
from stream.commands.watch import watch
from stream.errors import BehaviourStreamError

# In the order in which help shows them
_SECTIONS: Sequence[tuple[str, Sequence[click.Command]]] = (
    ("See it work", (demo,)),
    ("Run it", (size, settings, topics, doctor, worker, model, erase)),
    ("Events in, scores out", (simulate, replay, watch)),
    ("Make it yours", (train, evaluate, tune, distill, parity)),
    ("Develop with it", (broker, bench, compare)),
    ("At the terminal", (completion,)),
)


class _Sections(click.Group):
    """Commands under headings, in the order of definition."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in _SECTIONS:
            with formatter.section(title):
                formatter.write_dl([(command.name or "", command.short_help or "") for command in commands])


@click.group(
    cls=_Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command has --help with examples. Exit codes: 1 doctor, parity, erase or size found an error, 2 wrong "
    "settings, 3 no broker, 4 state, 5 what should have passed did not, 6 a worker hung, 130 ctrl-C.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Purchase-intent and anomaly scores for every shop event, over Kafka.

    Clicks, searches and purchases come in on three topics; an LSTM that remembers each user scores every event, and
    the scores go out on two.

    \b
      behaviour-stream demo         all of it at once, on this machine

    \b
      behaviour-stream broker       or step by step: a broker, and
      behaviour-stream topics       in a second terminal its topics
      behaviour-stream worker       and the scorer; then
      behaviour-stream simulate     in a third one events,
      behaviour-stream watch        and in a fourth one their scores

    Settings are flags or environment variables: --bootstrap-servers is BEHAVIOUR_BOOTSTRAP_SERVERS.
    """


for _, _commands in _SECTIONS:
    for _command in _commands:
        cli.add_command(_command)


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line -> exit code. What a user can cause ends in a line on standard error, not in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a user id that the terminal's encoding lacks is no reason to end
    try:
        return int(cli.main(list(arguments), prog_name="behaviour-stream", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:  # ctrl-C
        return INTERRUPTED
    except BehaviourStreamError as error:
        click.echo(f"behaviour-stream: {error}", err=True)
        return error.exit_code
    except OSError as error:
        if error.filename is None:  # not about a file that the user named
            raise
        click.echo(f"behaviour-stream: {error.filename}: {error.strerror}", err=True)
        return 1


if __name__ == "__main__":
    main()
