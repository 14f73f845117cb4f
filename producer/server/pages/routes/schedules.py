"""Jobs that come back by the clock."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Form, Response
from fastapi.responses import RedirectResponse

from jobstore.encoding import is_storable
from jobstore.errors import ScheduleNotFound
from jobstore.tokens import Role
from producer.server.auth import Reader, Submitter
from producer.server.pages.rendering import PageRoute, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_RUNS = 5


class Act(StrEnum):
    """What a person tells a schedule to do."""

    PAUSE = "pause"
    RESUME = "resume"
    RUN = "run"


@router.get("/schedules")
def show_schedules(caller: Reader) -> Response:
    """List the tenant's schedules with their last runs."""
    store = caller.services.store.schedules
    found = [(each, store.runs(each.schedule_id, _RUNS)) for each in store.list(caller.tenant)]
    may_act = caller.role.covers(Role.SUBMITTER)
    return page(caller, "schedules.html", schedules=found, may_act=may_act, csrf=caller.csrf)


@router.post("/schedules/{act}")
def steer(caller: Submitter, act: Act, name: Annotated[str, Form(max_length=256)]) -> Response:
    """Stop a schedule's clock, start it again, or make a run due now."""
    if not is_storable(name):
        raise ScheduleNotFound("no schedule has a name with such characters")
    store = caller.services.store.schedules
    {Act.PAUSE: store.pause, Act.RESUME: store.resume, Act.RUN: store.run_now}[act](name, caller.tenant)
    return RedirectResponse("/schedules", status_code=303)
