"""`nightshift explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nightshift.cli.errors import NO_BACKEND
from nightshift.cli.output import json_option, print_json, print_rows
from nightshift.cli.request import decide_here, model_reference
from nightshift.cli.trust import trust_options, trust_settings
from nightshift.settings import load_settings

if TYPE_CHECKING:
    from inference_engine.negotiation import Candidate


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
    from workers.trusting import operator_hints

    settings = load_settings(**trust_settings(trust, allow_code))
    decision = decide_here(settings, model_reference(model), hardware, wishes)
    if as_json:
        chosen = decision.chosen
        print_json({**decision.to_record(), "chosen": chosen})
    else:
        columns = ("package", "backend", "quant", "verdict", "reason")
        print_rows(columns, [row for candidate in decision.candidates for row in rows_of(candidate)])
        for package in decision.packages.values():
            for warning in package.warnings:
                click.echo(f"note: {package.package_id}: {warning}", err=True)
        if hints := operator_hints(decision):
            click.echo(hints.lstrip("\n"), err=True)
    return 0 if decision.chosen is not None else NO_BACKEND


def rows_of(candidate: Candidate) -> list[tuple[str, ...]]:
    """Give a row for each reason; the candidate is named in the first."""
    name = (candidate.package_id, candidate.backend or "-", candidate.quantization, candidate.verdict)
    reasons = [
        f"{reason.code}: {reason.message}" + (f"     hint: {reason.hint}" if reason.hint else "")
        for reason in candidate.reasons
    ]
    first, *others = reasons or ["comes first of those that run here"]
    return [(*name, first), *(("", "", "", "", reason) for reason in others)]
