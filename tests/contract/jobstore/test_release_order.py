"""The window's order, held against a plain model of it that ranks every shard that waits."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select, update

from jobstore.schema import ShardState
from jobstore.tables import shards
from tests.fixtures.jobs import add, queue_of

WINDOW = 6
WEIGHTS = {"a": 1.0, "b": 2.0, "c": 1.0}


@dataclass
class Job:
    """What the order hangs on; `born` counts the jobs."""

    tenant: str
    priority: int
    deadline: float | None
    born: int
    pending: int
    busy: int = 0


@dataclass
class Model:
    """Ranks every pending shard of every job."""

    jobs: dict = field(default_factory=dict)
    queued: list = field(default_factory=list)

    def choose(self):
        """Give how many shards of each job a release takes."""
        busy, groups = Counter(), defaultdict(list)
        for job_id, job in self.jobs.items():
            busy[job.tenant] += job.busy
            for number in range(1, job.pending + 1):
                key = (job.deadline or 1e18, job.busy + number, job.born)
                groups[job.tenant, job.priority].append((key, job_id))
        ranked = [
            ((-priority, (busy[tenant] + turn) / WEIGHTS[tenant], key), job_id)
            for (tenant, priority), waiting in groups.items()
            for turn, (key, job_id) in enumerate(sorted(waiting), 1)
        ]
        return Counter(job_id for _, job_id in sorted(ranked)[: WINDOW - len(self.queued)])

    def released(self, rows):
        """Write down what was."""
        for row in rows:
            self.jobs[row.job_id].pending -= 1
            self.jobs[row.job_id].busy += 1
            self.queued.append(row.id)


def crowd(store, chance):
    """Make twelve jobs at random."""
    model = Model()
    for tenant, weight in WEIGHTS.items():
        store.set_weight(tenant, weight)
    for born in range(12):
        job = Job(
            chance.choice(sorted(WEIGHTS)), chance.choice((0, 0, 0, 3)), chance.choice((None, None, 4e9, 5e9)), born,
            chance.choice((1, 2, 9)),
        )  # fmt: skip
        spec = {"tenant": job.tenant, "priority": job.priority, "deadline": job.deadline}
        model.jobs[add(store, 4 * job.pending, **spec)] = job
    return model


def rows_of(store, hints):
    query = select(shards.c.id, shards.c.job_id).where(shards.c.id.in_([hint.shard_id for hint in hints]))
    return store._db.read(lambda db: db.execute(query).all())


def lease(store, shard_ids):
    """Have these in work, and no others for them: what a hint is worth is another question."""
    change = update(shards).where(shards.c.id.in_(shard_ids)).values(state=ShardState.LEASED)
    store._db.write(lambda db: db.execute(change))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("queue", [None, queue_of("cpu")], ids=["all queues", "one queue"])
def test_a_release_chooses_what_ranking_every_shard_chooses(store, seed, queue):
    chance = random.Random(seed)
    model = crowd(store, chance)
    while any(job.pending for job in model.jobs.values()):
        wanted = model.choose()

        rows = rows_of(store, store.release(WINDOW, queue))

        assert Counter(row.job_id for row in rows) == wanted
        model.released(rows)
        taken = [model.queued.pop(0) for _ in range(min(len(model.queued), chance.randint(1, WINDOW)))]
        lease(store, taken)
