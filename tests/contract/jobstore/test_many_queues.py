"""Thousands of queues whose jobs have ended or are stopped cost those who look for work nothing."""

import pytest
from sqlalchemy import event, insert

from jobstore.ids import new_id
from jobstore.schema import JobState, ShardState, WorkerId, WorkerRow
from jobstore.store import JobStore
from jobstore.tables import jobs, shards
from tests.fixtures.jobs import ALICE, add, lease_next

QUEUES = 3_000
#: Steps of SQLite's virtual machine between two calls of the counter.
RESOLUTION = 10

ASKS = {
    "an idle worker": lambda store: store.fleet.queues_with_work(["cpu"]),
    "a full worker": lambda store: store.newcomer(["infer.cpu.digits"]),
    "release": lambda store: store.release(4),
    "release of a queue": lambda store: store.release(4, "infer.cpu.digits"),
    "expire_leases": lambda store: store.relay.expire_leases(3),
    "expire_jobs": lambda store: store.relay.expire_jobs(),
    "judge_jobs": lambda store: store.relay.judge_jobs(),
    "offer_stragglers": lambda store: store.relay.offer_stragglers(),
    "reroute": lambda store: store.relay.reroute(4, 60.0),
    "recall_outranked": lambda store: store.relay.recall_outranked(),
    "hinted_queues": lambda store: store.relay.hinted_queues(),
    "requeue_lost": lambda store: store.relay.requeue_lost(["infer.cpu.digits"], 60.0),
}


@pytest.fixture
def counted(sqlite_url):
    """A store on SQLite, and a function that counts the steps of the database's machine during a call."""
    steps = [0]

    def count():
        steps[0] += RESOLUTION
        return 0

    with JobStore.open(sqlite_url) as store:
        event.listen(
            store._db._reader, "connect", lambda connection, _: connection.set_progress_handler(count, RESOLUTION)
        )
        store.create_schema()

        def cost_of(ask):
            ask(store)  # prepares statements
            steps[0] = 0
            ask(store)
            return steps[0]

        yield store, cost_of


def crowd(store):
    """Write 3,000 jobs of other models, each with a queue of its own and ten shards: half stopped, half ended."""
    states = [
        (JobState.PAUSED, ShardState.HELD),
        (JobState.CANCELLED, ShardState.CANCELLED),
        (JobState.NEEDS_ATTENTION, ShardState.HELD),
        (JobState.COMPLETED, ShardState.DONE),
    ]
    job_rows, shard_rows = [], []
    for number in range(QUEUES):
        job_id, (job_state, shard_state) = new_id(), states[number % len(states)]
        job_rows.append({
            "id": job_id, "tenant": "default", "name": "n", "model": f"m{number}", "params": "{}", "wishes": "{}",
            "hardware": '["gpu-sm90","cpu"]', "tags": "{}", "priority": 0, "max_failure_rate": 0.0, "max_failures": 0,
            "state": job_state, "total": 10, "shards_left": 10, "canary_items": 1, "created": 1.0, "expires": 9e9,
        })  # fmt: skip
        shard_rows += [
            {
                "id": new_id(), "job_id": job_id, "seq": seq, "first_idx": seq, "last_idx": seq, "size": 1,
                "queue": f"infer.cpu.m{number}", "hardware": "cpu", "state": shard_state, "created": 1.0,
            }
            for seq in range(10)
        ]  # fmt: skip
    store._db.write(lambda db: (db.execute(insert(jobs), job_rows), db.execute(insert(shards), shard_rows)))


def a_running_fleet(store):
    """Two jobs, one of them with several classes, and a worker of each class, one of them busy."""
    add(store, 40, shard_size=4)
    add(store, 40, shard_size=4, hardware=("gpu-sm90", "cpu"), expires=9e9)
    for name, hardware in ((ALICE, "cpu"), (WorkerId("gpu"), "gpu-sm90")):
        store.fleet.heartbeat(WorkerRow(name, "host", 1, hardware, "cpu"))
    lease_next(store)
    store.release(4)


def test_looking_for_work_and_the_relays_tick_cost_the_same_beside_3000_quiet_queues(counted):
    store, cost_of = counted
    a_running_fleet(store)
    before = {name: cost_of(ask) for name, ask in ASKS.items()}
    crowd(store)

    after = {name: cost_of(ask) for name, ask in ASKS.items()}

    slower = {name: (before[name], steps) for name, steps in after.items() if steps > 1.5 * before[name] + 1_000}
    assert slower == {}


def test_the_counter_would_notice_a_statement_that_visits_every_queue(counted):
    store, cost_of = counted
    a_running_fleet(store)
    crowd(store)

    assert cost_of(lambda store: store.jobs(states=[JobState.PAUSED], limit=QUEUES)) > 10 * QUEUES
