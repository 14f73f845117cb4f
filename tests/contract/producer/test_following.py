"""Jobs that are watched, waited for, steered and found, on the store itself or through a server."""

from __future__ import annotations

import pytest

from jobstore.errors import DeliveryNotFound, InvalidJob, JobNotFound
from jobstore.schema import JobId, JobState, WorkerId, WorkerRow
from jobstore.views import GateState
from producer import Job, JobFailed, JobTimeout
from producer.answers import GatesAnswer
from producer.gate_work import Watchman
from tests.fixtures.gateways import NAMES, boxes


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


def test_messages_about_a_job_are_listed_and_sent_again(world, folder):
    hooks = [{"url": f"https://{name}.example/secret", "on": ["job.finished"]} for name in ("a", "b", "c")]
    told, untold = (world.producer.submit("digits", folder, hardware="cpu", webhooks=each) for each in (hooks, []))
    told.cancel()
    taken, refused, _ = world.store.outbox.claim(3, 60)
    world.store.outbox.delivered(taken, 200)
    world.store.outbox.failed(refused, 500, "the receiver answered 500", None)

    (found,) = told.webhooks(states=["given_up"])
    assert (found.delivery_id, found.job_id, found.last_status) == (refused.delivery_id, told.id, 500)
    assert (found.event, found.last_error, found.next_at) == ("job.finished", "the receiver answered 500", None)
    assert found.receiver == refused.url.removesuffix("/secret")
    assert (told.resend(refused.delivery_id), told.resend(taken.delivery_id)) == (True, False)
    assert (told.webhooks(states=["given_up"]), len(told.webhooks()), len(told.webhooks(limit=2))) == ([], 3, 2)
    assert untold.webhooks() == []


def test_messages_that_are_not_there_are_errors(job):
    with pytest.raises(DeliveryNotFound):
        job.resend("none")
    with pytest.raises(JobNotFound):
        Job(JobId("0" * 32), job.gateway).webhooks()


def test_the_verdict_of_gates_is_read_with_its_figures_and_accepted(world, folder):
    limits = {"min_images": 1, "speed_share": None}
    jobs, judge = [], Watchman(world.store, "judge")
    for answers in ({}, dict.fromkeys(NAMES, boxes())):
        world.answers = {"b_broken.jpg": "not_an_image"} | answers
        asked = {"use_cache": False, "max_failure_rate": 1.0, "name": "yard", "gates": limits}
        jobs.append(world.producer.submit("digits", folder, hardware="cpu", **asked))
        assert (jobs[-1].gates().state, jobs[-1].gates().limits.min_images) == (None, 1)
        world.work()
        assert jobs[-1].gates().state is GateState.PENDING
        judge.judge_due()
    good, bad = (job.gates() for job in jobs)

    assert (good.state, good.findings, good.figures.objects) == (GateState.PASSED, (), 5)
    assert "no good run" in good.note
    assert (bad.state, bad.compared_with, bad.figures.empty) == (GateState.FAILED, (jobs[0].id,), 6)
    assert {each.gate for each in bad.against} == {"empty_rate", "objects_per_image"}
    assert bad.judged is not None
    assert (jobs[0].accept_gates(), jobs[1].accept_gates(), jobs[1].accept_gates()) == (False, True, False)
    assert (jobs[1].gates().state, jobs[1].status().gates) == (GateState.ACCEPTED, GateState.ACCEPTED)


def test_a_job_without_gates_has_no_verdict_and_nothing_to_accept(done):
    assert done.gates() == GatesAnswer(done.id)
    assert not done.accept_gates()
    with pytest.raises(JobNotFound):
        Job(JobId("0" * 32), done.gateway).gates()


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
