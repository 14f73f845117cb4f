"""Whether a replay says what its original said, and what else was different."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from producer.judging.capsule.contents import Capsule, CapsuleDecision, CapsuleInput
from producer.judging.capsule.tally import ResultChange, Tally
from producer.judging.capsule.tolerance import tolerance_of
from producer.judging.content import hash_file

if TYPE_CHECKING:
    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus, ResultRow


class Verdict(StrEnum):
    """What a replay shows."""

    SAME = "same"  # every result is the same, bit by bit
    WITHIN_TOLERANCE = "within_tolerance"  # the same package runs elsewhere, and costs no more than that may cost
    DIFFERS = "differs"  # by more, or by anything at all where all is the same, or with another package
    NOTHING_RUN = "nothing_run"  # no input of the capsule is there unchanged


@dataclass(frozen=True, slots=True)
class Replay:
    """A job that ran a capsule's inputs again: its item of number n is input n of `inputs`."""

    job: JobStatus
    decisions: Sequence[DecisionRow]
    inputs: Sequence[CapsuleInput]


@dataclass(frozen=True, slots=True)
class Verification:
    """A replay beside its capsule.

    Attributes:
        run: pictures and frames that were run again; `same`: with equal results; `near`: others within tolerance.
        changed, gone: inputs that were not run: their bytes changed, or cannot be read any more.
        taken_over: results that the replay had from an earlier run: they prove nothing, and are not in `same`.
        unchecked: inputs that were run although the capsule has no hash of them.
        circumstances: what differs around the results: package, backend, device, precision, versions, machine.
        changes: pictures and frames with other results, the farthest first.
    """

    verdict: Verdict
    capsule_job: str
    replay_job: str | None
    run: int
    same: int
    near: int
    taken_over: int
    unchecked: int
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    circumstances: tuple[str, ...]
    max_disagreement: float
    min_share: float
    changes: tuple[ResultChange, ...]

    @property
    def passed(self) -> bool:
        """Whether the replay bears the original out."""
        return self.verdict in (Verdict.SAME, Verdict.WITHIN_TOLERANCE)


def changed_inputs(
    inputs: Iterable[CapsuleInput], hash_of: Callable[[str], str | None] = hash_file
) -> tuple[tuple[CapsuleInput, ...], tuple[str, ...], tuple[str, ...]]:
    """Sort inputs by what became of them: unchanged (or never hashed), changed, gone."""
    read = functools.lru_cache(maxsize=1)(hash_of)  # parts of a video follow each other
    kept: list[CapsuleInput] = []
    changed: list[str] = []
    gone: list[str] = []
    for each in inputs:
        found = None if each.sha256 is None else read(each.uri)
        if each.sha256 == found:
            kept.append(each)
        else:
            (gone if found is None else changed).append(each.uri)
    return tuple(kept), tuple(changed), tuple(gone)


def verify(
    capsule: Capsule,
    replay: Replay,
    rows: Iterable[ResultRow],
    originals: Mapping[int, Sequence[ResultRow]],
    inputs_now: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> Verification:
    """Hold a replay against its capsule.

    Args:
        rows: the replay's, in the order of items and frames.
        originals: the capsule's own rows by their idx, as far as a store still has them; what differs is measured by
            them.
        inputs_now: those that changed, and those that are gone.
    """
    circumstances = tuple(differing(capsule, replay.decisions))
    precisions = {each.quantization for each in capsule.decisions} | {each.quantization for each in replay.decisions}
    tolerance = tolerance_of(precisions)
    found = Tally(tolerance.max_disagreement)
    for idx, item in itertools.groupby(rows, key=lambda row: row.idx):
        expected = replay.inputs[idx]
        found.add(expected, list(item), originals.get(expected.idx, ()))
    judged = found.run - found.taken
    share = (found.same + found.near) / judged if judged else 0.0
    is_excused = bool(circumstances) and _digests(capsule.decisions) == _digests(replay.decisions)
    is_near = is_excused and share >= tolerance.min_share
    verdict = Verdict.SAME if found.same == judged else Verdict.WITHIN_TOLERANCE if is_near else Verdict.DIFFERS
    return Verification(
        verdict=verdict if judged else Verdict.NOTHING_RUN,
        capsule_job=str(capsule.job.get("id")),
        replay_job=replay.job.job_id,
        run=found.run,
        same=found.same,
        near=found.near,
        taken_over=found.taken,
        unchecked=sum(each.sha256 is None for each in replay.inputs),
        changed=tuple(inputs_now[0]),
        gone=tuple(inputs_now[1]),
        circumstances=circumstances,
        max_disagreement=tolerance.max_disagreement,
        min_share=tolerance.min_share,
        changes=tuple(found.farthest()),
    )


def _digests(decisions: Iterable[CapsuleDecision | DecisionRow]) -> set[str]:
    return {each.package_digest for each in decisions}


def differing(capsule: Capsule, decisions: Sequence[DecisionRow]) -> Iterator[str]:
    """What differs around the results, a line each: what it was, what it is."""
    then = [_facts(each) for each in capsule.decisions]
    now = [_facts(CapsuleDecision.of(row)) for row in decisions]
    for name in dict.fromkeys(name for facts in (*then, *now) for name in facts):
        before, after = ({facts.get(name, "none") for facts in side} for side in (then, now))
        if before != after:
            yield f"{name}: {', '.join(sorted(before)) or 'none'} -> {', '.join(sorted(after)) or 'none'}"


def _facts(decision: CapsuleDecision) -> dict[str, str]:
    names = ("package_digest", "backend", "device", "quantization")
    return {
        **{name: getattr(decision, name) for name in names},
        **{f"version of {name}": found for name, found in decision.versions.items()},
        **{f"machine's {name}": str(found) for name, found in decision.machine.items()},
    }
