"""Schedules: each time becomes one run, whoever looks, and each run one job, whoever dies over it."""

import json
import threading
from collections import Counter
from dataclasses import replace

import pytest

from jobstore.aftercare import Webhook, WebhookEvent
from jobstore.crontimes import CatchUp
from jobstore.errors import InvalidSchedule, ScheduleNotFound
from jobstore.schedule_runs import MAX_TRIES, Overlap, RunClaim, RunState
from jobstore.schedules import Applied, ScheduleSpec, ScheduleState
from jobstore.schema import JobId
from jobstore.store import JobStore
from tests.fixtures.jobs import add, run_to_end
from tests.fixtures.nightly import YEARLY, apply, lose_claims, make_due

LEASE_S = 60.0
SPEC = ScheduleSpec("yard", {"source": "/pictures", "model": "digits"}, "30 2 * * *", "Europe/Berlin")


def submit(store: JobStore, claim: RunClaim) -> JobId:
    return add(store, 1, client_token=claim.client_token, schedule_id=claim.schedule_id, tenant=claim.tenant)


def claim(store: JobStore, owner: str = "one") -> RunClaim:
    found = store.schedules.claim(owner, LEASE_S)
    assert found is not None
    return found


def states(store: JobStore, schedule_id: str) -> list[RunState]:
    return [run.state for run in store.schedules.runs(schedule_id, 200)]


def test_what_is_applied_again_keeps_its_next_time(store: JobStore) -> None:
    first, created = store.schedules.apply(SPEC)
    again, unchanged = store.schedules.apply(SPEC)
    assert (created, unchanged) == (Applied.CREATED, Applied.UNCHANGED)
    assert replace(again, now=first.now) == first
    assert again.in_words == "At 02:30 every day (Europe/Berlin)"


def test_another_job_keeps_the_next_time_and_another_cron_moves_it(store: JobStore) -> None:
    schedule, _ = store.schedules.apply(SPEC)
    make_due(store, schedule, ago_s=-10)
    kept, changed = store.schedules.apply(replace(SPEC, job={"source": "/others", "model": "digits"}))
    moved, _ = store.schedules.apply(replace(SPEC, cron=YEARLY))
    assert changed is Applied.CHANGED
    assert kept.next_at == pytest.approx(kept.now + 10, abs=5)
    assert kept.job == {"source": "/others", "model": "digits"}
    assert moved.next_at is not None
    assert moved.next_at > moved.now + 3600
    assert moved.schedule_id == schedule.schedule_id


def test_two_tenants_may_use_one_name(store: JobStore) -> None:
    apply(store, tenant="a")
    apply(store, tenant="b")
    assert [schedule.tenant for schedule in store.schedules.list("b")] == ["b"]
    assert len(store.schedules.list()) == 2
    with pytest.raises(ScheduleNotFound, match="'yard'"):
        store.schedules.get("yard", "c")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"cron": "99 * * * *"}, "cannot be read", id="cron"),
        pytest.param({"timezone": "Mars"}, "no time zone", id="zone"),
        pytest.param({"name": ""}, "expected some text", id="name"),
        pytest.param({"catch_up": CatchUp.ALL}, "overlap: queue or allow", id="all that would be skipped"),
    ],
)
def test_what_cannot_be_is_refused_and_not_written(store: JobStore, change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidSchedule, match=words):
        store.schedules.apply(replace(SPEC, **change))
    assert store.schedules.list() == []


def test_a_due_time_is_one_run_whoever_looks(store: JobStore) -> None:
    schedule = apply(store, cron=YEARLY)
    make_due(store, schedule)
    barrier, found = threading.Barrier(4), []

    def look_and_claim(owner: str) -> None:
        barrier.wait()
        store.schedules.look()
        found.append(store.schedules.claim(owner, LEASE_S))

    threads = [threading.Thread(target=look_and_claim, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(each is not None for each in found) == {True: 1, False: 3}
    assert states(store, schedule.schedule_id) == [RunState.CLAIMED]
    assert store.schedules.look() == 0


def test_a_claimer_who_died_before_the_submit_is_replaced(store: JobStore) -> None:
    schedule = apply(store)
    store.schedules.run_now("yard")
    dead = claim(store, "dead")
    assert store.schedules.claim("early", LEASE_S) is None
    lose_claims(store)
    heir = claim(store, "heir")
    assert (heir.due, heir.client_token, heir.tries) == (dead.due, dead.client_token, 2)
    assert not store.schedules.renew(dead, LEASE_S)
    assert not store.schedules.submitted(dead, JobId("x"))
    assert not store.schedules.failed(dead, "late", None)
    assert store.schedules.submitted(heir, submit(store, heir))
    assert states(store, schedule.schedule_id) == [RunState.SUBMITTED]


def test_a_claimer_who_died_after_the_submit_leaves_its_job(store: JobStore) -> None:
    schedule = apply(store)
    store.schedules.run_now("yard")
    job_id = submit(store, claim(store, "dead"))
    lose_claims(store)
    assert store.schedules.claim("heir", LEASE_S) is None
    (run,) = store.schedules.runs(schedule.schedule_id)
    assert (run.state, run.job_id, run.job_state) == (RunState.SUBMITTED, job_id, "running")
    assert len(store.jobs()) == 1


def test_a_submit_that_failed_after_its_commit_has_its_job(store: JobStore) -> None:
    schedule = apply(store, webhooks=(Webhook("https://hooks.example/x"),))
    store.schedules.run_now("yard")
    held = claim(store)
    job_id = submit(store, held)
    assert store.schedules.failed(held, "the answer was lost", retry_s=None)
    (run,) = store.schedules.runs(schedule.schedule_id)
    assert (run.state, run.job_id) == (RunState.SUBMITTED, job_id)
    assert store.outbox.list() == []


def test_a_run_that_loses_every_submitter_is_given_up_and_told(store: JobStore) -> None:
    schedule = apply(store, webhooks=(Webhook("https://hooks.example/x"),))
    store.schedules.run_now("yard")
    for number in range(MAX_TRIES):
        claim(store, str(number))
        lose_claims(store)
    assert store.schedules.claim("last", LEASE_S) is None
    assert states(store, schedule.schedule_id) == [RunState.FAILED]
    assert [each.event for each in store.outbox.list()] == [WebhookEvent.MISSED]


def test_a_failure_that_may_pass_is_tried_again_and_one_that_may_not_is_told(store: JobStore) -> None:
    schedule = apply(store, webhooks=(Webhook("https://hooks.example/x"),))
    store.schedules.run_now("yard")
    assert store.schedules.failed(claim(store), "the disk is away", retry_s=-1)
    assert store.outbox.list() == []
    assert store.schedules.failed(claim(store), "no such folder", retry_s=None)
    (run,) = store.schedules.runs(schedule.schedule_id)
    assert (run.state, run.message) == (RunState.FAILED, "no such folder")
    (told,) = store.outbox.list()
    body = json.loads(told.body)
    assert (body["type"], body["schedule"]["name"]) == ("schedule.missed", "yard")
    assert body["missed"]["reason"] == "not_submitted"


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        pytest.param(Overlap.SKIP, RunState.SKIPPED, id="skip"),
        pytest.param(Overlap.QUEUE, RunState.DUE, id="queue"),
        pytest.param(Overlap.ALLOW, RunState.CLAIMED, id="allow"),
    ],
)
def test_a_time_that_comes_while_a_job_works(store: JobStore, overlap: Overlap, expected: RunState) -> None:
    schedule = apply(store, overlap=overlap)
    store.schedules.run_now("yard")
    first = claim(store)
    store.schedules.submitted(first, submit(store, first))
    store.schedules.run_now("yard")
    store.schedules.claim("two", LEASE_S)
    assert states(store, schedule.schedule_id) == [expected, RunState.SUBMITTED]


def test_a_queued_run_goes_on_when_the_job_has_ended(store: JobStore) -> None:
    apply(store, overlap=Overlap.QUEUE)
    first_due = store.schedules.run_now("yard")
    store.schedules.run_now("yard")
    first = claim(store)
    assert first.due == first_due
    assert store.schedules.claim("two", LEASE_S) is None
    store.schedules.submitted(first, submit(store, first))
    assert store.schedules.claim("two", LEASE_S) is None
    run_to_end(store)
    assert claim(store, "two").due > first_due


def test_a_queue_of_one_schedule_does_not_hold_up_another(store: JobStore) -> None:
    apply(store, overlap=Overlap.QUEUE)
    apply(store, name="gate")
    for name in ("yard", "yard", "gate"):
        store.schedules.run_now(name)
    assert {claim(store).name, claim(store).name} == {"yard", "gate"}


def test_missed_times_are_written_and_told_once(store: JobStore) -> None:
    schedule = apply(store, cron="* * * * *", catch_up=CatchUp.LAST, webhooks=(Webhook("https://hooks.example/x"),))
    make_due(store, schedule, ago_s=600)
    store.schedules.look()
    store.schedules.look()
    found = Counter(states(store, schedule.schedule_id))
    assert found[RunState.DUE] == 1
    assert found[RunState.MISSED] >= 9
    (told,) = store.outbox.list()
    assert json.loads(told.body)["missed"]["count"] == found[RunState.MISSED]


def test_a_paused_schedule_makes_up_for_nothing(store: JobStore) -> None:
    schedule = apply(store)
    make_due(store, schedule)
    assert store.schedules.pause("yard")
    assert not store.schedules.pause("yard")
    assert store.schedules.look() == 0
    assert store.schedules.get("yard").state is ScheduleState.PAUSED
    assert store.schedules.resume("yard")
    assert not store.schedules.resume("yard")
    resumed = store.schedules.get("yard")
    assert resumed.next_at is not None
    assert resumed.next_at > resumed.now
    assert states(store, schedule.schedule_id) == []


def test_a_changed_cron_does_not_wake_a_paused_schedule(store: JobStore) -> None:
    apply(store)
    store.schedules.pause("yard")
    assert apply(store, cron="* * * * *").next_at is None


def test_a_removed_schedule_leaves_its_jobs(store: JobStore) -> None:
    schedule = apply(store)
    store.schedules.run_now("yard")
    held = claim(store)
    submit(store, held)
    store.schedules.remove("yard")
    assert store.schedules.runs(schedule.schedule_id) == []
    assert not store.schedules.submitted(held, JobId("x"))
    assert len(store.jobs()) == 1
    with pytest.raises(ScheduleNotFound):
        store.schedules.remove("yard")
