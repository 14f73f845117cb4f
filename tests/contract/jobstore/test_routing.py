import pytest

from jobstore.routing import Move, Serving, plan_moves
from jobstore.schema import JobState, WorkerId, WorkerRow
from tests.fixtures.jobs import (
    ALICE,
    LEASE_S,
    add,
    assert_books_balance,
    finish,
    lease_next,
    queue_of,
    run_to_end,
    take,
)

BOTH = ("gpu-sm90", "cpu")
REFUSED = ("no_runnable_backend", "nothing runs it here")
#: No worker was seen for so long: longer than the test has run.
AT_ONCE, LONG = 0.0, 3600.0


def waiting(store):
    return {row.queue: row.pending + row.queued for row in store.fleet.queues()}


def report(store, hardware, name="w1", **more):
    store.fleet.heartbeat(WorkerRow(WorkerId(name), "host", 1, hardware, "cpu", **more))


def test_a_job_begins_in_the_queue_of_its_first_class(store):
    add(store, 8, hardware=BOTH)

    assert waiting(store) == {queue_of("gpu-sm90"): 2}


def test_a_refused_class_hands_its_shards_to_the_next(store):
    job_id = add(store, 12, hardware=BOTH)
    sent = store.release(2)
    lease = take(store, sent[0])

    assert store.refuse_class(job_id, lease.hardware, *REFUSED) == "cpu"

    assert lease.queue == queue_of("gpu-sm90")
    assert waiting(store) == {queue_of("cpu"): 2}
    assert store.lease_shard(sent[1].shard_id, sent[1].attempt, ALICE, LEASE_S) is None
    assert store.release_shard(lease) is True
    assert waiting(store) == {queue_of("cpu"): 3}
    run_to_end(store)
    assert store.status(job_id).state is JobState.COMPLETED
    assert_books_balance(store, job_id)


def test_a_second_refusal_of_one_class_gives_the_same_answer(store):
    job_id = add(store, 4, hardware=BOTH)

    assert [store.refuse_class(job_id, "gpu-sm90", *REFUSED) for _ in range(2)] == ["cpu", "cpu"]
    assert [event.kind for event in store.events(job_id)].count("class_refused") == 1


def test_when_every_class_has_refused_the_job_fails_with_all_reasons(store):
    job_id = add(store, 4, hardware=BOTH)
    store.refuse_class(job_id, "gpu-sm90", "no_runnable_backend", "no plan for sm90")

    assert store.refuse_class(job_id, "cpu", "no_runnable_backend", "onnx is not installed") is None

    job = store.status(job_id)
    assert (job.state, job.reason, job.skipped) == (JobState.FAILED, "no_runnable_backend", 4)
    assert job.message == "gpu-sm90: no plan for sm90\ncpu: onnx is not installed"
    assert store.refuse_class(job_id, "cpu", *REFUSED) is None


def test_the_only_class_that_refuses_fails_the_job_in_its_own_words(store):
    job_id = add(store, 4)

    assert store.refuse_class(job_id, "cpu", *REFUSED) is None
    assert store.status(job_id).message == "nothing runs it here"


def test_shards_of_a_class_that_nobody_serves_move_to_one_that_somebody_does(store):
    add(store, 8, hardware=BOTH)
    report(store, "cpu")

    assert store.relay.reroute(32, LONG) == 0
    assert store.relay.reroute(32, AT_ONCE) == 2
    assert waiting(store) == {queue_of("cpu"): 2}


def test_without_any_worker_the_job_waits_and_says_why(store):
    job_id = add(store, 8, hardware=BOTH)

    assert store.relay.reroute(32, AT_ONCE) == 0
    assert store.status(job_id).state is JobState.RUNNING
    assert store.why_waiting(job_id) == "no worker serves gpu-sm90"
    report(store, "gpu-sm90")
    assert store.why_waiting(job_id) is None


def test_a_worker_that_drains_or_stopped_serves_nothing(store):
    job_id = add(store, 4)
    report(store, "cpu", state="draining")

    assert store.why_waiting(job_id) == "no worker serves cpu"


def test_every_gpu_serves_gpu_any(store):
    job_id = add(store, 4, hardware=("gpu-any",))
    report(store, "gpu-sm75")

    assert waiting(store) == {queue_of("gpu-any"): 1}
    assert store.why_waiting(job_id) is None


def test_a_windows_worth_spills_over_to_idle_workers_of_a_further_class(store):
    add(store, 40, hardware=BOTH)
    report(store, "gpu-sm90", "gpu")
    report(store, "cpu", "cpu")

    assert [store.relay.reroute(3, LONG), store.relay.reroute(3, LONG)] == [3, 0]
    assert waiting(store) == {queue_of("gpu-sm90"): 7, queue_of("cpu"): 3}
    assert [take(store, hint).items[0].idx for hint in store.release(1, queue_of("gpu-sm90"))] == [0]


def test_a_window_that_is_not_full_spills_nothing(store):
    add(store, 12, hardware=BOTH)
    report(store, "cpu")
    report(store, "gpu-sm90", "gpu")

    assert store.relay.reroute(3, LONG) == 0


def test_a_busy_worker_attracts_nothing(store):
    add(store, 4)
    take(store, store.release(1)[0], WorkerId("w1"))
    add(store, 40, hardware=BOTH)
    report(store, "cpu")

    assert store.relay.reroute(3, LONG) == 0


def test_what_spilled_over_comes_back_when_the_better_class_is_idle(store):
    job_id = add(store, 40, hardware=BOTH)
    report(store, "cpu")
    store.relay.reroute(3, AT_ONCE)
    report(store, "gpu-sm90", "gpu")

    assert store.relay.reroute(3, LONG) == 3
    assert waiting(store) == {queue_of("cpu"): 7, queue_of("gpu-sm90"): 3}
    run_to_end(store)
    assert_books_balance(store, job_id)


def test_a_refused_class_attracts_nothing_however_idle_it_is(store):
    job_id = add(store, 40, hardware=BOTH)
    report(store, "cpu")
    report(store, "gpu-sm90", "gpu")
    store.refuse_class(job_id, "cpu", *REFUSED)

    assert store.relay.reroute(3, LONG) == 0
    assert waiting(store) == {queue_of("gpu-sm90"): 10}


def test_a_shard_at_work_stays_its_workers_when_its_class_is_refused(store):
    job_id = add(store, 4, hardware=BOTH)
    lease = lease_next(store)

    store.refuse_class(job_id, "gpu-sm90", *REFUSED)

    assert finish(store, lease) is True


@pytest.mark.parametrize(
    ("waiting", "serving", "expected"),
    [
        ({"a": 9}, Serving(frozenset("a"), frozenset("a"), frozenset()), []),
        ({"a": 9}, Serving(frozenset("b"), frozenset("b"), frozenset()), [Move("a", "b", None, "unserved")]),
        ({"a": 9}, Serving(frozenset(), frozenset(), frozenset()), []),
        ({"a": 9}, Serving(frozenset("ab"), frozenset("ab"), frozenset("b")), [Move("a", "b", 4, "idle")]),
        ({"a": 4}, Serving(frozenset("ab"), frozenset("ab"), frozenset("b")), []),
        ({"b": 1}, Serving(frozenset("ab"), frozenset("ab"), frozenset("a")), [Move("b", "a", 4, "idle")]),
        ({"a": 9, "b": 1}, Serving(frozenset("ab"), frozenset("ab"), frozenset("b")), []),
        ({"x": 9}, Serving(frozenset("abx"), frozenset("abx"), frozenset()), [Move("x", "a", None, "unserved")]),
    ],
    ids=["served", "unserved", "nobody", "spill", "window-not-full", "back", "already-there", "refused"],
)
def test_moves_follow_who_serves_and_who_is_idle(waiting, serving, expected):
    assert plan_moves(["a", "b"], waiting, serving, 4) == expected
