"""Pictures whose results are known: from an earlier run, from another shard, or from one that is in work."""

import hashlib
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import select

from inference_engine.opencv import import_cv2
from jobstore.queues import queue_name
from jobstore.result_cache import KnownResult
from jobstore.schema import ItemRef, JobSpec, JobState, OutcomeState
from jobstore.store import JobStore
from jobstore.tables import outcomes
from tests.fixtures.video_worker import PACKAGE, NumberModel, a_worker, run_all
from tests.fixtures.videos import draw_number
from workers.results import ResultBook, is_finite

OK, CACHED = OutcomeState.OK, OutcomeState.CACHED


@dataclass
class World:
    store: JobStore
    folder: object
    model: NumberModel
    runtime: object
    made: list = field(default_factory=list)

    def photo(self, name, number):
        file = self.folder / f"{name}.png"
        import_cv2().imwrite(str(file), draw_number(number))
        return file

    def photos(self, numbers):
        return [self.photo(index, number) for index, number in enumerate(numbers)]

    def submit(self, files, **spec):
        refs = [ItemRef(str(file)) for file in files]
        return self.store.add_job(JobSpec("m", **spec), refs, lambda hardware: queue_name(hardware, "m"))

    def run(self, files, **spec):
        """Label files; give what the model was run on for it, and how the items ended."""
        before, job_id = len(self.model.seen), self.submit(files, **spec)
        run_all(self.runtime)
        assert self.store.status(job_id).is_ended
        return sorted(self.model.seen[before:]), [row.state for row in self.store.results(job_id)]

    def rows(self, job_id):
        query = select(outcomes).where(outcomes.c.job_id == job_id).order_by(outcomes.c.idx)
        return self.store._db.read(lambda db: db.execute(query).all())


@pytest.fixture
def world(tmp_path):
    with JobStore.open(f"sqlite:///{tmp_path}/jobs.db") as store:
        store.create_schema()
        model = NumberModel()
        with a_worker(store, model, results=ResultBook(store)) as runtime:
            yield World(store, tmp_path, model, runtime)


def forget(world):
    """As another process would: what this one remembers is gone, what is in the store stays."""
    world.runtime.results._recent.clear()


@pytest.mark.parametrize("is_same_process", [True, False], ids=["same process", "another process"])
def test_a_second_run_over_the_same_folder_runs_only_what_was_added(world, is_same_process):
    files = world.photos(range(40))
    assert world.run(files, shard_size=16) == (list(range(40)), [OK] * 40)
    if not is_same_process:
        forget(world)

    added = [world.photo(f"new {number}", number) for number in (100, 101, 102)]

    assert world.run(files + added, shard_size=16) == ([100, 101, 102], [CACHED] * 40 + [OK] * 3)


def test_a_record_that_was_taken_over_is_the_computed_one_byte_for_byte(world):
    files = world.photos([3, 4])
    first = world.submit(files)
    run_all(world.runtime)
    forget(world)
    second = world.submit(files)
    run_all(world.runtime)

    old, new = world.rows(first), world.rows(second)

    assert [row.state for row in new] == [CACHED, CACHED]
    assert [(row.record, row.blob, row.content) for row in new] == [(row.record, row.blob, row.content) for row in old]
    assert [row.content for row in new] == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_changed_bytes_under_the_same_name_are_run(world):
    files = world.photos([1, 2])
    world.run(files)
    world.photo(1, 7)

    assert world.run(files) == ([7], [CACHED, OK])


def test_the_same_bytes_under_another_name_are_not(world):
    world.run(world.photos([1, 2]))

    assert world.run([world.photo("copy", 2)]) == ([], [CACHED])


def other_package(world):
    world.model.package = SimpleNamespace(**PACKAGE | {"digest": "sha256:2"})
    return {}


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {"params": {"confidence": 0.3}},
        other_package,
        lambda _: {"tenant": "another"},
        lambda _: {"use_cache": False},
    ],
    ids=["other parameters", "another package", "another tenant", "without the cache"],
)
def test_what_was_made_otherwise_is_not_taken_over(world, change):
    files = world.photos([1, 2])
    world.run(files)

    assert world.run(files, **change(world)) == ([1, 2], [OK, OK])


def test_a_tenants_result_is_not_shared_with_another_who_runs_the_same_picture_now(world):
    file = world.photo("one", 9)
    jobs = [world.submit([file], tenant=tenant) for tenant in "ab"]

    run_all(world.runtime)

    assert [world.store.status(job_id).cached for job_id in jobs] == [0, 0]
    assert world.model.seen == [9, 9]


def test_the_order_of_parameters_does_not_matter(world):
    file = world.photo("one", 9)
    world.run([file], params={"a": 1, "b": 2})

    assert world.run([file], params={"b": 2, "a": 1}) == ([], [CACHED])


def test_what_failed_is_tried_again(world):
    broken = world.folder / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    world.model.before = lambda number: (_ for _ in ()).throw(RuntimeError("no")) if number == 5 else None
    files = [broken, world.photo("five", 5)]
    assert world.run(files) == ([5], [OutcomeState.FAILED] * 2)

    world.model.before = lambda _: None

    assert world.run(files) == ([5], [OutcomeState.FAILED, OK])


def test_what_is_no_number_is_not_kept(world):
    world.model.told = lambda _: SimpleNamespace(to_record=lambda: {"value": float("nan"), "confidence": []})
    file = world.photo("one", 1)
    world.run([file])

    assert world.run([file]) == ([1], [OK])
    assert world.store.known.size().results == 0


@pytest.mark.parametrize("shard_size", [64, 2], ids=["in one shard", "across shards"])
def test_the_same_picture_many_times_in_a_job_is_run_once(world, shard_size):
    files = [world.photo(index, 11) for index in range(20)]

    ran, states = world.run(files, shard_size=shard_size)

    assert ran == [11]
    assert sorted(states) == [CACHED] * 19 + [OK]


def test_a_twin_waits_for_the_one_in_work_and_takes_its_result(world):
    started, may_end = threading.Event(), threading.Event()

    def hold(_):
        started.set()
        assert may_end.wait(30)

    world.model.before = hold
    told = []
    with_twin = threading.Thread(target=lambda: told.append(world.run([world.photo("a", 8), world.photo("b", 8)])))
    with_twin.start()
    assert started.wait(30)
    may_end.set()
    with_twin.join(30)

    assert [(ran, sorted(states)) for ran, states in told] == [([8], [CACHED, OK])]


def test_twins_of_one_that_fails_are_run_themselves(world):
    failures = iter([RuntimeError("this time")])

    def once(_):
        if (error := next(failures, None)) is not None:
            raise error

    world.model.before = once

    ran, states = world.run([world.photo(index, 8) for index in range(4)])

    assert ran == [8, 8]
    assert sorted(states) == [CACHED, CACHED, OutcomeState.FAILED, OK]


def test_a_suspect_shard_looks_nothing_up(world):
    file = world.photo("one", 6)
    world.run([file])
    job_id = world.submit([file])
    (hint,) = world.store.release(1)
    lease = world.store.lease_shard(hint.shard_id, hint.attempt, world.runtime.worker_id, 30.0)
    world.store.count_death(lease, 3)

    run_all(world.runtime)

    assert (world.store.status(job_id).ok, world.store.status(job_id).cached) == (1, 0)


def test_a_drain_in_the_middle_gives_back_what_was_only_read(world):
    files = world.photos(range(40))
    world.model.before = lambda number: world.runtime.draining.set() if number == 3 else None
    job_id = world.submit(files)
    run_all(world.runtime)
    assert world.store.state(job_id) is JobState.RUNNING

    world.runtime.draining.clear()
    run_all(world.runtime)

    assert world.store.status(job_id).state is JobState.COMPLETED
    assert sorted(world.model.seen) == list(range(40))


class TestResultBook:
    def test_who_comes_second_is_told_by_the_first(self, world):
        book, told = ResultBook(world.store), []
        assert book.claim("k", told.append)
        assert not book.claim("k", told.append)

        book.settle("k", KnownResult({"value": 1}))

        assert told == [KnownResult({"value": 1})]
        assert not book.claim("k", told.append)
        assert told == [KnownResult({"value": 1})] * 2

    def test_what_failed_is_the_next_ones_to_make(self, world):
        book, told = ResultBook(world.store), []
        book.claim("k", told.append)
        book.claim("k", told.append)

        book.settle("k", None)

        assert told == [None]
        assert book.claim("k", told.append)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"a": [1.0, 2], "b": {"c": "text"}, "d": None}, True),
        ({"a": [[0.5, float("nan")]]}, False),
        ({"a": {"b": float("inf")}}, False),
    ],
    ids=["numbers", "not a number", "infinity"],
)
def test_a_record_with_what_json_cannot_write_is_told_from_others(record, expected):
    assert is_finite(record) is expected
    assert is_finite(np.float64("nan")) is False
