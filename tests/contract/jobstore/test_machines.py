"""Which machine stands for a hardware class: the newest live worker's, or else the last one's."""

import pytest
from sqlalchemy import func, select, update

from jobstore.heartbeats import ALIVE_S
from jobstore.schema import WorkerId, WorkerRow
from jobstore.tables import machines, workers

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
