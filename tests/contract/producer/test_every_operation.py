"""What a producer can do, the same whether it reaches the store itself or a server."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jobstore.errors import ClientTokenReused, InvalidJob, JobNotFound
from jobstore.schema import ItemRef, JobState, OutcomeState, WorkerId, WorkerRow
from producer import JobFailed, JobTimeout
from producer.errors import FilterInvalid, FormatUnknown, RecordUnsuitable, SourceEmpty, SourceNotFound
from tests.fixtures.gateways import boxes

NAMES = ["a_person.jpg", "b_broken.jpg", "c_dogs.jpg", "d_nothing.jpg", "e_person.jpg", "f_person.jpg"]


@pytest.fixture
def folder(tmp_path, world):
    """Six pictures by name; the worker cannot read one, finds two dogs and a person in another, and nothing in one."""
    place = tmp_path / "yard"
    place.mkdir()
    for name in NAMES:
        (place / name).write_bytes(b"\xff\xd8\xff" + name.encode())
    world.answers |= {
        "b_broken.jpg": "not_an_image",
        "c_dogs.jpg": boxes("dog", "person", "dog"),
        "d_nothing.jpg": boxes(),
    }
    return place


@pytest.fixture
def job(world, folder):
    """A job of those pictures in shards of two; nothing has been done."""
    return world.producer.submit("digits", folder, hardware="cpu", shard_size=2, name="yard", tags={"team": "night"})


@pytest.fixture
def done(world, folder):
    """The same job, ended within its limit of failures."""
    job = world.producer.submit("digits", folder, hardware="cpu", shard_size=2, max_failure_rate=0.5)
    world.work()
    return job


# -- submit ------------------------------------------------------------------------------------------------------------


def test_a_job_holds_what_was_asked_for(world, folder):
    job = world.producer.submit(
        "digits", folder, hardware="gpu-any,cpu", params={"confidence": 0.4}, wishes={"backend": "onnx"}, name="yard",
        tags={"team": "night"}, priority=3, max_failure_rate=0.25, max_failures=7, deadline=4e9, expires=5e9,
    )  # fmt: skip

    status = job.status()
    assert (status.job_id, status.total, status.state) == (job.id, 6, JobState.RUNNING)
    assert (status.model, status.name, status.tags, status.priority) == ("digits", "yard", {"team": "night"}, 3)
    assert (status.hardware, status.params, status.wishes) == (
        ("gpu-any", "cpu"), {"confidence": 0.4}, {"backend": "onnx"},
    )  # fmt: skip
    assert (status.max_failure_rate, status.max_failures, status.deadline, status.expires) == (0.25, 7, 4e9, 5e9)


def test_the_same_key_gives_the_same_job_and_no_key_another(world, folder):
    first, again = (world.producer.submit("digits", folder, hardware="cpu", idempotency_key="yard") for _ in range(2))
    other = world.producer.submit("digits", folder, hardware="cpu")

    assert first.id == again.id != other.id
    assert len(world.producer.jobs()) == 2


def test_items_are_taken_from_lists_patterns_and_iterators(world, folder):
    ways = [
        [folder / NAMES[0], str(folder / NAMES[2])],
        str(folder / "*_person.jpg"),
        (ItemRef(str(folder / name), {"camera": name[0]}) for name in NAMES[:4]),
    ]

    assert [world.producer.submit("digits", way, hardware="cpu").status().total for way in ways] == [2, 3, 4]


def test_a_limit_ends_the_items(world, folder):
    assert world.producer.submit("digits", folder, hardware="cpu", limit=2).status().total == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hardwear": "cpu"}, "did you mean 'hardware'"),
        ({"video": {"fsp": 2}}, "fsp"),
        ({"video": {"fps": 2, "every": 3}}, "exclude each other"),
        ({"wishes": {"backends": "onnx"}}, "did you mean 'backend'"),
        ({"wishes": {"trust": True}}, "never by a job"),
        ({"params": {"confidence": {1, 2}}}, "what JSON can hold"),
        ({"max_failure_rate": 3}, "max_failure_rate 3"),
        ({"tags": ["a"]}, "a mapping"),
    ],
    ids=["option", "video field", "video", "wish", "trust", "params", "rate", "tags"],
)
def test_what_cannot_be_is_refused_and_leaves_no_job(world, folder, options, words):
    with pytest.raises(InvalidJob, match=words):
        world.producer.submit("digits", folder, **{"hardware": "cpu", **options})

    assert world.producer.jobs() == []


@pytest.mark.parametrize(
    ("source", "error"), [("nowhere", SourceNotFound), ("empty", SourceEmpty)], ids=["missing", "empty"]
)
def test_a_wrong_source_is_refused_and_leaves_no_job(world, tmp_path, source, error):
    (tmp_path / "empty").mkdir()

    with pytest.raises(error):
        world.producer.submit("digits", tmp_path / source, hardware="cpu")

    assert world.producer.jobs() == []


def test_automatic_hardware_is_the_best_of_living_workers(world, folder):
    anywhere = world.producer.submit("digits", folder)
    for name, hardware in (("a", "cpu"), ("b", "gpu-sm90")):
        world.store.fleet.heartbeat(WorkerRow(WorkerId(name), "here", 1, hardware, hardware, serves=(hardware,)))
    here = world.producer.submit("digits", folder)

    assert anywhere.status().hardware == ("gpu-any", "cpu")
    assert here.status().hardware == ("gpu-sm90",)


# -- follow ------------------------------------------------------------------------------------------------------------


def test_watching_gives_progress_until_the_end(world, job):
    first = next(iter(job.watch()))
    worker = world.working()
    seen = list(job.watch(interval_s=0.01))
    worker.join()

    assert (first.done, first.total, first.items_per_second, first.eta) == (0, 6, 0.0, None)
    assert (seen[-1].done, seen[-1].failed, seen[-1].objects) == (6, 1, 6)
    assert seen[-1].state is JobState.COMPLETED_WITH_ERRORS
    assert [each.done for each in seen] == sorted(each.done for each in seen)


def test_half_a_job_has_a_rate_and_a_range_for_its_end(world, job):
    world.work(shards=2)

    progress = job.progress()

    assert progress.done == 4
    assert progress.items_per_second > 0
    assert 0 < progress.eta.low_s < 2 / progress.items_per_second < progress.eta.high_s


def test_waiting_gives_the_status_of_a_job_that_ended_well(world, folder):
    job = world.producer.submit("digits", folder, hardware="cpu", max_failure_rate=0.5)
    worker = world.working()

    status = job.wait(timeout=30)

    worker.join()
    assert (status.state, status.ok, status.failed) == (JobState.COMPLETED_WITH_ERRORS, 5, 1)


def test_waiting_for_a_job_over_its_limit_raises_with_the_causes(world, job):
    world.work()

    with pytest.raises(JobFailed, match="over its failure limit") as raised:
        job.wait(timeout=30)

    (group,) = raised.value.failures
    assert (group.code, group.count) == ("not_an_image", 1)
    assert raised.value.status.failed == 1


def test_waiting_for_a_cancelled_job_raises(job):
    job.cancel()

    with pytest.raises(JobFailed, match="was cancelled"):
        job.wait(timeout=30)


def test_waiting_too_short_raises_and_the_job_goes_on(world, job):
    world.work(shards=1)

    with pytest.raises(JobTimeout, match="4 of 6 items left") as raised:
        job.wait(timeout=0.05)

    assert [group.code for group in raised.value.failures] == ["not_an_image"]
    assert job.status().state is JobState.RUNNING


def test_a_job_without_workers_says_why_it_waits(job):
    assert "no worker serves cpu" in job.why_waiting()


def test_events_tell_the_jobs_story(job):
    job.pause()
    job.resume()

    assert [event.kind for event in job.events()] == ["submitted", "paused", "resumed"]


# -- results -----------------------------------------------------------------------------------------------------------


def test_results_come_in_order_as_arrays_with_their_backend(world, done):
    results = list(done.results())

    assert [result.source.rsplit("/")[-1][0] for result in results] == list("abcdef")
    dogs = results[2]
    assert (dogs.state, dogs.backend, dogs.timings) == (OutcomeState.OK, "onnx", {"forward": 2.0})
    assert dogs.detections.class_name == ("dog", "person", "dog")
    assert dogs.detections.class_id.tolist() == [1, 0, 1]
    assert (dogs.detections.xyxy.dtype, dogs.detections.xyxy.shape) == (np.float32, (3, 4))
    assert dogs.detections.xyxy[1].tolist() == [5.0, 1.0, 15.0, 21.0]
    assert dogs.detections.confidence.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert results[3].detections.xyxy.shape == (0, 4)


def test_results_become_supervisions_detections_and_plain_json(done):
    dogs = list(done.results())[2]

    found = dogs.to_supervision()

    assert (len(found), list(found.data["class_name"])) == (3, ["dog", "person", "dog"])
    plain = json.loads(json.dumps(dogs.to_dict()))
    assert (plain["source"], plain["record"]["class_id"], plain["backend"]) == (dogs.source, [1, 0, 1], "onnx")


def test_a_failed_item_has_an_error_and_no_detections(done):
    broken = list(done.results())[1]

    assert (broken.state, broken.error.code) == (OutcomeState.FAILED, "not_an_image")
    with pytest.raises(RecordUnsuitable, match="not_an_image"):
        broken.detections  # noqa: B018 - asked for its error


def test_a_filter_keeps_rows_and_names_their_objects(done):
    (dogs,) = done.results(where="label == 'dog' and score < .8")

    assert len(dogs.detections) == 3
    assert dogs.matching.confidence.tolist() == pytest.approx([0.7])


def test_a_wrong_filter_is_refused_before_anything_is_read(done):
    with pytest.raises(FilterInvalid, match="score"):
        done.results(where="scor > 1")


def test_states_and_pages_change_nothing_but_what_is_asked(done):
    assert [row.idx for row in done.results(states=["failed"])] == [1]
    assert [row.idx for row in done.results(batch=1)] == [0, 1, 2, 3, 4, 5]


def test_metadata_and_unusual_names_come_back(world, folder):
    odd = folder / "grüße & 100%?.jpg"
    odd.write_bytes(b"\xff\xd8\xff odd")
    job = world.producer.submit("digits", [ItemRef(str(odd), {"camera": "Süd", "n": 3})], hardware="cpu")
    world.work()

    (result,) = job.results(where="metadata.camera = 'Süd' and metadata.n > 2")

    assert result.metadata == {"camera": "Süd", "n": 3}


def test_failures_are_grouped_by_cause_or_given_one_by_one(done):
    (group,) = done.failures(by="cause")
    (item,) = done.failures(by="item")

    assert (group.code, group.count, group.examples) == ("not_an_image", 1, (item.source,))


def test_decisions_say_what_ran(done):
    decisions = done.decisions

    assert {(row.backend, row.device, row.class_names) for row in decisions} == {("onnx", "cpu", ("person", "dog"))}
    assert decisions[0].candidates[0]["verdict"] == "chosen"


def test_exports_are_written_here(done, tmp_path):
    coco, jsonl = done.export(tmp_path / "out", "coco,jsonl")

    assert (coco.objects, jsonl.items) == (6, 6)
    counts = json.loads((tmp_path / "out/manifest.json").read_text())["counts"]
    assert (counts["ok"], counts["failed"]) == (5, 1)


def test_an_unknown_format_is_refused(done, tmp_path):
    with pytest.raises(FormatUnknown, match="koko"):
        done.export(tmp_path / "out", ["koko"])


# -- steer -------------------------------------------------------------------------------------------------------------


def test_a_paused_job_is_resumed_with_new_limits(job):
    assert (job.pause(), job.pause(), job.status().state) == (True, False, JobState.PAUSED)
    assert (job.resume(max_failures=4, max_failure_rate=0.5), job.resume()) == (True, False)

    status = job.status()
    assert (status.state, status.max_failures, status.max_failure_rate) == (JobState.RUNNING, 4, 0.5)


def test_a_cancelled_job_keeps_what_was_labelled(world, job):
    world.work(shards=1)

    assert (job.cancel(), job.cancel()) == (True, False)
    status = job.status()
    assert (status.state, status.ok, status.failed, status.skipped) == (JobState.CANCELLED, 1, 1, 4)


def test_another_priority_is_kept(job):
    assert job.reprioritise(9)
    assert job.status().priority == 9


def test_what_failed_is_tried_again_in_the_same_job(world, done):
    world.answers.clear()

    assert done.retry(causes=["out_of_memory"]) == 0
    assert done.retry(causes=["not_an_image"], batch_size=1) == 1
    world.work()

    status = done.wait(timeout=30)
    assert (status.state, status.ok, status.failed) == (JobState.COMPLETED, 6, 0)


def test_a_retry_of_nothing_at_all_is_refused(done):
    with pytest.raises(InvalidJob, match="failed, skipped or both"):
        done.retry(failed=False)


# -- find --------------------------------------------------------------------------------------------------------------


def test_a_job_is_found_by_a_part_of_its_id_and_listed_by_its_state(world, job, done):
    assert world.producer.job(job.id[-6:]).id == job.id
    assert {each.id for each in world.producer.jobs()} == {done.id, job.id}
    assert [each.id for each in world.producer.jobs(states=["cancelled"])] == []
    assert len(world.producer.jobs(limit=1)) == 1
    assert world.producer.jobs(since=4e9) == []


def test_a_job_that_is_not_there_is_an_error_of_its_own(world, job):
    with pytest.raises(JobNotFound, match="nope-nope"):
        world.producer.job("nope-nope")


def test_queues_and_workers_are_listed(world, job):
    world.store.fleet.heartbeat(WorkerRow(WorkerId("a"), "here", 1, "cpu", "cpu", serves=("cpu",)))

    (queue,) = world.producer.queues()
    (worker,) = world.producer.workers()

    assert (queue.hardware, queue.items_left, queue.pending + queue.queued) == ("cpu", 6, 3)
    assert (worker.worker_id, worker.state, worker.serves) == ("a", "running", ("cpu",))
    assert world.producer.queues("gpu-any") == []


# -- drafts ------------------------------------------------------------------------------------------------------------


def test_a_draft_is_filled_part_by_part_and_runs_when_it_is_sealed(world, folder):
    with world.producer.draft("digits", hardware="cpu", max_failure_rate=0.5) as draft:
        assert draft.add([folder / NAMES[0], folder / NAMES[1]], part_token="first") == 2  # noqa: S106 - no password
        assert draft.add([folder / NAMES[0], folder / NAMES[1]], part_token="first") == 2  # noqa: S106
        assert draft.add(ItemRef(str(folder / name)) for name in NAMES[2:]) == 4
        world.work()
        assert (draft.job.status().state, draft.job.status().done) == (JobState.DRAFT, 0)
    world.work()

    status = draft.job.wait(timeout=30)
    assert (status.total, status.ok, status.failed) == (6, 5, 1)


def test_a_draft_that_raises_is_cancelled(world, folder):
    draft = world.producer.draft("digits", hardware="cpu")
    draft.add(folder / NAMES[0])

    with pytest.raises(SourceNotFound), draft:
        draft.add(folder / "nowhere.jpg")

    assert draft.job.status().state is JobState.CANCELLED


def test_a_sealed_draft_takes_no_more(world, folder):
    draft = world.producer.draft("digits", hardware="cpu")
    draft.add(folder)
    assert draft.seal().id == draft.seal().id

    with pytest.raises(InvalidJob, match="only a draft takes more items"):
        draft.add(folder)


def test_a_draft_without_items_cannot_be_sealed(world):
    with pytest.raises(InvalidJob, match="item"):
        world.producer.draft("digits", hardware="cpu").seal()


def test_a_key_is_the_same_request_whoever_works_by_then(world, folder):
    first = world.producer.submit("digits", folder, idempotency_key="night")
    world.store.fleet.heartbeat(WorkerRow(WorkerId("a"), "here", 1, "gpu-sm90", "gpu", serves=("gpu-sm90",)))

    assert world.producer.submit("digits", folder, idempotency_key="night").id == first.id
    with pytest.raises(ClientTokenReused):
        world.producer.submit("digits", folder, idempotency_key="night", params={"confidence": 0.9})
