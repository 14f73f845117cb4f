"""Pages of items: what a filter lets through, in order, once; and what a page costs however large the job is."""

import itertools

import pytest
from sqlalchemy import event, insert, text

from jobstore.item_pages import ItemFilter
from jobstore.keys import go_by_keys
from jobstore.schema import ItemRef, JobSpec, Outcome, OutcomeState
from jobstore.store import JobStore
from jobstore.tables import outcomes
from tests.fixtures.jobs import add, failed, lease_next, ok, queue_of, write

OK, FAILED, SKIPPED, CACHED = OutcomeState.OK, OutcomeState.FAILED, OutcomeState.SKIPPED, OutcomeState.CACHED
FILTERS = [
    ItemFilter(states, is_pending, causes)
    for states in [(), (OK,), (FAILED,), (SKIPPED,), (CACHED,), (OK, FAILED), (CACHED, SKIPPED)]
    for is_pending in (False, True)
    for causes in [(), ("not_an_image",), ("image_truncated", "job_cancelled"), ("nothing",)]
]
#: Ended, begun and untouched items of a job of 10,000.
DONE, TOTAL = 9_000, 10_000
COSTLY = {
    "everything": ItemFilter(),
    "deep inside": ItemFilter(after=DONE - 50),
    "failed": ItemFilter([FAILED]),
    "failed of a cause": ItemFilter([FAILED], causes=["not_an_image"]),
    "skipped, and none was": ItemFilter([SKIPPED]),
    "cached, and none is": ItemFilter([CACHED]),
    "pending": ItemFilter(is_pending=True),
    "ok or pending": ItemFilter([OK], is_pending=True),
}


def mixed(store, ending):
    """A job in whose shards each state occurs, with a shard that was split and a video's frames, left as `ending`."""
    job_id = add(store, 40, shard_size=8, max_failure_rate=1.0, canary_items=0)
    first = lease_next(store)
    frames = [Outcome(3, OK, frame=n) for n in (1, 2)]
    write(store, first, [ok(n) if n % 3 else failed(n) for n in range(8)] + frames, finished=True)
    dead = lease_next(store, lease_s=-1.0)
    write(store, dead, [Outcome(8, CACHED), failed(15, "image_truncated")], finished=False)
    store._db.write(lambda db: db.execute(text("UPDATE shards SET lease_until = 0 WHERE state = 'leased'")))
    assert store.relay.expire_leases(1) == 1
    begun = lease_next(store)
    write(store, begun, [ok(begun.items[0].idx), failed(begun.items[2].idx)])
    if ending == "cancelled":
        assert store.cancel(job_id)
    if ending == "retried":
        assert store.cancel(job_id)
        assert store.retry(job_id, states=[FAILED])
    return job_id


@pytest.mark.parametrize("ending", ["at work", "cancelled", "retried"])
def test_pages_have_what_the_filter_lets_through_once_and_in_order(store, ending):
    job_id = mixed(store, ending)
    every = store.items(job_id, ItemFilter(), 100)
    assert [row.idx for row in every] == list(range(40))
    there = {"at work": {FAILED, None}, "cancelled": {FAILED, SKIPPED}, "retried": {SKIPPED, None}}
    assert {row.state for row in every} == {OK, CACHED} | there[ending]

    for wanted, limit in itertools.product(FILTERS, (1, 3, 100)):
        assert paged(store, job_id, wanted, limit) == [row for row in every if is_let_through(row, wanted)], wanted


def paged(store, job_id, wanted, limit):
    found = []
    while page := store.items(
        job_id, ItemFilter(wanted.states, wanted.is_pending, wanted.causes, found[-1].idx if found else -1), limit
    ):
        found += page
    return found


def is_let_through(row, wanted):
    has_state = wanted.is_everything or not (wanted.states or wanted.is_pending)
    has_state |= row.state in wanted.states or (wanted.is_pending and row.state is None)
    return has_state and (not wanted.causes or (row.error is not None and row.error.code in wanted.causes))


def test_all_items_of_a_draft_are_pending(store):
    job_id = store.drafts.create(JobSpec("digits"))
    store.drafts.append(job_id, [ItemRef(f"/{n}.png") for n in range(5)], part_token="a")  # noqa: S106

    assert [row.idx for row in store.items(job_id, ItemFilter(is_pending=True, after=1), 2)] == [2, 3]


def test_a_failure_without_a_code_is_told(store):
    job_id = add(store, 2)
    write(store, lease_next(store), [ok(0), Outcome(1, FAILED)], finished=True)

    assert [(group.code, group.count) for group in store.failures(job_id)] == [("unknown", 1)]
    assert [row.idx for row in store.items(job_id, ItemFilter([FAILED]), 5)] == [1]


@pytest.fixture
def large(postgres_url):
    """A store on PostgreSQL with a large job, of which the planner has no statistics."""
    with JobStore.open(postgres_url) as store:
        store.create_schema()
        for table in ("items", "outcomes", "shards"):
            off = text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
            store._db.write(lambda db, off=off: db.execute(off))
        refs = (ItemRef(f"/pictures/{n}.png") for n in range(TOTAL))
        job_id = store.add_job(JobSpec("digits", shard_size=50, canary_items=0), refs, queue_of)
        rows = [row_of(job_id, n) for n in range(DONE)]
        store._db.write(lambda db: db.execute(insert(outcomes), rows))
        ended = text("UPDATE shards SET state = 'done', ok = 49, failed = 1 WHERE last_idx < :done")
        store._db.write(lambda db: db.execute(ended, {"done": DONE}))
        yield store, job_id


def row_of(job_id, n):
    code = "not_an_image" if n % 50 == 49 else None
    state = FAILED if code else OK
    return {"job_id": job_id, "idx": n, "frame": 0, "state": state, "error_code": code, "attempt": 1, "created": 0.0}


def plans_of(store, act):
    """What PostgreSQL does for each statement of an act."""
    asked = []

    def note(connection, cursor, statement, values, *_):
        asked.append((statement, values))

    event.listen(store._db._reader, "before_cursor_execute", note)
    act()
    event.remove(store._db._reader, "before_cursor_execute", note)
    with store._db._reader.begin() as db:
        go_by_keys(db)
        return [
            "\n".join(db.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF) {each}", values).scalars())
            for each, values in asked
        ]


@pytest.mark.parametrize("wanted", COSTLY.values(), ids=COSTLY)
def test_a_page_of_a_large_job_is_read_by_keys(large, wanted):
    store, job_id = large

    plans = plans_of(store, lambda: store.items(job_id, wanted, 100))

    assert_by_keys(plans)


def test_results_and_failures_of_a_large_job_are_read_by_keys(large):
    store, job_id = large

    page = plans_of(store, lambda: store.glances.results(job_id, (DONE - 50, 0), 48))
    groups = plans_of(store, lambda: store.failures(job_id))
    sample = plans_of(store, lambda: store.glances.stage_times(job_id, TOTAL))

    for plans in (page, groups, sample):
        assert_by_keys(plans)
    assert any("ix_outcomes_failed" in plan for plan in groups)


def assert_by_keys(plans):
    assert 1 <= len(plans) <= 12, f"{len(plans)} statements"
    for plan in (plan for plan in plans if "on items" in plan or "on outcomes" in plan):
        assert "Seq Scan on items" not in plan, plan
        assert "Seq Scan on outcomes" not in plan, plan
        removed = [int(line.rpartition(":")[2]) for line in plan.splitlines() if "Rows Removed by Filter" in line]
        assert sum(removed) <= TOTAL // 50, plan


@pytest.mark.parametrize("count", [3, 4_500])
def test_items_go_to_the_database_by_thousands(store, count):
    asked = []
    event.listen(store._db._reader, "before_cursor_execute", lambda *told: asked.append(told[2]))

    job_id = add(store, count, shard_size=100)

    assert sum("INTO items" in statement for statement in asked) == -(-count // 2_000)
    assert len(asked) <= 20
    assert [row.uri for row in store.items(job_id, ItemFilter(after=count - 3), 5)] == [
        f"/pictures/{n}.png" for n in (count - 2, count - 1)
    ]


def test_what_a_source_says_of_an_item_comes_back_as_it_was(store):
    metadata = {"quote": '"', "line": "a\nb\t\\", "snow": "☃", "deep": {"list": [1, 2.5, None, True]}}
    refs = [ItemRef('/a "b"/\\n/ü☃\t.jpg', metadata), ItemRef("/plain.jpg")]

    job_id = store.add_job(JobSpec("digits"), refs, queue_of)

    assert [(row.uri, row.metadata) for row in store.items(job_id, ItemFilter(), 5)] == [
        (refs[0].uri, metadata), ("/plain.jpg", None),
    ]  # fmt: skip
