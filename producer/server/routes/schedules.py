"""Schedules: apply, list, look at one, run now, pause, resume, forget."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from jobstore.encoding import is_storable
from jobstore.errors import ScheduleNotFound
from jobstore.schedules import Applied, Schedule
from producer.answers import Page, ScheduleAnswer, ScheduledRun
from producer.jobfile import parse_job
from producer.server.auth import Caller, Reader, Submitter
from producer.server.bodies import JSON, answer, gives, json_body, listed
from producer.server.problems import AnsweringRoute
from producer.server.scheduled import check_scheduled

router = APIRouter(
    prefix="/v1/schedules", tags=["schedules"], route_class=AnsweringRoute, default_response_class=Response
)

#: Runs that an answer tells of.
_RUNS = 5
_BODY = {
    "requestBody": {
        "required": True,
        "description": "A job file with `schedule`; `nightshift schema job` prints its schema. The name is the path's.",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/JobFile"}}},
    }
}
Name = Annotated[str, Path(min_length=1, max_length=200)]


@router.put(
    "/{name}", status_code=200, responses=gives(ScheduleAnswer, 200, more=(201,)), openapi_extra=_BODY
)  # fmt: skip
def apply(
    caller: Submitter, name: Name, body: Annotated[dict[str, Any], Depends(json_body(dict[str, Any]))]
) -> Response:
    """Make the schedule of this name, or change it; what is unchanged keeps its next time. 201: it is new."""
    job = parse_job({**body, "name": name})
    check_scheduled(caller, job)
    found, applied = caller.services.store.schedules.apply(job.schedule_spec(caller.tenant))
    return answer(_told(caller, found), 201 if applied is Applied.CREATED else 200)


@router.get("", responses=gives(listed(ScheduleAnswer)))
def list_schedules(caller: Reader) -> Response:
    """List schedules by name, each with its next time in words and its last runs."""
    return answer(Page([_told(caller, each) for each in caller.services.store.schedules.list(caller.tenant)]))


@router.get("/{name}", responses=gives(ScheduleAnswer))
def show(caller: Reader, name: Name) -> Response:
    """Give one schedule."""
    return answer(_told(caller, _found(caller, name)))


@router.delete("/{name}", status_code=204, responses=gives(status=204))
def remove(caller: Submitter, name: Name) -> Response:
    """Forget a schedule and the list of its runs; its jobs stay."""
    caller.services.store.schedules.remove(_found(caller, name).name, caller.tenant)
    return Response(status_code=204)


@router.post("/{name}:run", status_code=202, responses=gives(ScheduledRun, 202))
def run_now(caller: Submitter, name: Name) -> Response:
    """Make a run due at this moment; its job is in the schedule's `runs` as soon as it is submitted."""
    found = _found(caller, name)
    return answer(ScheduledRun(found.name, caller.services.store.schedules.run_now(found.name, caller.tenant)), 202)


@router.post("/{name}:pause", responses=gives(ScheduleAnswer))
def pause(caller: Submitter, name: Name) -> Response:
    """Stop the clock of a schedule; times that pass meanwhile are not made up for."""
    caller.services.store.schedules.pause(_found(caller, name).name, caller.tenant)
    return answer(_told(caller, _found(caller, name)))


@router.post("/{name}:resume", responses=gives(ScheduleAnswer))
def resume(caller: Submitter, name: Name) -> Response:
    """Go on with a paused schedule at the first time that comes."""
    caller.services.store.schedules.resume(_found(caller, name).name, caller.tenant)
    return answer(_told(caller, _found(caller, name)))


def _found(caller: Caller, name: str) -> Schedule:
    if not is_storable(name):
        raise ScheduleNotFound("no schedule has a name with such characters")
    return caller.services.store.schedules.get(name, caller.tenant)


def _told(caller: Caller, found: Schedule) -> ScheduleAnswer:
    runs = caller.services.store.schedules.runs(found.schedule_id, _RUNS)
    plain = ("schedule_id", "name", "job", "cron", "timezone", "catch_up", "overlap", "state", "next_at", "in_words")
    return ScheduleAnswer(**{name: getattr(found, name) for name in plain}, runs=tuple(runs))
