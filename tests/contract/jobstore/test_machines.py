"""Which machine stands for a hardware class: the newest live worker's, or else the last one's."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

from jobstore import old_workers
from jobstore.heartbeats import ALIVE_S
from jobstore.schema import WorkerId, WorkerRow
from jobstore.tables import machines, workers
from tests.fixtures.gateways import a_decision
from tests.fixtures.jobs import ALICE, BOB, LEASE_S, add, lease_next, ok

DAY_S = 86_400.0


def start(store, name, *serves, machine="plain", silent_s=0.0, age_s=0.0):
    """A worker that began `age_s` ago and was heard last `silent_s` ago."""
    told = None if machine is None else {"machine": machine}
    store.fleet.heartbeat(WorkerRow(WorkerId(name), "host", 7, serves[0], "cpu", serves=serves), told)
    with store._db._writer.begin() as database:
        times = {"started": workers.c.started - age_s, "heartbeat": workers.c.heartbeat - silent_s}
        database.execute(update(workers).where(workers.c.id == name).values(times))


def rows_of(store, table):
    return store._db.read(lambda db: db.execute(select(func.count()).select_from(table)).scalar_one())


def test_machines_that_are_alike_are_described_once(store):
    store.fleet.heartbeat(WorkerRow(WorkerId("a"), "host", 7, "cpu", "cpu"), {"cores": 2, "features": ["avx2"]})
    store.fleet.heartbeat(WorkerRow(WorkerId("b"), "host", 8, "cpu", "cpu"), {"features": ["avx2"], "cores": 2})

    assert rows_of(store, machines) == 1


def test_a_heartbeat_leaves_what_was_reported(store):
    start(store, "a", "cpu", machine="first")

    store.fleet.heartbeat(WorkerRow(WorkerId("a"), "host", 7, "cpu", "cpu"))

    assert store.fleet.machine_of_class("cpu").description == {"machine": "first"}


@pytest.mark.parametrize(
    ("hardware", "found"),
    [("cpu", "new"), ("cpu-amx", "amx"), ("gpu-any", "h200"), ("gpu-sm90", "h200"), ("gpu-sm80", None), ("u", None)],
)
def test_the_newest_live_worker_speaks_for_a_class_and_one_of_its_own_before_one_that_stands_in(store, hardware, found):
    start(store, "old", "cpu", machine="old", age_s=500)
    start(store, "new", "cpu", machine="new", age_s=400)
    start(store, "amx", "cpu-amx", "cpu", machine="amx", age_s=5)
    start(store, "h200", "gpu-sm90", "gpu-any", machine="h200")
    start(store, "dead", "cpu", machine="dead", silent_s=2 * ALIVE_S)

    report = store.fleet.machine_of_class(hardware)

    assert (report and report.description["machine"]) == found
    assert report is None or (report.is_live, report.hardware, report.age_s < ALIVE_S) == (True, hardware, True)


def test_one_that_stands_in_and_lives_goes_before_one_of_the_class_that_does_not(store):
    start(store, "dead", "cpu", machine="dead", silent_s=2 * ALIVE_S)
    start(store, "amx", "cpu-amx", "cpu", machine="amx")

    assert store.fleet.machine_of_class("cpu").description == {"machine": "amx"}


def test_without_a_live_worker_the_last_that_was_heard_speaks(store):
    start(store, "long ago", "cpu", machine="long ago", silent_s=3 * DAY_S, age_s=3 * DAY_S)
    start(store, "yesterday", "cpu", machine="yesterday", silent_s=DAY_S, age_s=9 * DAY_S)

    report = store.fleet.machine_of_class("cpu")

    assert (report.description, report.is_live, report.worker_id) == ({"machine": "yesterday"}, False, "yesterday")
    assert report.age_s == pytest.approx(DAY_S, abs=60)


def test_a_worker_that_stopped_is_not_live(store):
    start(store, "a", "cpu")
    store.fleet.worker_stopped(WorkerId("a"))

    assert store.fleet.machine_of_class("cpu").is_live is False


def test_a_worker_of_an_earlier_version_tells_nothing_and_hides_nobody(store):
    start(store, "silent", "cpu", machine=None)
    nothing = store.fleet.machine_of_class("cpu")
    start(store, "gone", "cpu", machine="gone", silent_s=2 * ALIVE_S)

    assert nothing is None
    assert store.fleet.machine_of_class("cpu").description == {"machine": "gone"}


def test_classes_are_remembered_for_as_long_as_is_asked(store):
    start(store, "old", "gpu-sm80", "gpu-any", silent_s=2 * DAY_S)
    start(store, "new", "cpu-amx", "cpu", machine=None)

    assert store.fleet.classes_seen(DAY_S) == ["cpu", "cpu-amx"]
    assert store.fleet.classes_seen(3 * DAY_S) == ["cpu", "cpu-amx", "gpu-any", "gpu-sm80"]


def ids_of(store):
    return store._db.read(lambda db: set(db.execute(select(workers.c.id)).scalars()))


def test_workers_of_long_ago_are_forgotten_with_machines_that_none_names(store):
    start(store, "old", "cpu", machine="old", silent_s=40 * DAY_S)
    start(store, "mute", "cpu", machine=None, silent_s=40 * DAY_S)
    start(store, "late", "cpu", machine="late", silent_s=20 * DAY_S)
    store._db.write(lambda db: db.execute(update(machines).values(created=machines.c.created - 40 * DAY_S)))

    assert store.fleet.forget_workers(30 * DAY_S, is_trial=True) == 2
    assert ids_of(store) == {"old", "mute", "late"}
    assert (store.fleet.forget_workers(30 * DAY_S), store.fleet.forget_workers(30 * DAY_S)) == (2, 0)

    assert (ids_of(store), rows_of(store, machines)) == ({"late"}, 1)
    start(store, "old", "cpu", machine="old")
    assert store.fleet.machine_of_class("cpu").description == {"machine": "old"}


def test_the_last_worker_of_each_class_that_told_of_its_machine_is_remembered(store):
    start(store, "first", "gpu-sm90", "gpu-any", machine="first", silent_s=50 * DAY_S)
    start(store, "last", "gpu-sm90", "gpu-any", machine="last", silent_s=40 * DAY_S)
    start(store, "pinned", "gpu-sm90", machine="pinned", silent_s=35 * DAY_S)
    start(store, "mute", "gpu-sm90", machine=None, silent_s=31 * DAY_S)

    assert store.fleet.forget_workers(30 * DAY_S) == 2

    assert ids_of(store) == {"last", "pinned"}
    assert store.fleet.machine_of_class("gpu-any").description == {"machine": "last"}


def test_a_worker_that_owns_a_shard_is_remembered_and_what_the_others_did_stays_readable(store):
    done, open_ = add(store, 2), add(store, 2)
    for name in (ALICE, BOB):
        start(store, name, "cpu", machine=None, silent_s=40 * DAY_S)
    decision = store.add_decision(replace(a_decision(done), worker_id=ALICE))
    lease = lease_next(store)
    outcomes = [replace(ok(item.idx), timings_ms={"forward": 1.0}) for item in lease.items]
    store.record(lease, outcomes, decision_id=decision, lease_s=LEASE_S, finished=True)
    lease_next(store, BOB)
    before = store.decisions(done), list(store.results(done)), store.events(done), store.status(open_).state

    assert store.fleet.forget_workers(30 * DAY_S) == 1

    assert ids_of(store) == {BOB}
    assert (store.decisions(done), list(store.results(done)), store.events(done), store.status(open_).state) == before
    assert before[0][0].worker_id == ALICE


def test_one_transaction_forgets_a_bounded_number_of_workers(store, monkeypatch):
    monkeypatch.setattr(old_workers, "FORGOTTEN_AT_ONCE", 2)
    for number in range(3):
        start(store, f"w{number}", "cpu", machine=None, silent_s=(40 + number) * DAY_S)

    assert [store.fleet.forget_workers(30 * DAY_S) for _ in range(3)] == [2, 1, 0]
