"""Which backend would run a model on which machine: asked of whoever has the engine, which producers do without.

What can explain registers itself as the entry point `explain` of the group `producer`: a function like `explain` below.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from producer.ending import short
from producer.errors import ExplainUnavailable, MachineUnknown
from producer.gateway import Basis, MeantMachine
from producer.request import AUTO, classes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from jobstore.fleet import Fleet
    from jobstore.views import MachineReport
    from producer.gateway import Explanation

GROUP, NAME = "producer", "explain"


def explain(model: str, machine: MeantMachine, wishes: Mapping[str, Any]) -> Explanation:
    """Say which backend would run a model on a machine.

    Raises:
        ExplainUnavailable: nobody here has registered an engine.
        MachineUnknown: nothing can be assumed of the class, or its report cannot be read.
    """
    found = entry_points(group=GROUP, name=NAME)
    if not found:
        raise ExplainUnavailable(
            f"no package here can explain {model!r}: expected the entry point {NAME!r} of the group {GROUP!r}, which "
            'nightshift registers; install it whole, or ask a server: Producer("http://host:8000", token=...)'
        )
    answer = cast("Callable[[str, MeantMachine, Mapping[str, Any]], Explanation]", next(iter(found)).load())
    return answer(model, machine, wishes)


def meant_machine(fleet: Fleet, hardware: str, *, assume: bool = False) -> MeantMachine:
    """Give the machine of a class as its workers reported it; see `Gateway.explain`.

    Raises:
        MachineUnknown: no worker of the class ever did, and nothing is to be assumed.
    """
    if hardware == AUTO[0]:
        return _best_machine(fleet)
    if (found := fleet.machine_of_class(hardware)) is not None:
        return _reported(found)
    if assume:
        return MeantMachine(Basis.ASSUMED, hardware)
    raise MachineUnknown(
        f"no worker of the class {hardware} has ever told what machine it runs on: start one there, or ask for what "
        "the class's name implies (`assume`)"
    )


def words_of(machine: MeantMachine, duration: Callable[[float], str]) -> str:
    """Say for people what machine an explanation is for, and how that is known."""
    how = {
        Basis.LIVE: f"as worker {short(machine.worker_id or '')} reports it",
        Basis.LAST: f"as reported by worker {short(machine.worker_id or '')}, last heard of "
        f"{duration(machine.age_s or 0)} ago; none of this class runs now",
        Basis.ASSUMED: "assumed from the class's name, with the runtimes of the machine that answers; "
        "no worker has ever reported one",
        Basis.HERE: "the machine that answers; no worker runs",
    }[machine.basis]
    return f"{_devices(machine.report)}, {how}"


def _best_machine(fleet: Fleet) -> MeantMachine:
    """The machine that a job without a class would run on: of the best class that is served."""
    live = [worker for worker in fleet.workers() if worker.state == "running"]
    found = fleet.machine_of_class(classes_of(AUTO, live)[0]) if live else None
    return MeantMachine(Basis.HERE, AUTO[0]) if found is None or not found.is_live else _reported(found)


def _reported(found: MachineReport) -> MeantMachine:
    basis = Basis.LIVE if found.is_live else Basis.LAST
    return MeantMachine(basis, found.hardware, found.worker_id, found.heard, found.age_s, found.description)


def _devices(report: Mapping[str, Any]) -> str:
    """Name the GPUs of a report, or else its processor; reports come from other machines and may lack anything."""
    machine = report.get("machine") or {}
    gpus = ", ".join(str(gpu.get("name")) for gpu in machine.get("gpus") or ())
    cores = machine.get("cpu_count")
    return gpus or f"{machine.get('cpu_name') or 'a machine'}" + (f" with {cores} cores" if cores else "")
