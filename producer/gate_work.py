"""Jobs with gates are judged when they end: by any number of judges, each job by one of them at a time."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from jobstore.errors import StoreUnavailable
from producer.claims import kept
from producer.judging.gates import GateLimits, judge

if TYPE_CHECKING:
    from jobstore.schema import JobId
    from jobstore.store import JobStore
    from jobstore.verdicts import Verdict

logger = logging.getLogger(__name__)

_FIRST_RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class Watchman:
    """Judges what is due.

    Attributes:
        owner: names this process in claims.
        lease_s: seconds after which others take over from a judge that is not heard of.
    """

    store: JobStore
    owner: str
    lease_s: float = 60.0

    def judge_due(self) -> int:
        """Judge every job that waits for its verdict; give the number of those that were judged.

        Raises:
            StoreUnavailable: what was claimed is judged by whoever comes first.
        """
        judged = 0
        while (claimed := self.store.verdicts.claim(self.owner, self.lease_s)) is not None:
            judged += self._judge(claimed)
        return judged

    def judge_job(self, job_id: JobId) -> bool:
        """Judge one job, and no other that waits; False: it has no gates, or somebody else judges or judged it.

        Raises:
            StoreUnavailable: as `judge_due`.
        """
        claimed = self.store.verdicts.claim(self.owner, self.lease_s, job_id)
        return claimed is not None and self._judge(claimed)

    def _judge(self, claimed: Verdict) -> bool:
        try:
            with kept(lambda: self.store.verdicts.renew(claimed, self.lease_s), self.lease_s):
                found = judge(self.store, claimed.job_id, GateLimits(**claimed.limits))
        except StoreUnavailable:
            raise
        except Exception as error:
            logger.exception("job %s cannot be judged", claimed.job_id, extra={"event": "gates_broke"})
            retry_s = _FIRST_RETRY_S * 2 ** (claimed.tries - 1)
            self.store.verdicts.failed(claimed, f"{type(error).__name__}: {error}", retry_s)
            return False
        failed = {finding.gate: finding.message for finding in found.report.findings if not finding.passed}
        if failed:
            said = {"event": "gates_failed", "job_id": claimed.job_id, "gates": list(failed)}
            logger.warning("job %s failed its gates: %s", claimed.job_id, "; ".join(failed.values()), extra=said)
        return self.store.verdicts.judged(claimed, asdict(found.figures), asdict(found.report), failed)
