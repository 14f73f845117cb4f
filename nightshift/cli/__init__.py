"""The command line. A command's module is imported when the command is called, so `--help` loads click and no more."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from nightshift.cli.interrupts import keep_interrupts

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SECTIONS", "LazyGroup", "cli", "main"]

#: Section of `--help` -> command -> its module under `nightshift.cli`, and its help in one line.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Daily": {
        "run": ("run", "Label pictures here and now: submit, wait, export."),
        "submit": ("run", "Hand a job to the workers and return."),
        "watch": ("watch", "Follow a job until it ends or needs attention, and leave with its exit status."),
        "status": ("jobs", "Show where a job stands."),
        "jobs": ("jobs", "List jobs, the newest first."),
        "pause": ("steer", "Stop a job until it is resumed."),
        "resume": ("steer", "Go on with a job that was paused or needs attention."),
        "retry": ("retry", "Run what failed, or was skipped, again in the same job."),
        "priority": ("steer", "Give a job another priority; higher goes first."),
        "cancel": ("jobs", "End a job; what was labelled stays, what was not is skipped."),
    },
    "Results": {
        "results": (
            "results",
            "Print a job's results, one JSON object a line; on a terminal a line of words each, but for --json.",
        ),
        "preview": ("preview", "Draw some of a job's pictures with what was found, on a page of their own."),
        "open": (
            "preview",
            "Open a job in the browser: its page on the server of the settings, or else some of its pictures.",
        ),
        "export": ("results", "Write a job's results as datasets, to a folder or a bucket."),
        "eval": ("evaluate", "Judge a job by labelled data: mAP, class by class."),
        "compare": ("compare", "Say what two jobs over the same pictures found differently."),
        "gates": ("gates", "Hold a job against the last good runs of the same thing."),
        "review": ("review", "Rank the pictures that the model is least sure of, for people to look at."),
        "capsule": ("capsule", "Write what went into a job and what came out, to run it again."),
        "replay": ("capsule", "Run a capsule's inputs again, and say whether the results are the same."),
    },
    "Models": {
        "models": ("models", "List the models that are found here, with their packages."),
        "explain": (
            "explain",
            "Say which backend would run a model, here or on the fleet, and why not the others.",
        ),
        "bench": ("bench", "Measure everything that runs MODEL here, and compare what it says."),
        "compile": ("compile", "Build a model for this machine's GPU."),
        "cache": ("cache", "List, verify or remove fetched packages; show or remove results of earlier runs."),
    },
    "Nightly": {
        "schedule": (
            "schedule",
            "Let jobs come back by the clock: apply a job file, list, show, run, pause, resume, rm.",
        ),
        "notify": ("notify", "Try a receiver of webhooks, and list what was sent."),
        "schema": ("schema", "Print the JSON Schema of a file, for editors."),
    },
    "Fleet": {
        "up": ("fleet", "Run workers and the pages here until Ctrl-C, with Redis if no broker is configured."),
        "serve": ("serve", "Serve HTTP and pages until Ctrl-C; jobs are done by workers elsewhere."),
        "prune": ("prune", "Remove old files of this machine's server and forget old workers; what jobs need stays."),
        "token": ("serve", "Make, list and take back the tokens that HTTP requests carry."),
        "worker": ("fleet", "Start workers for a fleet, list them, ask how they are, send one home."),
        "workers": ("fleet", "List worker processes of the last day, as they report themselves."),
        "queues": ("fleet", "Show what waits and what runs, queue by queue, and why."),
        "autoscale": ("fleet", "Show how much work each hardware class has."),
    },
    "Setup": {
        "init": ("init", "Write a settings file and a job file to begin with."),
        "doctor": ("doctor", "Check this machine, its runtimes, the broker and the database."),
        "config": (
            "config",
            "Show every setting, its value and what it means; with `path`, the file.",
        ),
        "db": ("db", "Upgrade or check the database's schema."),
        "demo": ("demo", "Make pages of handwritten digits, label them, judge the result."),
        "completion": ("completion", "Print what lets a shell complete nightshift's commands and options."),
    },
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help, and imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Give the names in the order of the help."""
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module that has the command."""
        for commands in SECTIONS.values():
            if cmd_name in commands:
                command = getattr(import_module(f"nightshift.cli.{commands[cmd_name][0]}"), cmd_name)
                return command if isinstance(command, click.Command) else None
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the sections from the table, importing nothing."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(f"{name:<9}", text) for name, (_, text) in commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of that name."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            raise click.UsageError(f"no command called {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"nightshift {version('nightshift')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print it.")
def cli() -> None:
    """Label image collections overnight, on whatever machines are there, with the reasons beside the results.

    Nothing has to be configured: on one machine, `nightshift run ./photos -m digits -o out` does it all.

    Exit status: 0 well, 1 error, 2 wrong call, 3 the job ended over its failure limit, 4 broker or database
    out of reach, 5 no backend can run the model, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status; the one place that turns exceptions into words and statuses."""
    keep_interrupts()
    try:
        status = cli.main(args=arguments, prog_name="nightshift", standalone_mode=False)
    except Exception as error:  # noqa: BLE001  (`report` raises again what nobody foresaw)
        from nightshift.cli.errors import report

        status = report(error)
    sys.exit(status if isinstance(status, int) else 0)
