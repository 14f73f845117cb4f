"""What a tenant's schedule may ask for: held against the rules of the server when it is applied.

A schedule's job is submitted later by whoever keeps house, who knows of no caller; so nothing is applied that its
caller could not submit now.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from fetching.errors import FetchDenied
from jobstore.schema import DEFAULT_TENANT
from producer.server.reading import check_place, exports_of, is_inside, is_path
from producer.sources.dates import fill_dates

if TYPE_CHECKING:
    from producer.jobfile import JobFile
    from producer.server.auth import Caller

_MAGIC = re.compile(r"[*?\[]")


def check_scheduled(caller: Caller, job: JobFile) -> None:
    """Refuse sources, models, places of exports and signing secrets that are not the caller's to name.

    Raises:
        FetchDenied.
        SourceInvalid: a date template that is none.
    """
    moment = datetime.now(ZoneInfo(job.schedule.timezone if job.schedule else "UTC"))
    for uri in job.source.uri:
        filled = fill_dates(uri, moment)
        check_place(caller, _MAGIC.split(filled)[0] if "://" in filled else filled)
    if is_path(job.model.id):
        check_place(caller, job.model.id)
    if job.output is not None:
        dest = fill_dates(job.output.uri, moment)
        if not dest.startswith("s3://") and not is_inside(dest, exports_of(caller.services.options, caller.tenant)):
            raise FetchDenied(f"output {job.output.uri} is a folder of the server; expected s3://bucket/prefix")
        if dest.startswith("s3://"):
            check_place(caller, dest)
    prefix = re.sub(r"[^A-Z0-9]", "_", caller.tenant.upper()) + "_"
    for each in job.notify:
        is_foreign = caller.tenant != DEFAULT_TENANT and not (each.secret_env or prefix).startswith(prefix)
        if is_foreign:
            raise FetchDenied(f"secret_env {each.secret_env} is not this tenant's; expected a name like {prefix}HOOK")
