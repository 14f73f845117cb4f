"""`nightshift explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nightshift.cli.errors import NO_BACKEND
from nightshift.cli.output import duration, json_option, print_json, print_rows, say
from nightshift.cli.trust import trust_options, trust_settings
from nightshift.explaining import decide_for
from nightshift.settings import load_settings
from nightshift.stack import open_store
from producer.request import AUTO, model_reference

if TYPE_CHECKING:
    from nightshift.settings import Settings
    from producer.gateway import MeantMachine


@click.command()
@click.argument("model")
@click.option(
    "--hardware",
    metavar="CLASS",
    help="On the fleet's machines of this class, as their workers told them: cpu, gpu-sm90, auto ... "
    "[default: on this machine].",
)
@click.option("--assume", is_flag=True, help="Of a class that no worker ever told, assume what its name implies.")
@click.option("--backend", help="As if this backend was asked for.")
@click.option("--quantization", help="As if this precision was asked for.")
@click.option(
    "--batch", "batch_size", type=click.IntRange(min=1), help="As if runs of so many pictures were asked for."
)
@trust_options
@json_option
def explain(
    model: str,
    *,
    hardware: str | None,
    assume: bool,
    trust: tuple[str, ...] | bool | None,
    allow_code: bool,
    as_json: bool,
    **wishes: Any,
) -> int:
    """Say which backend would run a model, here or on the fleet, and why not the others. Opens nothing."""
    from inference_engine.decision_table import columns, rows
    from producer.explaining import words_of
    from workers.trusting import operator_hints

    settings = load_settings(**trust_settings(trust, allow_code))
    given = {name: value for name, value in wishes.items() if value is not None}
    meant = _meant(settings, hardware, assume=assume)
    decision, machine = decide_for(settings, model_reference(model), meant, given)
    if as_json:
        print_json({**decision.to_record(), "chosen": decision.chosen, "machine": machine})
    else:
        if hardware is not None:
            say(machine.hardware, words_of(machine, duration))
        print_rows(columns(decision.candidates), rows(decision.candidates))
        for package in decision.packages.values():
            for warning in package.warnings:
                click.echo(f"note: {package.package_id}: {warning}", err=True)
        if hints := operator_hints(decision):
            click.echo(hints.lstrip("\n"), err=True)
    return 0 if decision.chosen is not None else NO_BACKEND


def _meant(settings: Settings, hardware: str | None, *, assume: bool) -> MeantMachine:
    """Give the machine that is asked about: this one, unless a class is named."""
    from producer.explaining import meant_machine
    from producer.gateway import Basis, MeantMachine

    if hardware is None:
        return MeantMachine(Basis.HERE, AUTO[0])
    with open_store(settings) as store:
        return meant_machine(store.fleet, hardware, assume=assume)
