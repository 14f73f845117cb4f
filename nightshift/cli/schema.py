"""`nightshift schema`: what editors check files with."""

from __future__ import annotations

import json

import click

from nightshift.cli.output import json_option


@click.group()
def schema() -> None:
    """Print the JSON Schema of a file, for editors."""


@schema.command()
@json_option
def job(as_json: bool) -> None:
    """Print the JSON Schema of job files; with --json on one line."""
    from producer.jobfile import job_file_schema

    click.echo(json.dumps(job_file_schema(), indent=None if as_json else 2))
