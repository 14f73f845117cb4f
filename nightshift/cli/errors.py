"""From an exception to `error:`, `cause:` and `hint:` lines on stderr, and to the exit status."""

from __future__ import annotations

import os
import sys

import click

#: Exit statuses; 0 is well and 130 interrupted, as in every shell.
ERROR, USAGE, OVER_FAILURE_LIMIT, UNREACHABLE, NO_BACKEND, INTERRUPTED = 1, 2, 3, 4, 5, 130

#: Code of an error -> exit status, where that is not 1.
STATUS_OF_CODE = {
    "store_unavailable": UNREACHABLE,
    "broker_unavailable": UNREACHABLE,
    "redis_not_found": UNREACHABLE,
    "redis_failed": UNREACHABLE,
    "provider_unavailable": UNREACHABLE,
    "source_unavailable": UNREACHABLE,
    "no_runnable_backend": NO_BACKEND,
    "settings_invalid": USAGE,
    "setting_invalid": USAGE,
    "source_invalid": USAGE,
    "source_not_found": USAGE,
    "source_empty": USAGE,
    "source_unsupported": USAGE,
    "manifest_invalid": USAGE,
    "job_file_invalid": USAGE,
    "invalid_schedule": USAGE,
    "format_unknown": USAGE,
    "format_unsuitable": USAGE,
    "export_option_invalid": USAGE,
    "parameter_invalid": USAGE,
    "invalid_job": USAGE,
    "filter_invalid": USAGE,
}

#: Code of an error -> what to do, where the error does not say it itself.
HINT_OF_CODE = {
    "model_not_found": "nightshift models     or give a folder or an .onnx file: -m ./my_model",
    "no_runnable_backend": "nightshift explain MODEL     shows each candidate with what it lacks",
    "machine_unknown": "nightshift explain MODEL     without --hardware judges for this machine",
    "provider_unauthorized": "set ROBOFLOW_API_KEY, or HF_TOKEN for hf:// models",
    "job_not_found": "nightshift jobs",
    "format_unsuitable": "nightshift export JOB -f FORMAT -o DEST     the results are kept",
    "schema_outdated": "nightshift db upgrade",
    "store_unavailable": "see that the database of NIGHTSHIFT_DATABASE_URL runs, then: nightshift doctor",
    "broker_unavailable": "see that the Redis of NIGHTSHIFT_BROKER_URL runs, then: nightshift doctor",
}


def report(error: Exception) -> int:
    """Print an error as people should see it, and give the exit status; a defect of ours is raised again.

    An error is one that was foreseen if its class has a `code`, as all of ours have, or if click raised it.
    """
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        click.echo("interrupted; a job that was accepted is kept: nightshift jobs", err=True)
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):  # `nightshift results JOB | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # a command of commands, and none was named
        click.echo(error.format_message(), err=True)
        return USAGE
    if isinstance(error, click.ClickException):
        message, cause, hint = usage_lines(error)
        print_error(message, cause, hint)
        return USAGE
    if not hasattr(error, "code"):
        raise error
    print_error(*error_lines(error))
    return STATUS_OF_CODE.get(error.code, ERROR)


def usage_lines(error: click.ClickException) -> tuple[str, str, str]:
    """Give the three lines of a wrong call."""
    message = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"{context.command_path} --help" if context is not None else "nightshift --help"
    return message[:1].lower() + message[1:].rstrip("."), "", hint


def error_lines(error: Exception) -> tuple[str, str, str]:
    """Give what happened, why, and what to do. Further lines of the message are the cause."""
    message, _, rest = str(error).partition("\n")
    cause = getattr(error, "cause", "") or rest
    code = str(getattr(error, "code", ""))
    hint = getattr(error, "hint", "") or HINT_OF_CODE.get(code, "")
    return message or type(error).__name__, cause, "" if hint in str(error) else hint


def print_error(message: str, cause: str = "", hint: str = "") -> None:
    """Print the lines that there are, to stderr, red where that is a terminal that wants colour."""
    click.echo(f"{paint('error:', 'red')} {message}", err=True)
    for label, text in (("cause:", cause), ("hint:", hint)):
        if text:
            click.echo(f"  {paint(label, 'cyan')} " + text.strip("\n").replace("\n", "\n         "), err=True)


def paint(text: str, color: str) -> str:
    """Colour text for a person, unless NO_COLOR is set (no-color.org) or stderr is no terminal."""
    return click.style(text, fg=color, bold=True) if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else text
