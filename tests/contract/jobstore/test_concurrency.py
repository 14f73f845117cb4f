import contextlib
import queue
import random
import threading

import pytest

from jobstore.errors import LeaseLost
from jobstore.schema import JobState, WorkerId
from tests.fixtures.jobs import LEASE_S, OVER_S, add, assert_books_balance, finish, ok, queue_of, take, write


def at_once(*tasks):
    """Run the tasks in a thread each, from one starting shot; give their results, raise their first error."""
    gate = threading.Barrier(len(tasks))
    answers = queue.Queue()

    def run(index, task):
        gate.wait()
        try:
            answers.put((index, task(), None))
        except Exception as error:  # noqa: BLE001 - raised again in the test's own thread
            answers.put((index, None, error))

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(tasks)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    found = sorted((answers.get() for _ in tasks), key=lambda answer: answer[0])
    errors = [error for _, _, error in found if error is not None]
    if errors:
        raise errors[0]
    return [answer for _, answer, _ in found]


def test_of_two_last_shards_that_finish_at_once_one_completes_the_job(store):
    for _ in range(20):
        job_id = add(store, 8)
        first, second = [take(store, hint) for hint in store.release(2)]

        ended = at_once(lambda a=first: finish(store, a), lambda b=second: finish(store, b))

        assert sorted(ended) == [False, True]
        assert store.status(job_id).state is JobState.COMPLETED
        assert [event.kind for event in store.events(job_id)].count("completed") == 1
        assert_books_balance(store, job_id)


def test_of_many_deliveries_at_once_one_gets_the_lease(store):
    for _ in range(10):
        job_id = add(store, 4)
        hint = store.release(1)[0]
        owners = [WorkerId(f"worker-{n}") for n in range(4)]

        leases = at_once(
            *[
                lambda owner=owner, hint=hint: store.lease_shard(hint.shard_id, hint.attempt, owner, LEASE_S)
                for owner in owners
            ]
        )

        assert sum(lease is not None for lease in leases) == 1
        store.cancel(job_id)


def test_a_cancel_beside_finishing_shards_leaves_balanced_books(store):
    for _ in range(20):
        job_id = add(store, 8)
        leases = [take(store, hint) for hint in store.release(2)]

        def finish_or_lose(lease):
            try:
                return finish(store, lease)
            except LeaseLost:
                return None

        at_once(
            *[lambda lease=lease: finish_or_lose(lease) for lease in leases], lambda job_id=job_id: store.cancel(job_id)
        )

        assert store.status(job_id).is_ended
        assert_books_balance(store, job_id)


def test_a_cancel_beside_a_split_leaves_nothing_open(store):
    for _ in range(20):
        job_id = add(store, 8, shard_size=8)
        take(store, store.release(1)[0], lease_s=OVER_S)

        at_once(lambda: store.relay.expire_leases(1), lambda job_id=job_id: store.cancel(job_id))

        assert store.status(job_id).state is JobState.CANCELLED
        assert_books_balance(store, job_id)


def test_two_relays_at_once_take_each_dead_lease_once(store):
    job_ids = [add(store, 16) for _ in range(3)]
    for hint in store.release(12):
        take(store, hint, lease_s=OVER_S)

    counts = at_once(*[lambda: store.relay.expire_leases(1)] * 3)

    assert sum(counts) == 12
    for job_id in job_ids:
        events = [event.kind for event in store.events(job_id)]
        assert events.count("shard_split") == 4
        store.cancel(job_id)
    for job_id in job_ids:
        assert_books_balance(store, job_id)


def test_four_writers_and_a_reader_need_no_retry_on_sqlite(sqlite_url, caplog):
    from jobstore.store import JobStore

    with JobStore.open(sqlite_url) as store:
        store.create_schema()
        job_id = add(store, 400, shard_size=10)
        hints = store.release(40)

        def work(mine):
            for hint in mine:
                lease = take(store, hint)
                for item in lease.items[:-1]:
                    write(store, lease, [ok(item.idx)])
                    store.status(job_id)
                write(store, lease, [ok(lease.items[-1].idx)], finished=True)

        at_once(*[lambda n=n: work(hints[n::4]) for n in range(4)], lambda: [store.fleet.queues() for _ in range(50)])

        assert [record for record in caplog.records if record.name == "jobstore.patience"] == []
        assert store.status(job_id).state is JobState.COMPLETED
        assert_books_balance(store, job_id)


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_that_does_everything_at_random_leaves_balanced_books(store, seed):
    """Four workers that finish, stall, give back or die, a relay, and at last one who works to the end."""
    job_ids = [add(store, 24, tenant=tenant) for tenant in "ab"]

    noises = [random.Random(f"{seed}-{number}") for number in range(4)]
    at_once(
        *[lambda n=n, noise=noise: unreliable_worker(store, WorkerId(f"w{n}"), noise) for n, noise in enumerate(noises)]
    )
    drain(store, job_ids)

    for job_id in job_ids:
        assert store.status(job_id).is_ended
        assert_books_balance(store, job_id)


def unreliable_worker(store, owner, noise):
    for _ in range(25):
        for hint in store.release(4):
            store.relay.requeue_lost([queue_of("cpu")], older_than_s=0.0)
            lease = store.lease_shard(hint.shard_id, hint.attempt, owner, LEASE_S)
            if lease is not None:
                with contextlib.suppress(LeaseLost):
                    misbehave(store, lease, noise.choice(["finish", "stall", "die", "give back"]))
        store.relay.expire_leases(2)


def misbehave(store, lease, manner):
    if manner == "finish":
        finish(store, lease)
        return
    write(store, lease, [ok(item.idx) for item in lease.items[:1]])
    if manner == "give back":
        store.release_shard(lease)
    if manner == "die":
        store.renew(lease.owner, [(lease.shard_id, lease.attempt)], OVER_S)


def drain(store, job_ids):
    """Give back what the crowd still holds, as the relay would once those leases have run out, and work to the end."""
    for job_id in job_ids:
        for lease in held_leases(store, job_id):
            store.release_shard(lease)
    store.relay.forget_hints()
    while hints := store.release(8):
        for hint in hints:
            lease = store.lease_shard(hint.shard_id, hint.attempt, WorkerId("last"), LEASE_S)
            if lease is not None:
                finish(store, lease)


def held_leases(store, job_id):
    from jobstore.leases import leases_of
    from jobstore.schema import ShardState
    from jobstore.tables import shards

    def read(db):
        rows = db.execute(shards.select().where(shards.c.job_id == job_id, shards.c.state == ShardState.LEASED)).all()
        return leases_of(db, [(row, ()) for row in rows])

    return store._db.write(read)
