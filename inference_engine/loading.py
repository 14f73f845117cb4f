"""From a model's name to a running model: the only module that joins all the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inference_engine.backends import backend, offers
from inference_engine.custom import load_custom
from inference_engine.errors import NoRunnableBackend, PackageInvalid
from inference_engine.families import recipe
from inference_engine.machine import Machine, probe_machine
from inference_engine.model import VisionModel
from inference_engine.negotiation import BACKEND_ORDER, Decision, Offer, Reason, Wishes, negotiate
from inference_engine.packages import ModelPackage
from inference_engine.providers.local import find_model
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
) -> Decision:
    """Steps 1 to 6: find the packages and judge every candidate; nothing is opened."""
    found = find_model(reference, model_dirs)
    machine = machine or probe_machine()
    own_code = Offer(CUSTOM, frozenset({CUSTOM}), devices=("cpu", "cuda") if machine.gpus else ("cpu",))
    return negotiate(
        found.model_id,
        found.packages,
        {**offers(machine), CUSTOM: own_code},
        wishes,
        broken=found.broken,
        order=order,
    )


def open_decided(decision: Decision, options: SessionOptions) -> Any:
    """Step 8: open the chosen candidate; one that does not open is rejected and the next one tried.

    Returns:
        A `VisionModel`, or what the class of a custom-code package makes.

    Raises:
        NoRunnableBackend: nothing is left; the message is the table of all candidates.
    """
    while (chosen := decision.chosen) is not None:
        package = decision.packages[chosen.package_id]
        try:
            if chosen.backend == CUSTOM:
                return load_custom(package, chosen.device)
            made = recipe(package.family, package.task)
            session: Session = backend(chosen.backend).open_session(package, chosen.device, options)
            _check_fits(session, package)
            check_widths(session.outputs, package)
        except Exception as error:  # noqa: BLE001 (recorded as the reason, and the next candidate runs)
            # A runtime that is installed and broken shows itself only here, and with anything: OSError for a missing
            # library, RuntimeError from its own initialisation, AttributeError beside a numpy that it does not know.
            logger.warning("%s on %s does not open: %s", chosen.package_id, chosen.backend, error)
            decision = decision.without(chosen, Reason("open_failed", f"{type(error).__name__}: {error}"))
            continue
        return VisionModel(package, session, made, decision)
    raise NoRunnableBackend(f"nothing here runs {decision.model_id}:\n{decision}")


def _check_fits(session: Session, package: ModelPackage) -> None:
    """The artefact must take what the package's configuration makes; else every image would fail while running."""
    wanted = (package.static_batch_size, 3, *package.config.network_input.hw)
    found = [spec.shape for spec in session.inputs]
    if len(found) != 1 or len(found[0]) != 4 or not all(map(_agrees, found[0], wanted)):
        session.close()
        raise PackageInvalid(
            f"{package.weights}: inputs of shape {found}, the package's configuration says {wanted} (None: any size)"
        )


def _agrees(size: int | None, wanted: int | None) -> bool:
    return size is None or size == wanted
