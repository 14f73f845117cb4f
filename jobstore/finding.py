"""What people type, as a job's id: the whole id, its beginning, or its tail, which tells jobs of one minute apart."""

from __future__ import annotations

from difflib import get_close_matches

from sqlalchemy import ColumnElement, Connection, or_, select, true

from jobstore.errors import JobNotFound
from jobstore.schema import ENDED_STATES, JobId
from jobstore.tables import jobs

#: Shorter texts would name a job by accident.
SHORTEST = 4
_CANDIDATES_SHOWN = 5


def find_job(db: Connection, text: str, tenant: str | None) -> JobId:
    """Find a job by its id, or by a beginning or tail of at least four characters that no other job has.

    Raises:
        JobNotFound: none, or more than one; the message names the nearest, or the candidates.
    """
    wanted = text.strip().lower()
    mine = true() if tenant is None else jobs.c.tenant == tenant
    found = [JobId(row) for row in _matches(db, wanted, mine)]
    if len(found) == 1 or wanted in found:
        return found[0] if len(found) == 1 else JobId(wanted)
    if found:
        shown = ", ".join(found[:_CANDIDATES_SHOWN]) + (", ..." if len(found) > _CANDIDATES_SHOWN else "")
        raise JobNotFound(f"{text!r} fits more than one job: {shown}; give more characters")
    raise JobNotFound(f"no job {text!r}{_nearest(db, wanted, mine)}; see `nightshift jobs`")


def unended_job(db: Connection, tenant: str, token_prefix: str) -> JobId | None:
    """Give the newest job that has not ended and whose client token begins so; None: there is none."""
    mine = (jobs.c.tenant == tenant, jobs.c.client_token.startswith(token_prefix, autoescape=True))
    query = select(jobs.c.id).where(*mine, jobs.c.state.not_in(ENDED_STATES))
    found = db.execute(query.order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(1)).scalar_one_or_none()
    return None if found is None else JobId(found)


def _matches(db: Connection, wanted: str, mine: ColumnElement[bool]) -> list[str]:
    fits = jobs.c.id == wanted
    if len(wanted) >= SHORTEST:
        fits = or_(jobs.c.id.startswith(wanted, autoescape=True), jobs.c.id.endswith(wanted, autoescape=True))
    query = select(jobs.c.id).where(fits, mine).order_by(jobs.c.id.desc()).limit(_CANDIDATES_SHOWN + 1)
    return list(db.execute(query).scalars())


def _nearest(db: Connection, wanted: str, mine: ColumnElement[bool]) -> str:
    recent = db.execute(select(jobs.c.id).where(mine).order_by(jobs.c.created.desc()).limit(200)).scalars().all()
    if not recent:
        return ": there is no job yet"
    pieces = {piece: job_id for job_id in recent for piece in (job_id, job_id[: len(wanted)], job_id[-len(wanted) :])}
    close = get_close_matches(wanted, pieces, n=1)
    return f"; did you mean {pieces[close[0]]}?" if close else f"; the newest is {recent[0]}"
