"""`nightshift completion`."""

from __future__ import annotations

import click

from nightshift.cli.output import json_option, print_json

_SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print what lets a shell complete nightshift's commands and options.")
@click.argument("shell", type=click.Choice(_SHELLS))
@json_option
def completion(shell: str, as_json: bool) -> None:
    r"""Print what lets a shell complete nightshift's commands and options.

    \b
    bash:  eval "$(nightshift completion bash)"      in ~/.bashrc
    zsh:   eval "$(nightshift completion zsh)"       in ~/.zshrc
    fish:  nightshift completion fish | source       in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from nightshift.cli import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click {click.__version__} completes nothing in {shell}")
    script = found(cli, {}, "nightshift", "_NIGHTSHIFT_COMPLETE").source()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
