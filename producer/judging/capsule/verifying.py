"""Whether a replay says what its original said, and what else was different."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jobstore.schema import OutcomeState
from producer.errors import NotComparable
from producer.judging.capsule.canonical import digest
from producer.judging.capsule.contents import Capsule, CapsuleDecision, CapsuleInput
from producer.judging.capsule.tolerance import tolerance_of
from producer.judging.comparison import measure
from producer.judging.content import hash_file

if TYPE_CHECKING:
    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus, ResultRow

#: Pictures that are listed.
SHOWN = 20


class Verdict(StrEnum):
    """What a replay shows."""

    SAME = "same"  # every result is the same, bit by bit
    WITHIN_TOLERANCE = "within_tolerance"  # the same package runs elsewhere, and costs no more than that may cost
    DIFFERS = "differs"  # by more, or by anything at all where all is the same, or with another package
    NOTHING_RUN = "nothing_run"  # no input of the capsule is there unchanged


@dataclass(frozen=True, slots=True)
class ResultChange:
    """One picture with another result.

    Attributes:
        disagreement: as `producer.judging.comparison` measures it; None where the original's record is not there any
            more, or only one of the two is a prediction.
    """

    uri: str
    disagreement: float | None
    words: str


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
        run: pictures that were run again; `same`: with equal results; `near`: of the others, those within tolerance.
        changed, gone: inputs that were not run: their bytes changed, or cannot be read any more.
        taken_over: results that the replay had from an earlier run: they prove nothing, and are not in `same`.
        unchecked: inputs that were run although the capsule has no hash of them.
        circumstances: what differs around the results: package, backend, device, precision, versions, machine.
        changes: pictures with other results, the farthest first.
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
    kept: list[CapsuleInput] = []
    changed: list[str] = []
    gone: list[str] = []
    for each in inputs:
        found = None if each.sha256 is None else hash_of(each.uri)
        if each.sha256 == found:
            kept.append(each)
        else:
            (gone if found is None else changed).append(each.uri)
    return tuple(kept), tuple(changed), tuple(gone)


def verify(
    capsule: Capsule,
    replay: Replay,
    rows: Iterable[ResultRow],
    originals: Mapping[int, ResultRow],
    inputs_now: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> Verification:
    """Hold a replay against its capsule.

    Args:
        rows: the replay's.
        originals: the capsule's own rows by their idx, as far as a store still has them; what differs is measured by
            them.
        inputs_now: those that changed, and those that are gone.
    """
    circumstances = tuple(differing(capsule, replay.decisions))
    precisions = {each.quantization for each in capsule.decisions} | {each.quantization for each in replay.decisions}
    tolerance = tolerance_of(precisions)
    run = same = near = taken = 0
    changes: list[ResultChange] = []
    for row in rows:
        expected = replay.inputs[row.idx]
        run += 1
        if row.state is OutcomeState.CACHED:
            taken += 1
        elif digest(row) == expected.result:
            same += 1
        else:
            change = _change(row, originals.get(expected.idx))
            near += change.disagreement is not None and change.disagreement <= tolerance.max_disagreement
            changes.append(change)
    judged = run - taken
    share = (same + near) / judged if judged else 0.0
    is_excused = bool(circumstances) and _digests(capsule.decisions) == _digests(replay.decisions)
    is_near = is_excused and share >= tolerance.min_share
    verdict = Verdict.SAME if same == judged else Verdict.WITHIN_TOLERANCE if is_near else Verdict.DIFFERS
    farthest = heapq.nlargest(SHOWN, changes, key=lambda each: 2.0 if each.disagreement is None else each.disagreement)
    return Verification(
        verdict=verdict if judged else Verdict.NOTHING_RUN,
        capsule_job=str(capsule.job.get("id")),
        replay_job=replay.job.job_id,
        run=run,
        same=same,
        near=near,
        taken_over=taken,
        unchecked=sum(each.sha256 is None for each in replay.inputs),
        changed=tuple(inputs_now[0]),
        gone=tuple(inputs_now[1]),
        circumstances=circumstances,
        max_disagreement=tolerance.max_disagreement,
        min_share=tolerance.min_share,
        changes=tuple(farthest),
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


def _change(row: ResultRow, original: ResultRow | None) -> ResultChange:
    if original is None:
        return ResultChange(row.uri, None, "another result; the original's record is not in this store")
    if not row.holds_prediction or not original.holds_prediction:
        was, now = (each.error.code if each.error else each.state.value for each in (original, row))
        return ResultChange(row.uri, None, f"{was} -> {now}")
    try:
        difference = measure(original, row)
    except NotComparable as error:
        return ResultChange(row.uri, None, str(error))
    counts: dict[str, int] = {}
    for change in difference.changes:
        counts[change.kind] = counts.get(change.kind, 0) + 1
    words = [f"{count} {kind}" for kind, count in counts.items()]
    words += [f"{name} {value:.3g}" for name, value in difference.figures.items()]
    return ResultChange(row.uri, difference.disagreement, ", ".join(words))
