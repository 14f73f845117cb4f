import pytest

from jobstore.connection import WRITES, make_engine
from jobstore.errors import LeaseLost
from jobstore.schema import JobState, WorkerId, WorkerRow
from jobstore.tables import shards, workers
from tests.fixtures.jobs import ALICE, BOB, LEASE_S, add, assert_books_balance, finish, lease_next, ok, take, write


@pytest.fixture
def let_pass(database_url):
    """Move times back by so many seconds: those of shards, or of workers' reports."""
    engine = make_engine(database_url).execution_options(**{WRITES: True})

    def passed(seconds, table=shards, columns=("leased_at", "ended")):
        with engine.begin() as connection:
            connection.execute(table.update().values({name: table.c[name] - seconds for name in columns}))

    yield passed
    engine.dispose()


def report(store, name, hardware="cpu", **more):
    store.fleet.heartbeat(WorkerRow(WorkerId(name), "host", 1, hardware, "cpu", **more))


def a_job_with_one_shard_left(store, shards_done=3):
    """The last shard is BOB's; ALICE has nothing to do."""
    job_id = add(store, 4 * (shards_done + 1))
    for _ in range(shards_done):
        finish(store, lease_next(store))
    report(store, ALICE)
    report(store, BOB)
    return job_id, lease_next(store, BOB)


def test_a_shard_far_slower_than_the_others_goes_to_an_idle_worker(store, let_pass):
    job_id, slow = a_job_with_one_shard_left(store)
    write(store, slow, [ok(slow.items[0].idx)])
    let_pass(30)

    assert store.relay.offer_stragglers() == 1

    quick = take(store, store.release(1)[0])
    assert [item.idx for item in quick.items] == [item.idx for item in slow.items[1:]]
    with pytest.raises(LeaseLost):
        finish(store, slow)
    assert finish(store, quick) is True
    assert store.status(job_id).state is JobState.COMPLETED
    assert [row.attempt for row in store.results(job_id)][-4:] == [1, 2, 2, 2]
    assert "straggler_offered" in [event.kind for event in store.events(job_id)]
    assert_books_balance(store, job_id)


def test_the_slow_owner_may_win_before_anybody_begins(store, let_pass):
    """It is fenced all the same: two owners at once would do the work twice."""
    _, slow = a_job_with_one_shard_left(store)
    let_pass(30)
    store.relay.offer_stragglers()

    assert store.renew(BOB, [(slow.shard_id, slow.attempt)], LEASE_S).kept == frozenset()
    assert store.release_shard(slow) is False


def test_nobody_is_robbed_more_than_twice(store, let_pass):
    a_job_with_one_shard_left(store)
    counts = []
    for _ in range(4):
        let_pass(30)
        counts.append(store.relay.offer_stragglers())
        for hint in store.release(1):
            take(store, hint, BOB)

    assert counts == [1, 1, 0, 0]


@pytest.mark.parametrize(
    "only",
    [{"hardware": "gpu-sm90"}, {"state": "draining"}, {"state": "stopped"}],
    ids=["of-another-class", "drains", "stopped"],
)
def test_without_an_idle_worker_of_the_class_the_slow_one_goes_on(store, let_pass, only):
    _, slow = a_job_with_one_shard_left(store)
    report(store, ALICE, **only)
    let_pass(30)

    assert store.relay.offer_stragglers() == 0
    assert finish(store, slow) is True


def test_a_shard_is_not_taken_while_others_of_its_job_wait(store, let_pass):
    add(store, 40)
    finish(store, lease_next(store))
    report(store, ALICE)
    report(store, BOB)
    lease_next(store, BOB)
    let_pass(30)

    assert store.relay.offer_stragglers() == 0


def test_a_shard_as_slow_as_the_others_is_left_alone(store, let_pass):
    job_id = add(store, 8)
    first, last = [take(store, hint, owner) for hint, owner in zip(store.release(2), (ALICE, BOB), strict=True)]
    let_pass(20)
    finish(store, first)
    report(store, ALICE)
    let_pass(10)

    assert store.relay.offer_stragglers() == 0
    assert finish(store, last) is True
    assert_books_balance(store, job_id)


def test_a_silent_owner_loses_its_last_shard_before_its_lease_runs_out_but_once(store, let_pass):
    add(store, 4)
    report(store, BOB)
    lease_next(store, BOB)
    let_pass(20, workers, ["heartbeat"])
    report(store, ALICE)

    assert store.relay.offer_stragglers() == 1
    take(store, store.release(1)[0], BOB)
    assert store.relay.offer_stragglers() == 0
