"""Pages for people, rendered here; they work without JavaScript, and with it what changes updates itself.

None of them is part of the documented interface, which is `/v1`.
"""

from __future__ import annotations

from producer.server.pages.routes import acts, compare, item, job, jobs, machines, models, schedules, session

__all__ = ["ROUTERS"]

ROUTERS = tuple(module.router for module in (session, jobs, job, acts, item, machines, models, schedules, compare))
