import pytest

from jobstore.errors import ClientTokenReused, InvalidJob, JobNotFound
from jobstore.ids import new_id
from jobstore.schema import ItemRef, JobId, JobSpec, JobState
from tests.fixtures.jobs import add, assert_books_balance, lease_next, run_to_end

TOKEN = "t"  # noqa: S105 (no secret)


def refs(*names):
    return [ItemRef(f"/pictures/{name}.png") for name in names]


def append(store, job_id, items, part):
    return store.drafts.append(job_id, items, part_token=part)


def drafted(store, **spec):
    return store.drafts.create(JobSpec(**({"model": "digits"} | spec)))


def test_nothing_of_a_draft_runs_before_it_is_sealed(store):
    job_id = drafted(store)
    append(store, job_id, refs("a", "b"), "1")

    assert (store.release(8), store.state(job_id), store.status(job_id).pending) == ([], JobState.DRAFT, 2)
    assert store.relay.judge_jobs() == 0


def test_parts_are_one_job_in_their_order_once_it_is_sealed(store):
    job_id = drafted(store)
    assert append(store, job_id, refs("a", "b"), "1") == 2
    assert append(store, job_id, refs("c"), "2") == 1

    assert store.drafts.seal(job_id) is True

    job = store.status(job_id)
    assert (job.state, job.total, job.name) == (JobState.RUNNING, 3, "digits: pictures")
    assert [item.uri for item in lease_next(store).items] == ["/pictures/a.png", "/pictures/b.png", "/pictures/c.png"]


def test_a_part_that_comes_twice_is_added_once(store):
    job_id = drafted(store)
    append(store, job_id, refs("a", "b"), "1")

    assert append(store, job_id, refs("a", "b"), "1") == 2
    assert store.status(job_id).total == 2

    store.drafts.seal(job_id)
    assert append(store, job_id, refs("a", "b"), "1") == 2


def test_sealing_twice_changes_nothing(store):
    job_id = drafted(store)
    append(store, job_id, refs("a"), "1")

    assert [store.drafts.seal(job_id), store.drafts.seal(job_id)] == [True, False]
    run_to_end(store)
    assert store.state(job_id) is JobState.COMPLETED
    assert_books_balance(store, job_id)


def test_canary_and_shards_are_planned_when_it_is_sealed(store):
    job_id = drafted(store, canary_items=2, shard_size=3)
    for part in range(4):
        append(store, job_id, refs(f"{part}a", f"{part}b"), str(part))

    store.drafts.seal(job_id)

    assert store.state(job_id) is JobState.CANARY
    assert [item.idx for item in lease_next(store).items] == [0, 1]
    assert store.events(job_id)[1].details["shards"] == 3


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "sealed"])
def test_what_is_no_draft_any_more_takes_no_items(store, is_cancelled):
    job_id = drafted(store)
    append(store, job_id, refs("a"), "1")
    (store.cancel if is_cancelled else store.drafts.seal)(job_id)

    with pytest.raises(InvalidJob, match="only a draft takes more items"):
        append(store, job_id, refs("b"), "2")


def test_a_cancelled_draft_is_skipped_and_cannot_be_sealed(store):
    job_id = drafted(store)
    append(store, job_id, refs("a", "b"), "1")

    assert store.cancel(job_id) is True

    assert (store.state(job_id), store.status(job_id).skipped) == (JobState.CANCELLED, 2)
    assert_books_balance(store, job_id)
    with pytest.raises(InvalidJob, match="ended before it was sealed"):
        store.drafts.seal(job_id)


def test_an_empty_draft_cannot_be_sealed(store):
    with pytest.raises(InvalidJob, match="no items"):
        store.drafts.seal(drafted(store))


def test_an_unknown_draft_is_told_as_such(store):
    with pytest.raises(JobNotFound):
        store.drafts.seal(JobId(new_id()))
    with pytest.raises(JobNotFound):
        append(store, JobId(new_id()), refs("a"), "1")


def test_a_draft_that_nobody_seals_expires(store):
    left, sealed = drafted(store), drafted(store)
    for job_id in (left, sealed):
        append(store, job_id, refs("a"), "1")
    store.drafts.seal(sealed)
    assert store.drafts.expire(3600) == []

    assert store.drafts.expire(-1) == [left]

    assert (store.state(left), store.state(sealed)) == (JobState.EXPIRED, JobState.RUNNING)
    assert store.status(left).skipped == 1


def test_a_second_draft_with_one_token_is_the_first(store):
    job_id = drafted(store, client_token=TOKEN)

    assert drafted(store, client_token=TOKEN) == job_id


def test_a_token_that_another_request_has_is_refused_with_words(store):
    job_id = add(store, 4, client_token=TOKEN, params={"confidence": 0.3})

    with pytest.raises(ClientTokenReused, match=f"belongs to job {job_id}.*what differs cannot be said"):
        add(store, 4, client_token=TOKEN, params={"confidence": 0.4})
    assert len(store.jobs()) == 1


@pytest.mark.parametrize(
    "change",
    [{"expires": 99.0}, {"deadline": 5.0}, {"tenant": "another"}],
    ids=["another time to give up", "another time when it is due", "another tenant"],
)
def test_a_token_is_not_reused_by(store, change):
    add(store, 4, client_token=TOKEN)

    add(store, 4, client_token=TOKEN, **change)


def test_who_hashes_the_request_himself_decides_what_is_the_same(store):
    job_id = add(store, 4, client_token=TOKEN, request_hash="abc", priority=1)

    assert add(store, 4, client_token=TOKEN, request_hash="abc", priority=2) == job_id
    with pytest.raises(ClientTokenReused):
        add(store, 4, client_token=TOKEN, request_hash="another", priority=1)
