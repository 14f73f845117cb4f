"""What a relay finds and mends: dead workers, lost hints, jobs over their time or their limits. Any number may run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobstore import canary, policy, relay_statements, routing, stragglers

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobstore.connection import Database
    from jobstore.schema import JobId


class Repairs:
    """What keeps a store's jobs going; every method is one transaction, and doing it twice is harmless."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def expire_leases(self, max_deaths: int) -> int:
        """Take back the shards of dead workers; split those that lost `max_deaths` of them."""
        return self._db.write(lambda db: relay_statements.expire_leases(db, max_deaths))

    def hints_overdue(self, queues: Collection[str], older_than_s: float) -> bool:
        """Say whether one of these queues has a hint that nobody took for so long."""
        return self._db.read(lambda db: relay_statements.hints_overdue(db, queues, older_than_s))

    def requeue_lost(self, queues: Collection[str], older_than_s: float) -> int:
        """Make old hints of queues that Redis holds empty due again."""
        return self._db.write(lambda db: relay_statements.requeue_lost(db, queues, older_than_s))

    def hinted_queues(self) -> list[str]:
        """List the queues that should hold hints in Redis."""
        return self._db.read(relay_statements.hinted_queues)

    def forget_hints(self) -> int:
        """Make every hint due again, after Redis lost its memory."""
        return self._db.write(relay_statements.forget_hints)

    def recall_outranked(self) -> int:
        """Take back hints that stand in Redis before work of a higher priority."""
        return self._db.write(relay_statements.recall_outranked)

    def reroute(self, window: int, grace_s: float) -> int:
        """Move waiting shards to classes that somebody serves, or where workers are idle; give their number."""
        return self._db.write(lambda db: routing.reroute(db, window, grace_s))

    def offer_stragglers(self) -> int:
        """Offer the slow last shards of jobs to idle workers; give their number."""
        return self._db.write(stragglers.offer_stragglers)

    def judge_jobs(self) -> int:
        """Stop running jobs that are over their limits, and end canaries; give the number of both."""
        return self._db.write(lambda db: canary.end_canaries(db) + policy.judge_running(db))

    def expire_jobs(self) -> list[JobId]:
        """End jobs whose time is over."""
        return self._db.write(relay_statements.expire_jobs)
