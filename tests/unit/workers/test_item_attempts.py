"""Items that fail for a passing reason, sessions that break, workers that die: tried again, and nobody is blamed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from sqlalchemy import select

from inference_engine.errors import OutOfMemory, SessionFailed
from jobstore.tables import outcomes
from tests.fixtures.scripted_worker import MARK
from workers.leaving import Exit
from workers.media import FileReader, MediaError


class FlakyReader:
    """Fails so often for each file before it reads it."""

    def __init__(self, failures, name=""):
        self._left = Counter()
        self._failures, self._name = failures, name

    def read(self, uri):
        self._left[uri] += 1
        if self._name in uri and self._left[uri] <= self._failures:
            raise MediaError("read_failed", f"{uri}: the storage is busy")
        return FileReader().read(uri)


def tries_of(world, job_id):
    """Of each item, as they are stored."""
    query = select(outcomes.c.tries).where(outcomes.c.job_id == job_id).order_by(outcomes.c.idx)
    return world.store._db.read(lambda db: list(db.execute(query).scalars()))


def test_an_item_that_fails_for_a_passing_reason_is_tried_again_and_its_tries_are_kept(world):
    world.runtime = replace(world.runtime, media=FlakyReader(2, "/1.png"))
    job_id = world.submit(world.photos([7, 8, 9]))

    world.run_all()

    assert [row.record["value"] for row in world.store.results(job_id)] == [7, 8, 9]
    assert tries_of(world, job_id) == [1, 3, 1]


def test_after_three_tries_an_item_has_failed_and_no_worker_has_died(world):
    world.runtime = replace(world.runtime, media=FlakyReader(3))
    job_id = world.submit(world.photos([7]))

    world.run_all()

    (row,) = world.store.results(job_id)
    assert (row.error.code, row.attempt, tries_of(world, job_id)) == ("read_failed", 1, [3])
    assert all(world.runtime.turns.permits.acquire(timeout=1) for _ in range(8))


def test_an_image_that_its_session_alone_refuses_is_tried_three_times_and_costs_only_itself(world):
    world.model.fails = SessionFailed("the runtime does not take this shape")
    job_id = world.submit(world.photos([1, MARK, 3, 4]))

    world.run_all()

    assert [row.state for row in world.store.results(job_id)] == ["ok", "failed", "ok", "ok"]
    assert (world.opener.opened, world.exits) == (1, [])
    assert tries_of(world, job_id)[1] == 3


def test_an_image_for_which_there_is_no_memory_even_alone_fails_with_that_code(world):
    world.model.fails = OutOfMemory("no room")
    job_id = world.submit(world.photos([1, MARK, 3, 4]))

    world.run_all()

    assert [group.code for group in world.store.failures(job_id)] == ["out_of_memory"]


def break_after(model, images):
    """Let the session break when it has run so many images."""
    seen = []

    def before(tensors):
        seen.extend(tensors["images"])
        model.is_broken = len(seen) > images

    model.before = before


def test_a_session_that_breaks_is_opened_anew_and_no_item_is_blamed(world):
    job_id = world.submit(world.photos(range(1, 21)))
    break_after(world.model, 5)

    assert world.run_all() == [()]
    world.model.before, world.model.is_broken = lambda _: None, False
    world.run_all()

    status = world.store.status(job_id)
    assert (status.ok, status.failed, world.opener.opened, world.exits) == (20, 0, 2, [])


def test_a_session_that_breaks_again_ends_the_process_and_a_death_is_counted(world):
    job_id = world.submit(world.photos([1, 2, 3]))
    world.model.is_broken = True

    world.run_all()
    world.run_all()

    assert world.exits == [Exit.BROKEN]
    (hint,) = world.store.release(10)
    lease = world.store.lease_shard(hint.shard_id, hint.attempt, world.runtime.worker_id, 30.0)
    assert (lease.deaths, len(lease.items), world.store.status(job_id).failed) == (1, 3, 0)


def test_a_shard_over_which_a_worker_died_is_run_one_image_at_a_time(world):
    job_id = world.submit(world.photos(range(1, 9)))
    (hint,) = world.store.release(1)
    lease = world.store.lease_shard(hint.shard_id, hint.attempt, world.runtime.worker_id, 30.0)
    assert world.store.count_death(lease, 3)

    world.run_all()

    assert world.model.batches == [[value] for value in range(1, 9)]
    assert world.store.status(job_id).ok == 8
