"""Rows of outcomes as `Result`, with the decisions that they belong to, and filtered."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from producer.result import Result

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jobstore.schema import DecisionId, DecisionRow, JobId, OutcomeState
    from jobstore.views import ResultRow
    from producer.gateway import Gateway
    from producer.where import Where


def read_results(
    gateway: Gateway, job_id: JobId, where: Where | None, states: Collection[OutcomeState], batch: int
) -> Iterator[Result]:
    """Give outcomes in the order of the items.

    Args:
        where: keeps those of which it is true; None: all.
    """
    known: dict[DecisionId | None, DecisionRow] = {}
    for row in gateway.results(job_id, states=states, batch=batch):
        if row.decision_id is not None and row.decision_id not in known:  # a worker that came later
            known |= {decision.decision_id: decision for decision in gateway.decisions(job_id)}
        result = _result(row, known.get(row.decision_id), where)
        if result is not None:
            yield result


def _result(row: ResultRow, decision: DecisionRow | None, where: Where | None) -> Result | None:
    result = Result(row, decision)
    if where is None:
        return result
    kept = where.find(result)
    return None if kept is None else dataclasses.replace(result, kept=kept)
