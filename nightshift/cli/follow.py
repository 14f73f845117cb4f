"""Waiting for a job while telling how it goes; `run` and `watch` end the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobstore.schema import JobState
from jobstore.views import GateState
from jobstore.waiting import words_of_trouble
from nightshift.cli.errors import INTERRUPTED, print_error
from nightshift.cli.output import say
from nightshift.cli.progress import View, open_view
from nightshift.cli.summary import canary_line, done_line, failure_lines, model_line
from producer.ending import ending_lines, short
from producer.watching import watch

if TYPE_CHECKING:
    from jobstore.schema import JobId
    from jobstore.store import JobStore
    from jobstore.views import JobStatus
    from nightshift.stack import Stack

#: Failure causes that are listed; the rest is in `nightshift status`.
CAUSES_SHOWN = 5


def follow(stack: Stack, job_id: JobId) -> JobStatus:
    """Show a job's progress until it ends or needs attention, and give its last status."""
    with open_view() as view:
        is_told, state, waits_told = False, None, 0
        for status in watch(stack.gateway, job_id):
            if not is_told:
                waits_told = _tell_waits(stack.store, view, status, waits_told)
                is_told = _tell_decision(stack.store, view, status)
            if status.state is not state:
                _tell_change(stack, view, status, state)
                state = status.state
            view.show(status)
            stack.tend()
    return stack.store.status(job_id)


def _tell_decision(store: JobStore, view: View, status: JobStatus) -> bool:
    """Print which backend runs, once it is known, and say whether it is."""
    if status.task is None:  # the first decision gives the job its task
        return False
    decisions = store.decisions(status.job_id)
    if decisions:
        view.say("model", model_line(status.model, decisions[0]))
    return bool(decisions)


def _tell_waits(store: JobStore, view: View, status: JobStatus, told: int) -> int:
    """Print why the model is not open yet, once for each try that failed, and give the number that was told."""
    waits = [event.details for event in store.events(status.job_id) if event.kind == "opening_postponed"]
    for wait in waits[told:]:
        view.say("waiting", words_of_trouble(wait["hardware"], wait["message"], wait["next_try_s"]))
    return len(waits)


def _tell_change(stack: Stack, view: View, status: JobStatus, before: JobState | None) -> None:
    """Print what the canary showed once it is over, and why nothing happens where nobody serves the job."""
    if before is JobState.CANARY and (line := canary_line(stack.store.events(status.job_id))) is not None:
        view.say("canary", line)
    if before is not None or stack.settings.is_embedded:  # whose workers are still starting
        return
    if (waiting := stack.store.why_waiting(status.job_id)) is not None:
        view.say("waiting", f"{waiting}; the job begins when one does")


def tell_done(store: JobStore, status: JobStatus) -> None:
    """Print what was labelled and what failed."""
    say("done", done_line(status))
    groups = store.failures(status.job_id) if status.failed else []
    for line in failure_lines(groups[:CAUSES_SHOWN]):
        say("", line)
    if len(groups) > CAUSES_SHOWN:
        say("", f"and {len(groups) - CAUSES_SHOWN} more causes, see: nightshift status {short(status.job_id)}")


def tell_trouble(status: JobStatus) -> None:
    """Print why the job did not end well, if it did not."""
    if (lines := ending_lines(status)) is not None:
        print_error(*lines)
    elif status.gates is GateState.FAILED:
        job = short(status.job_id)
        hint = f"nightshift gates {job}     or, if it shall be so from now on: nightshift gates {job} --accept"
        print_error("the job is not like the good runs before it", "", hint)


def tell_interrupted(job_id: JobId, *, is_embedded: bool, is_run: bool = False) -> int:
    """Say that the job is still there and how to go on, and give the exit status.

    Args:
        is_run: it was begun here, with words that can be said again.
    """
    job = short(job_id)
    going = "it waits until somebody goes on with it" if is_embedded else "the workers go on with it"
    say("", "")
    say("stopped", f"job {job} is not ended: {going}")
    say("", f"nightshift watch {job}     goes on" if is_embedded else f"nightshift watch {job}     follows it")
    if is_run:
        say("", "the same words and --resume     go on and write the exports")
    say("", f"nightshift cancel {job}    ends it; what was labelled stays")
    return INTERRUPTED
