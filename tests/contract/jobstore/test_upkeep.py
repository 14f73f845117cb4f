"""Chores are done by one process at a time, and files are known by the items that need them."""

from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from jobstore import upkeep
from jobstore.aftercare import Output
from jobstore.file_lock import name_files
from jobstore.schema import ItemRef, JobSpec, OutcomeState
from jobstore.store import JobStore
from jobstore.upkeep import NOTHING, Look
from tests.fixtures.jobs import queue_of
from tests.fixtures.nightly import apply


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
    assert store.upkeep.look(names).needed == names - {"g.png"}
    store.cancel(job_id)
    assert store.upkeep.look(names) == NOTHING
    store.exports.ask(job_id, Output("/out"))
    assert store.upkeep.look(["a.png", "g.png"]) == Look(frozenset({"a.png"}), {job_id: 5})
    assert store.upkeep.look([]) == NOTHING


def test_a_second_look_reads_what_was_submitted_and_appended_since(store: JobStore, monkeypatch) -> None:
    old, draft = (
        store.add_job(JobSpec("digits"), [ItemRef("/up/a.png")], queue_of), store.drafts.create(JobSpec("digits"))
    )  # fmt: skip
    names = [f"{letter}.png" for letter in "abcd"]
    first = store.upkeep.look(names)
    store.drafts.append(draft, [ItemRef("/up/b.png")], part_token="1")  # noqa: S106 (no password)
    new = store.add_job(JobSpec("digits"), [ItemRef("/up/c.png")], queue_of)
    read: list[str] = []
    uris = store.upkeep._uris
    monkeypatch.setattr(store.upkeep, "_uris", lambda job_id: read.append(job_id) or uris(job_id))
    second = store.upkeep.look(names, first)
    assert (first.needed, second.needed) == ({"a.png"}, {"a.png", "b.png", "c.png"})
    assert set(read) == {draft, new}
    assert set(second.seen) == {old, draft, new}


WRITERS = {
    "submit": lambda store, _: store.add_job(JobSpec("digits"), [ItemRef("/up/b.png")], queue_of),
    "append": lambda store, jobs: store.drafts.append(jobs[1], [ItemRef("/up/b.png")], part_token="1"),  # noqa: S106
    "retry": lambda store, jobs: store.retry(jobs[0], states={OutcomeState.SKIPPED}),
    "export": lambda store, jobs: store.exports.ask(jobs[0], Output("/out")),
    "schedule": lambda store, _: apply(store, name="new"),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_who_needs_files_waits_for_who_takes_them_away(store: JobStore, write) -> None:
    jobs = store.add_job(JobSpec("digits"), [ItemRef("/up/a.png")], queue_of), store.drafts.create(JobSpec("digits"))
    store.cancel(jobs[0])
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:

        def take_away() -> Future[None]:
            writing = pool.submit(lambda: (write(store, jobs), told.append("written")))
            assert not wait([writing], 0.3).done
            told.append("taken away")
            return writing

        store.upkeep.alone(take_away).result()
    assert told == ["taken away", "written"]


def test_nobody_takes_files_away_while_somebody_names_some(postgres_url: str, monkeypatch) -> None:
    monkeypatch.setattr(upkeep, "_TRIES", 2)
    with JobStore.open(postgres_url) as store:
        store.create_schema()

        def name_some(db) -> object:
            name_files(db)
            name_files(db)  # as two submits at once
            return store.upkeep.alone(lambda: "taken away")

        assert store._db.write(name_some) is None
        assert store.upkeep.alone(lambda: "taken away") == "taken away"
