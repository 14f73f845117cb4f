import subprocess
import sys
import threading

import pytest

from jobstore.errors import InvalidJob, JobNotFound
from jobstore.schema import ItemRef, JobSpec, JobState
from tests.fixtures.jobs import add, assert_books_balance, queue_of, run_to_end

TOKEN = {"client_token": "night-1"}


def test_a_job_begins_with_every_item_pending(store):
    job = store.status(add(store, 10, tags={"who": "me"}, params={"confidence": 0.4}))

    assert (job.state, job.total, job.done, job.pending) == (JobState.RUNNING, 10, 0, 10)
    assert (job.tags, job.params, job.hardware) == ({"who": "me"}, {"confidence": 0.4}, ("cpu",))
    assert abs(job.now - job.created) < 60
    assert job.started is None


def test_items_are_cut_into_shards_of_the_size_asked_for(store):
    add(store, 10)

    assert [(row.queue, row.pending, row.items_left) for row in store.fleet.queues()] == [("infer.cpu.digits", 3, 10)]


def test_a_job_without_a_name_is_called_by_its_model_and_its_only_picture(store):
    assert store.status(add(store, 1, model="/models/digits/")).name == "digits: 0.png"


def test_a_source_without_items_is_refused(store):
    with pytest.raises(InvalidJob, match="no items"):
        add(store, 0)


def test_a_source_that_breaks_leaves_no_job(store):
    def items():
        yield ItemRef("/a.png")
        raise OSError("the listing broke")

    with pytest.raises(OSError, match="the listing broke"):
        store.add_job(JobSpec(model="digits"), items(), queue_of)
    assert store.jobs() == []


@pytest.mark.parametrize("uri", ["", "/a\0b.png", "/\udcff.png"], ids=["empty", "nul", "not-utf8"])
def test_a_uri_that_no_database_gives_back_is_refused(store, uri):
    with pytest.raises(InvalidJob, match="item 0 has the URI"):
        store.add_job(JobSpec(model="digits"), [ItemRef(uri)], queue_of)


def test_metadata_of_a_manifest_is_kept(store):
    job_id = store.add_job(JobSpec(model="digits"), [ItemRef("/a.png", {"site": "Åre", "n": 1})], queue_of)
    run_to_end(store)

    assert [row.metadata for row in store.results(job_id)] == [{"site": "Åre", "n": 1}]


def test_a_second_submit_with_the_same_token_returns_the_first_job(store):
    first = add(store, 3, **TOKEN)

    assert add(store, 5, **TOKEN) == first
    assert [job.total for job in store.jobs()] == [3]


def test_a_token_belongs_to_its_tenant(store):
    assert add(store, 1, tenant="a", **TOKEN) != add(store, 1, tenant="b", **TOKEN)


def test_submits_with_one_token_at_once_make_one_job(store):
    gate = threading.Barrier(4)
    made = []

    def submit():
        gate.wait()
        made.append(add(store, 50, **TOKEN))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert len(made) == 4
    assert len(set(made)) == 1
    assert [job.total for job in store.jobs()] == [50]


def test_a_job_is_found_by_its_id_its_beginning_and_its_tail(store):
    job_id = add(store, 1)

    assert {store.find_job(text) for text in (job_id, job_id.upper(), job_id[:8], job_id[-4:])} == {job_id}


def test_a_text_that_fits_two_jobs_names_both(store):
    ids = {add(store, 1), add(store, 1)}

    with pytest.raises(JobNotFound, match="fits more than one") as raised:
        store.find_job(next(iter(ids))[:4])
    assert all(job_id in str(raised.value) for job_id in ids)


def test_a_text_that_fits_nothing_names_the_nearest_job(store):
    job_id = add(store, 1)
    wrong = job_id[:-1] + ("0" if job_id[-1] != "0" else "1")

    with pytest.raises(JobNotFound, match=f"did you mean {job_id}"):
        store.find_job(wrong)


@pytest.mark.parametrize("text", ["%%%%", "____", ""], ids=["percent", "underscore", "empty"])
def test_wildcards_find_nothing(store, text):
    add(store, 1)

    with pytest.raises(JobNotFound):
        store.find_job(text)


def test_a_tenant_does_not_find_the_job_of_another(store):
    job_id = add(store, 1, tenant="a")

    with pytest.raises(JobNotFound) as raised:
        store.find_job(job_id, tenant="b")
    assert job_id not in str(raised.value).replace(repr(job_id), "")


def test_jobs_are_listed_newest_first_and_by_tenant_state_and_time(store):
    old, new, other = add(store, 1, tenant="a"), add(store, 1, tenant="a"), add(store, 1, tenant="b")
    store.cancel(old)

    assert [job.job_id for job in store.jobs()] == [other, new, old]
    assert [job.job_id for job in store.jobs(tenant="a")] == [new, old]
    assert [job.job_id for job in store.jobs(states=[JobState.RUNNING], limit=1)] == [other]
    assert [job.job_id for job in store.jobs(since=store.status(new).created)] == [other, new]


_SUBMIT_100K = """
import sys
from jobstore.schema import ItemRef, JobSpec
from jobstore.store import JobStore

with JobStore.open(sys.argv[1]) as store:
    refs = (ItemRef(f"s3://bucket/a/prefix/as/people/have/them/{n:09d}.jpg", {"n": n}) for n in range(100_000))
    store.add_job(JobSpec(model="digits"), refs, lambda hardware: f"infer.{hardware}.digits")
# Not ru_maxrss: it carries over what the test process had when it started this one.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024)
"""


def test_a_hundred_thousand_items_are_submitted_in_bounded_memory(store, database_url):
    done = subprocess.run(
        [sys.executable, "-c", _SUBMIT_100K, database_url], capture_output=True, text=True, check=True
    )

    assert int(done.stdout) < 300
    assert [job.total for job in store.jobs()] == [100_000]
    assert_books_balance(store, store.jobs()[0].job_id)
