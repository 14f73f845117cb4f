"""What a tenant's schedule may ask for: held against the rules of the server when it is applied.

A schedule's job is submitted later by whoever keeps house, who knows of no caller; so nothing is applied that its
caller could not submit now.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from producer.server.aftercare import check_destination, check_secret
from producer.server.reading import check_place, is_path
from producer.sources.dates import fill_dates

if TYPE_CHECKING:
    from producer.jobfile import JobFile
    from producer.server.auth import Caller

_MAGIC = re.compile(r"[*?\[]")


def check_scheduled(caller: Caller, job: JobFile) -> None:
    """Refuse sources, models, places of exports and signing secrets that are not the caller's to name.

    Raises:
        FetchDenied, DestinationDenied.
        SourceInvalid: a date template that is none.
    """
    moment = datetime.now(ZoneInfo(job.schedule.timezone if job.schedule else "UTC"))
    for uri in job.source.uri:
        filled = fill_dates(uri, moment)
        check_place(caller, _MAGIC.split(filled)[0] if "://" in filled else filled)
    if is_path(job.model.id):
        check_place(caller, job.model.id)
    if job.output is not None:
        check_destination(caller, fill_dates(job.output.uri, moment))
    for each in job.notify:
        check_secret(caller, each.secret_env)
