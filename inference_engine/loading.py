"""From a model's name to a running model: the only module that joins all the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference_engine.backends import backend, offers
from inference_engine.custom import load_custom
from inference_engine.errors import DownloadRefused, NoRunnableBackend, PackageInvalid, ProviderError, SessionFailed
from inference_engine.families import recipe
from inference_engine.finding import find, local_package
from inference_engine.machine import Machine, probe_machine
from inference_engine.model import VisionModel
from inference_engine.negotiation import BACKEND_ORDER, Candidate, Decision, Offer, Reason, Wishes, negotiate
from inference_engine.network_input import rectangular
from inference_engine.packages import ModelPackage
from inference_engine.providers import ProviderOptions
from inference_engine.remote_packages import RemotePackage
from inference_engine.sessions import Session, SessionOptions
from inference_engine.widths import check_widths

#: What opens packages with their own Python; they need no runtime that we know of.
CUSTOM = "custom-code"

logger = logging.getLogger(__name__)


def decide(
    reference: str,
    wishes: Wishes,
    *,
    model_dirs: Sequence[Path] = (),
    order: tuple[str, ...] = BACKEND_ORDER,
    machine: Machine | None = None,
    provider_options: ProviderOptions = ProviderOptions(),  # noqa: B008 (frozen)
) -> Decision:
    """Steps 1 to 6: find the packages and judge every candidate; nothing is fetched and nothing opened."""
    found = find(reference, model_dirs, provider_options)
    machine = machine or probe_machine()
    own_code = Offer(CUSTOM, frozenset({CUSTOM}), devices=("cpu", "cuda") if machine.gpus else ("cpu",))
    return negotiate(
        found.model_id,
        found.packages,
        {**offers(machine), CUSTOM: own_code},
        wishes,
        machine=machine,
        broken=found.broken,
        order=order,
    )


def open_decided(
    decision: Decision,
    options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
    *,
    attempts: int | None = None,
) -> Any:
    """Steps 7 and 8: fetch and open the chosen candidate; see `open_first`.

    Returns:
        A `VisionModel`, or what the class of a custom-code package makes.
    """
    return open_first(decision, options, attempts)[0]


def open_first(
    decision: Decision,
    options: SessionOptions = SessionOptions(),  # noqa: B008 (frozen)
    attempts: int | None = None,
) -> tuple[Any, Decision]:
    """Open the chosen candidate; one that does not open is rejected and the next one tried.

    Args:
        options: threads, runs at once and switches where they were not measured; what was measured wins.
        attempts: candidates that are opened at most, a fetched package that heals counted once; None: all.

    Returns:
        What was opened, and the decision that it came of.

    Raises:
        NoRunnableBackend: nothing is left; the message is the table of all candidates.
        ProviderError, DownloadRefused: the chosen package cannot be fetched, which is no reason to fetch another.
    """
    healed: set[str] = set()
    failed = 0
    while (chosen := decision.chosen) is not None and failed != attempts:
        offered = decision.packages[chosen.package_id]
        try:
            return open_candidate(decision, chosen, measured_options(chosen, options)), decision
        except (ProviderError, DownloadRefused):
            raise
        except Exception as error:  # noqa: BLE001 (recorded as the reason, and the next candidate runs)
            # A runtime that is installed and broken shows itself only here, and with anything: OSError for a missing
            # library, RuntimeError from its own initialisation, AttributeError beside a numpy that it does not know.
            if chosen.package_id not in healed and _heals(offered):
                healed.add(chosen.package_id)
                continue
            logger.warning("%s on %s does not open: %s", chosen.package_id, chosen.backend, error)
            decision, failed = _without(decision, chosen, error), failed + 1
    stopped = f" (stopped after {failed} attempts)" if decision.chosen else ""
    raise NoRunnableBackend(f"nothing here runs {decision.model_id}{stopped}:\n{decision}")


def _without(decision: Decision, failed: Candidate, error: Exception) -> Decision:
    """The decision without a candidate; files that are wrong are wrong on every backend, and not fetched for each."""
    if isinstance(error, PackageInvalid) and isinstance(decision.packages[failed.package_id], RemotePackage):
        return decision.without_package(failed.package_id, Reason("package_invalid", str(error)))
    return decision.without(failed, open_failed(error))


def open_candidate(decision: Decision, candidate: Candidate, options: SessionOptions) -> Any:
    """Open one candidate in its precision; whatever its runtime raises comes through."""
    package = local_package(decision.packages[candidate.package_id])
    if candidate.backend == CUSTOM:
        return load_custom(package, candidate.device)
    made = recipe(package.family, package.task)
    wanted = replace(options, precision=candidate.quantization if candidate.is_lowered else None)
    shaped = _rectangular(package) if options.rectangular else package
    session: Session = backend(candidate.backend).open_session(package, candidate.device, wanted)
    # None where a recipe's tensors follow each picture, as those of models that write; a folder of Hugging Face says
    # both what its session takes and what its recipe makes.
    if session.inputs and package.kind != "hf":
        _check_fits(session, package, is_free=options.rectangular)
    check_widths(session.outputs, package)
    parts = {
        name: backend(candidate.backend).open_session(package.part(name), candidate.device, wanted)
        for name in package.parts
    }
    return (made.model or VisionModel)(shaped, session, made, decision, parts)


def switches(candidate: Candidate, package: ModelPackage) -> tuple[str, ...]:
    """Switches of `SessionOptions` that change how a candidate runs; see `measurements.SWITCHES`."""
    if candidate.backend == CUSTOM:
        return ()
    known = backend(candidate.backend).switches(package, candidate.device)
    takes_shapes = rectangular(package.config.network_input) is not None
    return tuple(name for name in known if name != "rectangular" or takes_shapes)


def open_failed(error: Exception) -> Reason:
    """The reason against a candidate that did not open."""
    return Reason("open_failed", f"{type(error).__name__}: {error}")


def measured_options(candidate: Candidate, options: SessionOptions) -> SessionOptions:
    """The options with what the fastest setting says; as they are where nothing was measured."""
    return candidate.measurement.setting.options(options) if candidate.measurement else options


def _rectangular(package: ModelPackage) -> ModelPackage:
    network = rectangular(package.config.network_input)
    if network is None:
        raise SessionFailed(f"{package.package_id} takes pictures of one height and width, not rectangular ones")
    return replace(package, config=replace(package.config, network_input=network))


def _heals(package: ModelPackage | RemotePackage) -> bool:
    """Whether files of a fetched package were damaged on this disk, so that fetching them again may help."""
    return isinstance(package, RemotePackage) and package.origin is not None and package.origin.heal(package)


def _check_fits(session: Session, package: ModelPackage, *, is_free: bool) -> None:
    """The artefact must take what the package's configuration makes; else every image would fail while running.

    Args:
        is_free: its height and width must be free, whatever the file says that the configuration promises.
    """
    wanted = (package.static_batch_size, 3, *package.config.network_input.hw)
    # Beside the picture there may be a mask, which has no channels, words, or the sizes that boxes are scaled to.
    found = [spec.shape for spec in session.inputs if len(spec.shape) not in (2, 3)]
    if len(found) != 1 or len(found[0]) != 4 or not all(map(_agrees, found[0], wanted)):
        session.close()
        raise PackageInvalid(
            f"{package.weights}: inputs of shape {found}, the package's configuration says {wanted} (None: any size)"
        )
    if is_free and found[0][2:] != (None, None):
        session.close()
        raise SessionFailed(f"{package.weights} has a fixed height and width, {found[0][2:]}, in spite of its package")


def _agrees(size: int | None, wanted: int | None) -> bool:
    return size is None or size == wanted
