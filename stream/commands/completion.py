"""`completion`: the script by which a shell completes commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, add_completion_class, get_completion_class

_PROGRAM = "behaviour-stream"
_VARIABLE = "_BEHAVIOUR_STREAM_COMPLETE"  # in which the script asks; click answers before a command runs


@add_completion_class
class _BashComplete(BashComplete):
    """Click's, which offers nothing after `--device=c`: bash hands it on as three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        words, begun = super().get_completion_args()
        return [word for word in words if word != "="], begun


@click.command("completion", short_help="TAB in bash, zsh or fish")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, choices and files with TAB.

    Nothing is installed: one of these lines, put where the shell reads it, does.

    \b
      eval "$(behaviour-stream completion bash)"
          in ~/.bashrc (bash 4.4 or newer)
      eval "$(behaviour-stream completion zsh)"
          in ~/.zshrc, below `autoload -U compinit; compinit`
      behaviour-stream completion fish | source
          in ~/.config/fish/completions/behaviour-stream.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    click.echo(kind(context.find_root().command, {}, _PROGRAM, _VARIABLE).source())
