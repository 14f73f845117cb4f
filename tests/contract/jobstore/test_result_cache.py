import hashlib

import pytest
from sqlalchemy import update

from jobstore.result_cache import CacheSize, KeyBase, KnownResult
from jobstore.schema import Outcome, OutcomeState
from jobstore.service_tables import result_cache
from tests.fixtures.jobs import add, failed, lease_next, write

CONTENT = hashlib.sha256(b"a picture").hexdigest()


def known(store, count, key="key {}", blob=None):
    """A job whose items are kept under keys."""
    job_id = add(store, count, shard_size=count)
    found = [
        Outcome(n, OutcomeState.OK, record={"value": n}, blob=blob, content=CONTENT, result_key=key.format(n))
        for n in range(count)
    ]
    write(store, lease_next(store), found, finished=True)
    return job_id


def used_ago(store, key, seconds):
    change = update(result_cache).where(result_cache.c.key == key).values(used=result_cache.c.used - seconds)
    store._db.write(lambda db: db.execute(change))


def test_what_is_written_with_an_outcome_is_found_by_its_key(store):
    known(store, 2, blob=b"\x00\x01")

    found = store.known.lookup(["key 0", "key 1", "key 2"])

    assert found == {f"key {n}": KnownResult({"value": n}, b"\x00\x01") for n in range(2)}


def test_a_result_that_is_there_stays_as_it_is(store):
    known(store, 1)
    job_id = add(store, 1)
    other = Outcome(0, OutcomeState.OK, record={"value": 99}, result_key="key 0")
    write(store, lease_next(store), [other], finished=True)

    assert store.known.lookup(["key 0"])["key 0"].record == {"value": 0}
    assert next(store.results(job_id)).record == {"value": 99}


def test_what_a_late_worker_writes_is_not_kept(store):
    add(store, 1)
    lease = lease_next(store)
    store.release_shard(lease)
    with pytest.raises(Exception, match="drop the work"):
        write(store, lease, [Outcome(0, OutcomeState.OK, record={}, result_key="late")], finished=True)

    assert store.known.lookup(["late"]) == {}


def test_failures_have_no_key_and_are_not_kept(store):
    add(store, 1)
    write(store, lease_next(store), [failed(0)], finished=True)

    assert store.known.size() == CacheSize(0, 0)


def test_the_least_recently_used_go_first(store):
    known(store, 10, blob=b"x" * 100)
    for n in range(10):
        used_ago(store, f"key {n}", 10_000 * (n + 1))
    size = store.known.size()
    assert (size.results, size.size_bytes) == (10, 10 * (100 + len('{"value":0}')))
    store.known.lookup(["key 9"])  # the oldest, which is used now

    removed = store.known.prune(size.size_bytes // 2)

    kept = store.known.lookup([f"key {n}" for n in range(10)])
    assert sorted(kept) == ["key 0", "key 1", "key 2", "key 9"]
    assert (removed.results, store.known.size().results) == (6, 4)


def test_where_there_is_room_nothing_goes(store):
    known(store, 3)

    assert store.known.prune(10_000) == CacheSize(0, 0)
    assert store.known.prune(0).results == 3


BASE = KeyBase("tenant", "sha256:1", "object-detection", {"confidence": 0.4, "classes": ["a"]}, "1.0")


@pytest.mark.parametrize(
    "other",
    [
        KeyBase("another", BASE.package, BASE.task, BASE.params, BASE.version),
        KeyBase(BASE.tenant, "sha256:2", BASE.task, BASE.params, BASE.version),
        KeyBase(BASE.tenant, BASE.package, "keypoint-detection", BASE.params, BASE.version),
        KeyBase(BASE.tenant, BASE.package, BASE.task, {**BASE.params, "confidence": 0.5}, BASE.version),
        KeyBase(BASE.tenant, BASE.package, BASE.task, BASE.params, "1.1"),
    ],
    ids=["tenant", "package", "task", "parameters", "release"],
)
def test_a_key_changes_with_its(other):
    assert other.keys().of(CONTENT) != BASE.keys().of(CONTENT)


def test_a_key_changes_with_the_content_alone_and_not_with_the_order_of_parameters():
    turned = KeyBase(BASE.tenant, BASE.package, BASE.task, dict(reversed(BASE.params.items())), BASE.version)

    assert turned.keys().of(CONTENT) == BASE.keys().of(CONTENT)
    assert BASE.keys().of(hashlib.sha256(b"another").hexdigest()) != BASE.keys().of(CONTENT)
