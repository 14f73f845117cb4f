"""What a job came to, in words, and as an exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobstore.schema import JobState
from jobstore.views import GateState
from nightshift.cli.errors import ERROR, NO_BACKEND, OVER_FAILURE_LIMIT
from nightshift.cli.output import count, duration, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jobstore.schema import DecisionRow
    from jobstore.verdicts import Verdict
    from jobstore.views import FailureGroup, JobEvent, JobStatus
    from producer.exports import ExportSummary


def exit_status(status: JobStatus) -> int:
    """Give 0 for a job that ended well, 3 over its failure limit (or stopped by it), 5 without a backend, else 1.

    A job that is not like the good runs before it, as its gates say, has not ended well.
    """
    if status.state is JobState.FAILED:
        return NO_BACKEND if status.reason == "no_runnable_backend" else ERROR
    if status.state in (JobState.CANCELLED, JobState.EXPIRED):
        return ERROR
    if status.state is JobState.NEEDS_ATTENTION:
        return OVER_FAILURE_LIMIT
    if status.is_over_failure_limit:
        return OVER_FAILURE_LIMIT
    return ERROR if status.gates is GateState.FAILED else 0


def model_line(model: str, decision: DecisionRow) -> str:
    """Give `digits -> onnx fp32 (cpu)`, with how many candidates were rejected."""
    rejected = sum(candidate.get("verdict") == "rejected" for candidate in decision.candidates)
    chosen = f"{decision.model_id} -> {decision.backend} {decision.quantization} ({decision.device})"
    return chosen + (
        f"     {count(rejected, 'candidate')} rejected, see: nightshift explain {model}" if rejected else ""
    )


def canary_line(events: Sequence[JobEvent]) -> str | None:
    """Give what a job's canary showed, or None while it has none."""
    shown = next((event.details for event in events if event.kind == "canary_done"), None)
    if shown is None:
        return None
    eta = f"the rest in {duration(shown['eta_low_s'])} to {duration(shown['eta_high_s'])}"
    parts = [f"{shown['items']:,} images at {shown['items_per_second']:.1f} img/s, {eta}"]
    parts += [f"{shown['failed_share']:.1%} failed"]
    parts += [] if shown["empty_share"] is None else [f"{shown['empty_share']:.0%} without any object"]
    parts += [] if shown["memory_bytes"] is None else [f"{shown['memory_bytes'] / 2**20:,.0f} MiB"]
    parts += [] if shown["backend"] is None else [f"{shown['backend']} {shown['quantization']} on {shown['device']}"]
    return ", ".join(parts)


def done_line(status: JobStatus) -> str:
    """Give the whole job in one line."""
    labelled, seconds = status.ok + status.cached, status.elapsed_s
    number, unit = (status.frames, "frames") if status.frames else (status.done, "img")
    rate = f" ({number / seconds:.1f} {unit}/s)" if seconds > 0 and number else ""
    words = [f"{labelled:,} of {status.total:,} labelled in {duration(seconds)}{rate}", count(status.objects, "object")]
    words[1:1] = [count(status.frames, "frame")] if status.frames else []
    words += [
        f"{number:,} {name}" for name, number in (("failed", status.failed), ("skipped", status.skipped)) if number
    ]
    if status.cached:
        words.append(f"{status.cached:,} of them from an earlier run")
    return ", ".join(words)


def state_words(status: JobStatus) -> str:
    """Give a job's state, and what its gates said where they said anything but that it passed."""
    is_told = status.gates not in (None, GateState.PASSED)
    return f"{status.state} (gates {status.gates})" if is_told else str(status.state)


def gates_line(verdict: Verdict) -> str:
    """Give what a job's gates said, and why."""
    from producer.judging.gates import words_of

    note = str((verdict.report or {}).get("note", ""))
    return ": ".join(part for part in (str(verdict.state), words_of(verdict) or note) if part)


def failure_lines(groups: Sequence[FailureGroup]) -> list[str]:
    """Give a line a cause: how many, the code, what was wrong with the first, and where to look."""
    width = max((len(group.code) for group in groups), default=0)
    lines = []
    for group in groups:
        others = group.count - len(group.examples)
        where = ", ".join(group.examples) + (f" and {others:,} more" if others > 0 else "")
        lines.append(f"{group.count:>5,}  {group.code:<{width}}  {where}: {group.message}")
    return lines


def record(status: JobStatus, failures: Sequence[FailureGroup], **more: Any) -> dict[str, Any]:
    """Give a job as `--json` prints it."""
    from nightshift.cli.output import plain
    from producer.wire import job_record

    return {**job_record(status), "failures": plain(failures), **plain(more)}


def shown_path(path: Path) -> str:
    """Give a path as a person would type it: relative where it lies below the working folder."""
    here = path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def tell_exports(exports: list[ExportSummary]) -> None:
    """Say what was written, and what is missing from it."""
    say("wrote", "  ".join(export.url or shown_path(export.path) for export in exports))
    for export in exports:
        for problem in export.problems:
            say("", f"{export.format}: {problem}")
