"""Jobs with gates: judged once an end, by one at a time; what failed is no measure for what comes after."""

import json

import pytest

from jobstore.aftercare import Webhook, WebhookEvent
from jobstore.errors import JobNotFound
from jobstore.schema import JobId
from jobstore.store import JobStore
from jobstore.verdicts import MAX_TRIES, Verdict
from jobstore.views import GateState
from tests.fixtures.jobs import LEASE_S, add, failed, lease_next, ok, run_to_end, write
from tests.fixtures.nightly import apply, lose_claims

GATES = {"min_images": 1}
FAILED = {"empty_rate": "100.0% of the pictures have nothing in them"}


def ended(store: JobStore, **spec: object) -> JobId:
    job_id = add(store, 2, **({"gates": GATES, "name": "yard"} | spec))
    run_to_end(store)
    return job_id


def judge(store: JobStore, **against: str) -> None:
    held = store.verdicts.claim("one", LEASE_S)
    assert held is not None
    assert store.verdicts.judged(held, {"images": 2}, {"findings": []}, against)


def before(store: JobStore, **spec: object) -> list[JobId]:
    return [run.job.job_id for run in store.verdicts.good_runs(add(store, 1, **({"name": "yard"} | spec)), 3)]


def test_a_job_with_gates_is_judged_when_it_has_completed(store: JobStore) -> None:
    job_id = add(store, 2, gates=GATES)
    assert (store.verdicts.claim("one", LEASE_S), store.status(job_id).gates) == (None, None)
    run_to_end(store)
    assert store.status(job_id).gates is GateState.PENDING
    held = store.verdicts.claim("one", LEASE_S)
    assert held is not None
    assert (held.job_id, held.limits) == (job_id, GATES)
    assert store.verdicts.judged(held, {"images": 2}, {"note": "fine"}, {})
    assert (store.status(job_id).gates, store.jobs()[0].gates) == (GateState.PASSED, GateState.PASSED)
    kept = store.verdicts.of_job(job_id)
    assert kept is not None
    assert (kept.figures, kept.report) == ({"images": 2}, {"note": "fine"})
    assert [event.kind for event in store.events(job_id)][-1] == "gates_passed"


def test_the_limits_of_a_job_are_known_before_its_verdict(store: JobStore) -> None:
    assert store.verdicts.limits_of(add(store, 1, gates=GATES)) == GATES
    assert store.verdicts.limits_of(add(store, 1)) is None
    with pytest.raises(JobNotFound):
        store.verdicts.limits_of(JobId("0" * 32))


@pytest.mark.parametrize("end", ["no gates", "cancelled"])
def test_other_jobs_are_not_judged(store: JobStore, end: str) -> None:
    job_id = add(store, 2, gates=None if end == "no gates" else GATES)
    run_to_end(store) if end == "no gates" else store.cancel(job_id)
    assert (store.verdicts.of_job(job_id), store.verdicts.claim("one", LEASE_S)) == (None, None)


def test_one_job_is_claimed_by_its_id_and_the_others_are_left_alone(store: JobStore) -> None:
    first, mine = ended(store), ended(store)
    held = store.verdicts.claim("run", LEASE_S, mine)
    assert held is not None
    assert held.job_id == mine
    assert store.verdicts.claim("run", LEASE_S, mine) is None
    left = store.verdicts.of_job(first)
    assert left is not None
    assert (left.state, left.tries, left.owner) == (GateState.PENDING, 0, None)


def test_a_failure_is_told_to_those_who_want_it(store: JobStore) -> None:
    hook = Webhook("https://hooks.example/x", on=(WebhookEvent.GATES_FAILED,))
    job_id = ended(store, webhooks=(hook,))
    judge(store, **FAILED)
    (delivery,) = store.outbox.list()
    body = json.loads(delivery.body)
    assert (delivery.event, body["job"]["id"], body["gates"]) == ("job.gates_failed", job_id, {"failed": FAILED})


def test_a_pass_is_told_to_nobody(store: JobStore) -> None:
    ended(store, webhooks=(Webhook("https://hooks.example/x", on=(WebhookEvent.GATES_FAILED,)),))
    judge(store)
    assert store.outbox.list() == []


def test_a_job_that_is_retried_is_judged_again_at_its_next_end(store: JobStore) -> None:
    job_id = add(store, 2, gates=GATES, max_failure_rate=1.0)
    write(store, lease_next(store), [ok(0), failed(1)], finished=True)
    judge(store, **FAILED)
    store.retry(job_id)
    assert store.status(job_id).gates is None
    assert not store.verdicts.accept(job_id)  # what stands there is the verdict of the last end
    run_to_end(store)
    assert store.status(job_id).gates is GateState.PENDING
    kept = store.verdicts.of_job(job_id)
    assert kept is not None
    assert (kept.report, kept.figures, kept.tries) == (None, None, 0)


def test_good_runs_are_earlier_ones_of_the_same_thing_that_ended_well(store: JobStore) -> None:
    good = [ended(store, gates=None) for _ in range(4)]
    for other in ({"name": "gate"}, {"model": "big"}, {"tenant": "bob"}, {"schedule_id": "nightly"}):
        ended(store, **{"gates": None, **other})
    store.cancel(add(store, 2, name="yard"))
    add(store, 2, name="yard")
    write(store, lease_next(store), [ok(0), failed(1)], finished=True)
    assert before(store) == good[:0:-1]


def test_runs_of_a_schedule_are_known_by_it_whatever_their_name(store: JobStore) -> None:
    schedule = apply(store).schedule_id
    mine = ended(store, gates=None, schedule_id=schedule, name="old name")
    ended(store, gates=None)
    assert before(store, schedule_id=schedule) == [mine]


def test_a_run_that_failed_its_gates_is_no_measure_until_somebody_accepts_it(store: JobStore) -> None:
    good = ended(store)
    judge(store)
    bad = ended(store)
    assert before(store) == [good]  # nobody has judged the other yet
    judge(store, **FAILED)
    assert before(store) == [good]
    assert store.verdicts.accept(bad)
    assert before(store) == [bad, good]
    assert (store.status(bad).gates, store.verdicts.accept(bad)) == (GateState.ACCEPTED, False)
    assert store.verdicts.good_runs(add(store, 1, name="yard"), 1)[0].figures == {"images": 2}


def claimed(store: JobStore, owner: str) -> Verdict:
    held = store.verdicts.claim(owner, LEASE_S)
    assert held is not None
    return held


def test_a_judge_who_died_is_replaced_and_his_note_changes_nothing(store: JobStore) -> None:
    job_id = ended(store)
    dead = claimed(store, "dead")
    assert store.verdicts.claim("other", LEASE_S) is None
    assert store.verdicts.renew(dead, LEASE_S)
    lose_claims(store)
    heir = claimed(store, "heir")
    assert (store.verdicts.renew(dead, LEASE_S), store.verdicts.judged(dead, {}, {}, FAILED)) == (False, False)
    assert store.verdicts.judged(heir, {}, {}, {})
    assert store.status(job_id).gates is GateState.PASSED


@pytest.mark.parametrize("how", ["failed", "lost"])
def test_what_cannot_be_judged_is_given_up_after_some_tries(store: JobStore, how: str) -> None:
    job_id = ended(store)
    for _ in range(MAX_TRIES):
        held = claimed(store, "one")
        assert store.verdicts.failed(held, "no disk", retry_s=-1) if how == "failed" else lose_claims(store) is None
    assert store.verdicts.claim("one", LEASE_S) is None
    kept = store.verdicts.of_job(job_id)
    assert kept is not None
    words = "no disk" if how == "failed" else f"whoever judged it was lost {MAX_TRIES} times"
    assert (kept.state, kept.message) == (GateState.BROKEN, words)


def test_a_run_of_a_schedule_says_what_its_gates_said(store: JobStore) -> None:
    schedule = apply(store)
    due = store.schedules.run_now("yard")
    claim = store.schedules.claim("one", LEASE_S)
    assert claim is not None
    assert claim.due == due
    store.schedules.submitted(claim, ended(store, schedule_id=schedule.schedule_id))
    judge(store, **FAILED)
    assert [run.gates for run in store.schedules.runs(schedule.schedule_id)] == [GateState.FAILED]
