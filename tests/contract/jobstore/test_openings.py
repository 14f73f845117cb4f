"""Models that do not open now: waited for, counted, and in the end refused; no item is ever blamed."""

from __future__ import annotations

import pytest

from jobstore.openings import LONGEST_WAIT_S, MOST_ASKED_S, OPENING_LOST, Stage, wait_s
from jobstore.schema import JobState, OpeningTrouble
from jobstore.views import Waiting
from tests.fixtures.jobs import (
    ALICE,
    BOB,
    OVER_S,
    add,
    assert_books_balance,
    failed,
    finish,
    lease_next,
    ok,
    queue_of,
    run_to_end,
    take,
    write,
)

AWAY = OpeningTrouble("provider_unavailable", "models.example does not answer\nConnectionRefused")
#: The wait that a provider asks for stands in for the one that grows, so that a test knows whether it is over.
PATIENT_S = 3600.0


def away(asked_s: float) -> OpeningTrouble:
    return OpeningTrouble(AWAY.code, AWAY.message, asked_s)


def events(store, job_id, kind):
    return [event.details for event in store.events(job_id) if event.kind == kind]


@pytest.mark.parametrize(
    ("tries", "asked_s", "chance", "expected"),
    [
        pytest.param(1, None, 1.0, 1.0, id="the first wait"),
        pytest.param(1, None, 0.0, 0.5, id="half of it by chance"),
        pytest.param(4, None, 1.0, 8.0, id="it doubles"),
        pytest.param(99, None, 1.0, LONGEST_WAIT_S, id="up to the longest"),
        pytest.param(1, 30.0, 0.0, 30.0, id="what the provider asks for"),
        pytest.param(1, 9e9, 0.0, MOST_ASKED_S, id="within reason"),
        pytest.param(5, 1.0, 1.0, 16.0, id="which does not shorten ours"),
    ],
)
def test_waits_grow_and_are_bounded(tries, asked_s, chance, expected):
    assert wait_s(tries, asked_s, chance) == expected


def test_a_job_whose_model_is_away_waits_and_says_why(store):
    job_id = add(store, 12)
    lease = lease_next(store)

    assert store.openings.postpone(lease, away(60.0), PATIENT_S) == 60.0

    (queue,) = store.fleet.queues()
    assert (queue.held, queue.pending + queue.queued + queue.leased) == (3, 0)
    assert queue.waiting is Waiting.MODEL_AWAY
    assert queue.reason.startswith("the model cannot be opened on cpu: models.example does not answer; next try in ")
    assert store.why_waiting(job_id) == queue.reason
    assert store.release(8) == []
    assert store.status(job_id).state is JobState.RUNNING
    (told,) = events(store, job_id, "opening_postponed")
    assert (told["hardware"], told["code"], told["next_try_s"]) == ("cpu", "provider_unavailable", 60.0)


def test_when_the_next_try_is_due_everything_waits_for_a_worker_again(store):
    job_id = add(store, 12)
    store.openings.postpone(lease_next(store), away(60.0), PATIENT_S)
    assert store.openings.retry_due() == 0
    pass_time(store)

    assert store.openings.retry_due() == 1

    assert store.why_waiting(job_id) == "no worker serves cpu"
    run_to_end(store)
    assert store.status(job_id).state is JobState.COMPLETED
    assert_books_balance(store, job_id)
    assert store.openings.retry_due() == 0


def test_shards_that_find_out_in_one_round_count_as_one_try(store):
    job_id = add(store, 12)
    leases = [lease_next(store), lease_next(store)]

    waits = [store.openings.postpone(lease, away(60.0), PATIENT_S) for lease in leases]

    assert waits == [60.0, pytest.approx(60.0, abs=30)]
    assert len(events(store, job_id, "opening_postponed")) == 1


def test_a_second_call_for_one_lease_changes_nothing(store):
    add(store, 4)
    lease = lease_next(store)
    store.openings.postpone(lease, AWAY, PATIENT_S)

    assert store.openings.postpone(lease, AWAY, PATIENT_S) is None


def test_after_too_long_the_class_is_refused_and_the_job_goes_on_with_the_next(store):
    job_id = add(store, 12, hardware=("gpu-sm90", "cpu"))
    store.openings.postpone(lease_next(store), away(60.0), PATIENT_S)
    pass_time(store)
    store.openings.retry_due()

    assert store.openings.postpone(lease_next(store), AWAY, retry_s=0.0) is None

    assert {row.queue: row.pending for row in store.fleet.queues()} == {queue_of("cpu"): 3}
    run_to_end(store)
    assert store.status(job_id).state is JobState.COMPLETED


def test_a_job_without_another_class_fails_with_the_reason_after_too_long(store):
    job_id = add(store, 12)

    assert store.openings.postpone(lease_next(store), AWAY, retry_s=0.0) is None

    job = store.status(job_id)
    assert (job.state, job.reason, job.skipped) == (JobState.FAILED, "provider_unavailable", 12)
    assert job.message.startswith("models.example does not answer\nConnectionRefused\n(failed tries: 1, in ")
    assert_books_balance(store, job_id)


def test_who_has_the_model_open_is_not_stopped_by_one_who_cannot_fetch_it(store):
    job_id = add(store, 12)
    lease_next(store, BOB)
    unlucky = lease_next(store)

    assert store.openings.postpone(unlucky, away(60.0), retry_s=0.0) == 60.0

    (queue,) = store.fleet.queues()
    assert (queue.leased, queue.held, queue.pending + queue.queued) == (1, 1, 1)
    assert store.why_waiting(job_id) == "no worker serves cpu"
    assert store.status(job_id).state is JobState.RUNNING


def test_the_first_worker_that_opens_the_model_ends_the_wait(store):
    job_id = add(store, 12)
    other = lease_next(store, BOB)
    store.openings.note_stage(other, Stage.WAITS)
    store.openings.postpone(lease_next(store), away(60.0), PATIENT_S)
    assert store.fleet.queues()[0].held == 2

    store.openings.opened(other)

    assert store.fleet.queues()[0].held == 0
    finish(store, other)
    run_to_end(store)
    assert_books_balance(store, job_id)
    assert store.status(job_id).ok == 12


def test_a_pause_outlasts_the_next_try_and_a_resume_tries_at_once(store):
    job_id = add(store, 8)
    store.openings.postpone(lease_next(store), away(60.0), PATIENT_S)
    store.pause(job_id)
    pass_time(store)
    store.openings.retry_due()
    assert (store.release(8), store.fleet.queues()[0].waiting) == ([], Waiting.PAUSED)

    store.resume(job_id)

    assert len(store.release(8)) == 2


def test_only_the_canary_is_tried_again_while_it_is_not_over(store):
    add(store, 16, canary_items=8, shard_size=4)
    store.openings.postpone(lease_next(store), away(60.0), PATIENT_S)
    pass_time(store)

    store.openings.retry_due()

    (queue,) = store.fleet.queues()
    assert (queue.pending, queue.held) == (2, 2)


def test_a_worker_lost_while_it_opens_a_model_blames_no_shard(store):
    job_id = add(store, 4)
    for _ in range(2):
        lease = lease_next(store, lease_s=OVER_S)
        store.openings.note_stage(lease, Stage.LOADS)
        # Two deaths of one process are one: its shards may be found one after the other.
        assert store.relay.expire_leases(3) == 1

    lease = lease_next(store)

    assert lease.deaths == 0
    assert [told["deaths"] for told in events(store, job_id, OPENING_LOST)] == [1]


def test_a_model_that_ends_its_workers_is_refused_after_three_and_no_item_fails(store):
    job_id = add(store, 12, hardware=("gpu-sm90", "cpu"))
    for name in ("w1", "w2", "w3"):
        lease = lease_next(store, name)
        store.openings.note_stage(lease, Stage.LOADS)
        assert store.count_death(lease, 3)

    assert {row.queue: row.pending + row.queued for row in store.fleet.queues()} == {queue_of("cpu"): 3}
    (told,) = events(store, job_id, "class_refused")
    assert (told["hardware"], told["code"]) == ("gpu-sm90", OPENING_LOST)
    assert "3 worker processes were lost" in told["message"]
    run_to_end(store)
    assert (store.status(job_id).ok, store.status(job_id).failed) == (12, 0)


def test_who_only_waited_beside_the_loading_that_ended_the_process_is_not_blamed(store):
    innocent, guilty = add(store, 4, model="a"), add(store, 4, model="b")
    by_job = {lease.job_id: lease for lease in (take_any(store), take_any(store))}
    store.openings.note_stage(by_job[innocent], Stage.WAITS)
    store.openings.note_stage(by_job[guilty], Stage.LOADS)

    assert store.relay.expire_leases(1) == 2

    assert store.status(innocent).state is JobState.RUNNING
    assert (store.status(guilty).state, store.status(guilty).reason) == (JobState.FAILED, OPENING_LOST)


def test_a_model_that_opens_in_between_forgives_the_deaths_before(store):
    job_id = add(store, 4)
    for name in ("w1", "w2"):
        lease = lease_next(store, name)
        store.openings.note_stage(lease, Stage.LOADS)
        store.count_death(lease, 3)
    lease = lease_next(store, "w3")
    store.openings.note_stage(lease, Stage.LOADS)
    store.openings.opened(lease)
    store.release_shard(lease)

    lease = lease_next(store, "w4")
    store.openings.note_stage(lease, Stage.LOADS)
    store.count_death(lease, 3)

    assert store.status(job_id).state is JobState.RUNNING


def test_a_death_after_the_model_was_opened_is_the_shards(store):
    add(store, 4)
    lease = lease_next(store)
    store.openings.note_stage(lease, Stage.LOADS)
    store.openings.opened(lease)

    store.count_death(lease, 3)

    assert lease_next(store).deaths == 1


def test_a_retry_on_the_class_of_a_model_that_is_away_tries_what_waited_for_it(store):
    job_id = add(store, 12)
    lease = lease_next(store)
    write(store, lease, [failed(item.idx) for item in lease.items], finished=True)
    store.openings.postpone(lease_next(store), away(60.0), PATIENT_S)

    assert store.retry(job_id, hardware=("cpu",)) == 4

    run_to_end(store)
    assert store.status(job_id).state is JobState.COMPLETED


def test_a_shard_that_is_given_up_while_its_job_fails_over_another_is_counted_once(store):
    job_id = add(store, 4, shard_size=2)
    deadly = lease_next(store, BOB, OVER_S)
    write(store, deadly, [ok(deadly.items[0].idx)])
    let_run_out(store)
    store.relay.expire_leases(1)
    lease_next(store, BOB, OVER_S)
    opening = store._db.read(lambda db: db.exec_driver_sql("SELECT id, attempt FROM shards WHERE seq = 1").one())
    lease = store.lease_shard(opening.id, opening.attempt, ALICE, OVER_S)
    store.openings.note_stage(lease, Stage.LOADS)

    assert store.relay.expire_leases(1) == 2

    assert store.status(job_id).state is JobState.FAILED
    assert_books_balance(store, job_id)


def let_run_out(store):
    """Every lease: the database's clock is not ours to move."""
    store._db.write(lambda db: db.exec_driver_sql("UPDATE shards SET lease_until = lease_until - 3600"))


def take_any(store):
    hint = store.release(1)[0]
    return take(store, hint, ALICE, OVER_S)


def pass_time(store):
    """Until every next try is due: the database's clock is not ours to move."""
    store._db.write(lambda db: db.exec_driver_sql("UPDATE openings SET next_try = next_try - 3600"))
