"""A capsule's inputs run again, by the same package, backend and precision, through the ordinary stack."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jobstore.errors import JobNotFound
from jobstore.schema import ItemRef, JobId, JobSpec
from videos.options import VideoOptions

#: Wishes that another backend sets aside.
_CHOICE = frozenset({"backend", "quantization", "strategy"})

if TYPE_CHECKING:
    from jobstore.store import JobStore
    from jobstore.views import ResultRow
    from producer.judging.capsule import Capsule, CapsuleInput


def replay_spec(capsule: Capsule, hardware: tuple[str, ...], backend: str | None = None) -> JobSpec:
    """The capsule's job once more.

    Args:
        backend: another one than the capsule's, in whatever precision it has; `any`: what is best here. None: backend
            and precision are asked for where one alone ran.
    """
    job = capsule.job
    asked = {key: value for key, value in capsule.wishes.items() if backend is None or key not in _CHOICE}
    chosen = _pinned(capsule) if backend is None else {} if backend == "any" else {"backend": backend}
    return JobSpec(
        model=str(capsule.model["id"]),
        name=f"replay of {job['name']}",
        params=capsule.params,
        wishes={**asked, **chosen},
        hardware=hardware,
        max_failure_rate=1.0,  # what failed then shall fail again
        canary_items=0,
        use_cache=False,  # an earlier answer proves nothing
        tags={"replay": str(job["id"])},
        video=None if capsule.video is None else VideoOptions(**capsule.video),
    )


def items_of(inputs: Sequence[CapsuleInput]) -> Iterator[ItemRef]:
    """The inputs as items, in their order; of videos the same parts, whose frames are chosen as they were."""
    return (ItemRef(each.uri, clip=each.clip) for each in inputs)


def originals_of(
    store: JobStore, capsule: Capsule, inputs: Sequence[CapsuleInput]
) -> Mapping[int, Sequence[ResultRow]]:
    """The original rows of these inputs, as far as the store has the job."""
    found: dict[int, list[ResultRow]] = {each.idx: [] for each in inputs}
    with contextlib.suppress(JobNotFound):
        for row in store.results(JobId(store.find_job(str(capsule.job["id"])))):
            if row.idx in found:
                found[row.idx].append(row)
    return found


def _pinned(capsule: Capsule) -> dict[str, Any]:
    """One way of running the model; several workers of a fleet may have had several."""
    ways = {(each.backend, each.quantization) for each in capsule.decisions}
    if len(ways) != 1:
        return {}
    backend, quantization = ways.pop()
    return {"backend": backend, "quantization": quantization, "strategy": "order"}
