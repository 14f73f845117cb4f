import threading
from collections import Counter

from jobstore.schema import ItemRef, JobSpec
from tests.fixtures.jobs import ALICE, LEASE_S, add, finish, queue_of, take


def jobs_of(store, hints):
    """The job of each hint, by leasing it."""
    return [take(store, hint).job_id for hint in hints]


def test_no_more_than_a_window_is_released(store):
    add(store, 40)

    assert [len(store.release(3)), len(store.release(3)), len(store.release(5))] == [3, 0, 2]


def test_a_leased_shard_makes_room(store):
    add(store, 40)
    hints = store.release(3)
    take(store, hints[0])

    assert len(store.release(3)) == 1


def test_each_queue_has_a_window_of_its_own(store):
    for hardware in ("cpu", "gpu"):
        add(store, 40, hardware=(hardware,))

    assert Counter(hint.queue for hint in store.release(3)) == {queue_of("cpu"): 3, queue_of("gpu"): 3}


def test_one_queue_can_be_released_alone(store):
    for hardware in ("cpu", "gpu"):
        add(store, 40, hardware=(hardware,))

    assert {hint.queue for hint in store.release(3, queue_of("gpu"))} == {queue_of("gpu")}


def test_a_job_runs_in_its_order(store):
    add(store, 16)

    firsts = [take(store, hint).items[0].idx for hint in store.release(4)]

    assert firsts == [0, 4, 8, 12]


def test_a_small_job_does_not_wait_behind_a_big_one(store):
    big, small = add(store, 400), add(store, 8)

    assert jobs_of(store, store.release(6)) == [big, small, big, small, big, big]


def test_a_small_job_gets_the_next_place_though_a_big_one_fills_the_window(store):
    add(store, 400)
    running = store.release(4)
    small = add(store, 8)

    finish(store, take(store, running[0]))

    assert jobs_of(store, store.release(4)) == [small]


def test_a_higher_priority_goes_first(store):
    low, high = add(store, 8), add(store, 8, priority=5)

    assert jobs_of(store, store.release(4)) == [high, high, low, low]


def test_tenants_share_alike_however_many_jobs_they_have(store):
    many = [add(store, 40, tenant="many") for _ in range(3)]
    single = add(store, 40, tenant="single")

    counted = Counter(jobs_of(store, store.release(6)))

    assert counted == {single: 3} | dict.fromkeys(many, 1)


def test_two_callers_at_once_release_nothing_twice(store):
    add(store, 400)
    gate = threading.Barrier(4)
    hints = []

    def release():
        gate.wait()
        for _ in range(5):
            hints.extend(store.release(40))

    threads = [threading.Thread(target=release) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert len(hints) == 40
    assert len({hint.shard_id for hint in hints}) == 40


def test_queues_with_work_are_those_of_the_class_in_which_shards_wait(store):
    for model in ("b", "a"):
        store.add_job(JobSpec(model=model), [ItemRef("/1.png")], lambda kind, model=model: f"infer.{kind}.{model}")
    add(store, 4, hardware=("gpu",))

    assert store.fleet.queues_with_work(["cpu"]) == ["infer.cpu.a", "infer.cpu.b"]
    assert store.fleet.queues_with_work(["gpu", "cpu"]) == ["infer.cpu.a", "infer.cpu.b", "infer.gpu.digits"]
    assert store.fleet.queues_with_work(["tpu"]) == []
    assert store.fleet.queues_with_work([]) == []
    for hint in store.release(8):
        store.lease_shard(hint.shard_id, hint.attempt, ALICE, LEASE_S)
    assert store.fleet.queues_with_work(["cpu"]) == []


def test_queues_say_what_waits_and_what_runs(store):
    add(store, 40)
    take(store, store.release(3)[0])

    row = store.fleet.queues("cpu")[0]

    assert (row.pending, row.queued, row.leased, row.items_left) == (7, 2, 1, 40)
    assert 0 <= row.oldest_age_s < 60
    assert store.fleet.queues("gpu") == []
