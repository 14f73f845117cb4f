"""Pages for people, rendered here; they work without JavaScript, and with it what changes updates itself."""

from __future__ import annotations

from fastapi import APIRouter

from producer.server.pages.routes import acts, compare, item, job, jobs, machines, models, schedules, session

#: None of it is part of the documented interface, which is `/v1`.
router = APIRouter(include_in_schema=False)
for module in (session, jobs, job, acts, item, machines, models, schedules, compare):
    router.include_router(module.router)
