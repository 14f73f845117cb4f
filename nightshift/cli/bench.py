"""`nightshift models bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nightshift.cli.errors import NO_BACKEND
from nightshift.cli.output import duration, json_option, print_json, print_rows, say
from nightshift.cli.trust import trust_options, trust_settings
from nightshift.settings import load_settings
from producer.request import model_reference

if TYPE_CHECKING:
    from inference_engine.negotiation import Candidate, Decision
    from nightshift.settings import Settings

_COLUMNS = (
    "package",
    "backend",
    "precision",
    "batch x streams x threads",
    "images/s",
    "agreement",
    "verdict",
    "reason",
)
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
#: Pictures that measuring looks at; more need not be read.
_MOST = 12


@click.command()
@click.argument("model")
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Measure with the first pictures of this folder; else with generated ones.",
)
@click.option(
    "--budget",
    "budget_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds to measure in.",
)
@click.option("--streams", type=click.IntRange(min=1), help="Runs at once at most; by default one a core.")
@trust_options
@json_option
def bench(  # noqa: PLR0913 (click passes each option)
    *,
    model: str,
    images: Path | None,
    budget_s: float,
    streams: int | None,
    trust: tuple[str, ...] | bool | None,
    allow_code: bool,
    as_json: bool,
) -> int:
    """Measure everything that runs MODEL here, and compare what it says."""
    settings = load_settings(**trust_settings(trust, allow_code))
    decision = _measure(settings, model_reference(model), images, budget_s, streams)
    if as_json:
        print_json({**decision.to_record(), "chosen": decision.chosen})
    else:
        print_rows(_COLUMNS, [row_of(candidate) for candidate in decision.candidates])
        _say_how(decision)
    return 0 if decision.chosen is not None else NO_BACKEND


def _measure(settings: Settings, model: str, images: Path | None, budget_s: float, streams: int | None) -> Decision:
    from inference_engine.loading import decide
    from inference_engine.machine import probe_machine
    from inference_engine.measuring import measure
    from inference_engine.negotiation import Wishes
    from inference_engine.trust import trust_policy
    from inference_engine.tuning import Limits

    machine = probe_machine()
    wishes = Wishes(trust=trust_policy(settings.trust, settings.allow_local_code_packages))
    decision = decide(model, wishes, model_dirs=settings.all_model_dirs, machine=machine)
    if decision.chosen is None:
        return decision
    pictures = _pictures(images) if images else None
    return measure(decision, pictures, budget_s, Limits(machine.cpu_count, streams or machine.cpu_count))


def _pictures(folder: Path) -> list[Any]:
    """Read the first pictures of a folder by name.

    Raises:
        click.UsageError: there are none.
        ImageUnreadable: one of them cannot be decoded.
    """
    from inference_engine.inputs import as_rgb_images

    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)[:_MOST]
    if not files:
        raise click.UsageError(f"{folder} holds no picture ({', '.join(_PICTURES)}); give another folder, or none")
    return as_rgb_images(files)


def row_of(candidate: Candidate) -> tuple[str, ...]:
    """Give a candidate's row of the table."""
    found = candidate.measurement
    reasons = [f"{reason.code}: {reason.message}" for reason in candidate.reasons]
    told = "; ".join([*reasons, *(map(str, found.not_taken) if found else ())])
    agreement = (
        str(found.agreement) if found and found.agreement else "reference" if found and _agrees(candidate) else ""
    )
    return (
        candidate.package_id,
        candidate.backend or "-",
        candidate.quantization,
        str(found.setting) if found else "",
        f"{found.images_per_s:.1f}" if found else "",
        agreement,
        candidate.verdict,
        told,
    )


def _agrees(candidate: Candidate) -> bool:
    return candidate.verdict != "rejected"


def _say_how(decision: Decision) -> None:
    measured = decision.measured
    if measured is None:
        return
    where = "given pictures" if measured.source == "given" else "generated pictures (--images FOLDER takes yours)"
    say("measured", f"{measured.images} {where} in {duration(measured.seconds)}, the network alone")
    if not measured.is_complete:
        say("note", f"the budget of {duration(measured.budget_s)} was over before all had their turn")
