"""Chores are done by one process at a time, and files are known by the items that need them."""

from concurrent.futures import ThreadPoolExecutor

from jobstore import upkeep
from jobstore.aftercare import Output
from jobstore.schema import ItemRef, JobSpec
from jobstore.store import JobStore
from tests.fixtures.jobs import queue_of


def test_a_turn_is_one_callers_until_its_time_is_over(store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        turns = list(pool.map(lambda _: store.upkeep.take_turn("prune", 60.0), range(8)))
    assert sorted(turns) == [False] * 7 + [True]
    assert store.upkeep.take_turn("another", -1.0)
    assert store.upkeep.take_turn("another", 60.0)
    assert not store.upkeep.take_turn("another", 60.0)


def test_every_item_of_a_job_that_has_not_ended_is_looked_at(store: JobStore, monkeypatch) -> None:
    monkeypatch.setattr(upkeep, "_PAGE", 2)
    uris = ["/up/a.png", "s3://b/up/b.png", "file:///up/c%20d.png", "/up/e.png", "/up/f.png"]
    job_id = store.add_job(JobSpec("digits"), (ItemRef(uri) for uri in uris), queue_of)
    names = {"a.png", "b.png", "c d.png", "f.png", "g.png"}
    assert store.upkeep.needed(names) == names - {"g.png"}
    store.cancel(job_id)
    assert store.upkeep.needed(names) == set()
    store.exports.ask(job_id, Output("/out"))
    assert store.upkeep.needed(["a.png", "g.png"]) == {"a.png"}
    assert store.upkeep.needed([]) == set()
