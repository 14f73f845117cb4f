"""Models, and what would run them where."""

from __future__ import annotations

from fastapi import APIRouter, Response

from producer.server.auth import Reader
from producer.server.pages.rendering import PageRoute, page
from producer.server.pages.views.decisions import decided
from producer.server.pages.views.models import model_lines

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: The class that every machine has.
_ALWAYS = "cpu"
#: Jobs that are asked for the models that they name.
_JOBS = 50


@router.get("/models")
def show_models(caller: Reader) -> Response:
    """List the models that the server finds, with the verdict for each class of hardware that somebody serves.

    Of models that jobs name by a path or a reference, which nobody looks up for a page, it shows what workers decided.
    """
    services = caller.services
    served = {hardware for row in services.store.fleet.workers() if row.state == "running" for hardware in row.serves}
    classes = sorted(served | {_ALWAYS})
    lines = model_lines(
        services.list_models(), classes, lambda model, hardware: services.explain(model, hardware, {}).candidates
    )
    known = {line.model for line in lines}
    latest = {job.model: job for job in reversed(services.store.jobs(tenant=caller.tenant, limit=_JOBS))}
    named = [(job, decided(services.store.decisions(job.job_id))) for job in latest.values() if job.model not in known]
    return page(caller, "models.html", models=lines, classes=classes, named=named)
