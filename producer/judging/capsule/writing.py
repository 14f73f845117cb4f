"""A job's capsule, written in one pass over its rows: memory does not grow with the job."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from producer.errors import JudgingFailed
from producer.exports.atomic import atomic_file
from producer.judging.capsule.canonical import canonical
from producer.judging.capsule.contents import SCHEMA_VERSION, CapsuleDecision, CapsuleInput
from producer.judging.content import hash_file

if TYPE_CHECKING:
    from hashlib import _Hash

    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus, ResultRow

_COUNTS = ("total", "ok", "cached", "failed", "skipped", "objects", "frames")
_JOB = ("name", "state", "created", "started", "finished", "hardware")


@dataclass(frozen=True, slots=True)
class CapsuleSummary:
    """What was written.

    Attributes:
        unread: inputs whose bytes could not be read, so that a replay cannot tell whether they changed.
    """

    path: Path
    inputs: int
    unread: int
    results_sha256: str


def write_capsule(
    job: JobStatus, rows: Iterable[ResultRow], decisions: Sequence[DecisionRow], path: Path
) -> CapsuleSummary:
    """Write a capsule of a job that has ended; contents that the store has no hash of are read now.

    Raises:
        JudgingFailed: the job has not ended.
        ExportFailed: the disk refuses; no capsule is visible then.
    """
    if not job.is_ended:
        raise JudgingFailed(f"job {job.job_id} is {job.state}; a capsule is of a job that has ended")
    encode = msgspec.json.Encoder().encode
    every, inputs, unread = hashlib.sha256(), 0, 0
    with atomic_file(path) as file:
        head = encode(_head(job, decisions))
        file.write(head[:-1] + b',\n"inputs":[\n')
        for each in _inputs(rows, every):
            file.write((b",\n" if inputs else b"") + encode(each))
            inputs, unread = inputs + 1, unread + (each.sha256 is None)
        file.write(b'\n],\n"results_sha256":%b}\n' % encode(every.hexdigest()))
    return CapsuleSummary(path, inputs, unread, every.hexdigest())


def _head(job: JobStatus, decisions: Sequence[DecisionRow]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "nightshift": version("nightshift"),
        "job": {"id": job.job_id, **{name: getattr(job, name) for name in _JOB}},
        "counts": {name: getattr(job, name) for name in _COUNTS},
        "model": {"id": job.model, "digest": job.model_digest, "task": job.task, "class_names": job.class_names},
        "params": job.params,
        "wishes": job.wishes,
        "video": job.video,
        "decisions": [CapsuleDecision.of(row) for row in decisions],
    }


def _inputs(rows: Iterable[ResultRow], every: _Hash) -> Iterator[CapsuleInput]:
    """An entry an item; its rows follow each other, as do the parts of a video, whose bytes are read once."""
    hash_of = functools.lru_cache(maxsize=1)(hash_file)
    for idx, mine in itertools.groupby(rows, key=lambda row: row.idx):
        result, first = hashlib.sha256(), None
        for row in mine:
            first = first or row
            form = canonical(row)
            result.update(form)
            every.update(form)
        if first is not None:
            yield CapsuleInput(idx, first.uri, first.content or hash_of(first.uri), result.hexdigest(), first.clip)
