"""Models, and what would run them where."""

from __future__ import annotations

from fastapi import APIRouter, Response

from producer.errors import MachineUnknown
from producer.explaining import meant_machine, words_of
from producer.server.auth import Reader
from producer.server.pages.rendering import PageRoute, page
from producer.server.pages.views.decisions import decided
from producer.server.pages.views.models import model_lines
from producer.server.pages.words import duration

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: Classes whose last worker was heard longer ago are not shown, in seconds.
_REMEMBERED_S = 30 * 86_400.0
#: Jobs that are asked for the models that they name.
_JOBS = 50


@router.get("/models")
def show_models(caller: Reader) -> Response:
    """List the models that the server finds, with the verdict for each class of hardware, as its workers' machines are.

    Of models that jobs name by a path or a reference, which nobody looks up for a page, it shows what workers decided.
    """
    services, machines, silent = caller.services, {}, []
    for hardware in services.store.fleet.classes_seen(_REMEMBERED_S):
        try:
            machines[hardware] = meant_machine(services.store.fleet, hardware)
        except MachineUnknown:
            silent.append(hardware)
    lines = model_lines(
        services.list_models(), machines, lambda model, machine: services.explain(model, machine, {}).candidates
    )
    known = {line.model for line in lines}
    latest = {job.model: job for job in reversed(services.store.jobs(tenant=caller.tenant, limit=_JOBS))}
    named = [(job, decided(services.store.decisions(job.job_id))) for job in latest.values() if job.model not in known]
    told = [(hardware, words_of(machine, duration)) for hardware, machine in machines.items()]
    return page(caller, "models.html", models=lines, machines=told, silent=silent, named=named)
