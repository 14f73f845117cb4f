"""`nightshift explain`."""

from __future__ import annotations

from typing import Any

import click

from nightshift.cli.errors import NO_BACKEND
from nightshift.cli.output import json_option, print_json, print_rows
from nightshift.cli.trust import trust_options, trust_settings
from nightshift.explaining import decide_here
from nightshift.settings import load_settings
from producer.request import model_reference


@click.command()
@click.argument("model")
@click.option("--hardware", default="auto", show_default=True, help="Hardware class: auto, cpu, gpu-sm90 ...")
@click.option("--backend", help="As if this backend was asked for.")
@click.option("--quantization", help="As if this precision was asked for.")
@click.option(
    "--batch", "batch_size", type=click.IntRange(min=1), help="As if runs of so many pictures were asked for."
)
@trust_options
@json_option
def explain(
    model: str, hardware: str, trust: tuple[str, ...] | bool | None, allow_code: bool, as_json: bool, **wishes: Any
) -> int:
    """Say which backend would run a model here, and why not the others. Opens nothing."""
    from inference_engine.decision_table import columns, rows
    from workers.trusting import operator_hints

    settings = load_settings(**trust_settings(trust, allow_code))
    given = {name: value for name, value in wishes.items() if value is not None}
    decision = decide_here(settings, model_reference(model), hardware, given)
    if as_json:
        chosen = decision.chosen
        print_json({**decision.to_record(), "chosen": chosen})
    else:
        print_rows(columns(decision.candidates), rows(decision.candidates))
        for package in decision.packages.values():
            for warning in package.warnings:
                click.echo(f"note: {package.package_id}: {warning}", err=True)
        if hints := operator_hints(decision):
            click.echo(hints.lstrip("\n"), err=True)
    return 0 if decision.chosen is not None else NO_BACKEND
