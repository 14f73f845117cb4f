"""Which backend would run a model on a machine; what `nightshift explain` prints and `Producer.explain` answers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from nightshift.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference_engine.machine import Machine
    from inference_engine.negotiation import Decision
    from producer.gateway import Explanation, MeantMachine


def explain(model: str, machine: MeantMachine, wishes: Mapping[str, Any]) -> Explanation:
    """Answer for producers, which know no engine: the entry point `explain` of the group `producer`.

    Raises:
        ModelNotFound, PackageInvalid, ParameterInvalid.
        MachineUnknown: nothing can be assumed of the class, or its report cannot be read.
    """
    from producer.gateway import Explanation

    decision, judged_for = decide_for(load_settings(), model, machine, wishes)
    packages = decision.packages
    meant = packages[decision.chosen.package_id] if decision.chosen is not None else next(iter(packages.values()), None)
    return Explanation(
        model=decision.model_id,
        task=None if meant is None else meant.task,
        chosen=None if decision.chosen is None else dataclasses.asdict(decision.chosen),
        candidates=tuple(dataclasses.asdict(candidate) for candidate in decision.candidates),
        warnings=tuple(f"{each.package_id}: {words}" for each in packages.values() for words in each.warnings),
        machine=judged_for,
    )


def decide_for(
    settings: Settings, model: str, machine: MeantMachine, wishes: Mapping[str, Any]
) -> tuple[Decision, MeantMachine]:
    """Say what would run the model on a machine of the fleet; opens nothing. Gives the machine with its report, too.

    Raises:
        ModelNotFound, PackageInvalid: there is no such model.
        ParameterInvalid: a wish that cannot be.
        MachineUnknown: nothing can be assumed of the class, or its report cannot be read.
    """
    from workers.machine_reports import report_of

    judged = _machine(machine)
    decision = decide_here(settings, model, machine.hardware, wishes, judged)
    return decision, dataclasses.replace(machine, report=machine.report or report_of(judged))


def decide_here(
    settings: Settings, model: str, hardware: str, wishes: Mapping[str, Any], machine: Machine | None = None
) -> Decision:
    """Say what this machine, or the one that is given, would run the model with; opens nothing.

    Raises:
        ModelNotFound, PackageInvalid: there is no such model.
        ParameterInvalid: a wish that cannot be.
    """
    from inference_engine.loading import decide
    from inference_engine.trust import trust_policy
    from workers.wishing import read_wishes

    device = next((name for name in ("auto", "cpu") if hardware.startswith(name)), "cuda")
    asked = read_wishes(wishes, device, trust_policy(settings.trust, settings.allow_local_code_packages))
    return decide(
        model,
        asked.wishes,
        model_dirs=settings.all_model_dirs,
        order=asked.order,
        machine=machine,
        provider_options=settings.provider_options,
    )


def _machine(meant: MeantMachine) -> Machine:
    from inference_engine.machine import probe_machine
    from producer.errors import MachineUnknown
    from producer.gateway import Basis
    from workers.machine_reports import ReportUnreadable, assumed_machine, machine_of

    if meant.basis is Basis.HERE:
        return probe_machine()
    if meant.basis is Basis.ASSUMED:
        assumed = assumed_machine(meant.hardware, probe_machine())
        if assumed is None:
            raise MachineUnknown(
                f"nothing follows from the name {meant.hardware}: expected cpu, cpu-amx or gpu-sm90 ..."
            )
        return assumed
    try:
        return machine_of(meant.report)
    except ReportUnreadable as error:
        raise MachineUnknown(
            f"what worker {meant.worker_id} of the class {meant.hardware} told of its machine cannot be used: {error}"
        ) from error
