"""The asynchronous producer gives what the other gives, and lets go when its task is cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from jobstore.errors import DeliveryNotFound
from jobstore.schema import ItemRef, JobState
from producer import AsyncProducer, JobFailed, JobTimeout
from tests.fixtures.fleet import wait_until

#: How long a test waits for another thread.
SOON_S = 30.0


@pytest.fixture
def pictures(tmp_path):
    files = [tmp_path / f"{number}.jpg" for number in range(4)]
    for file in files:
        file.write_bytes(b"\xff\xd8\xff" + file.name.encode())
    return files


def test_every_word_of_a_job_is_awaited(world, pictures, tmp_path):
    world.answers["2.jpg"] = "not_an_image"

    async def story():
        producer = AsyncProducer.over(world.producer)
        job = await producer.submit("digits", pictures, hardware="cpu", max_failure_rate=0.5, shard_size=2)
        assert await job.pause()
        assert await job.resume()
        assert await job.reprioritise(2)
        assert "no worker" in await job.why_waiting()
        worker = world.working()
        seen = [progress async for progress in job.watch(0.01)]
        worker.join()
        status = await job.wait(timeout=SOON_S)
        results = [result async for result in job.results("label = 'person'", batch=1)]
        (group,) = await job.failures()
        (written,) = await job.export(tmp_path / "out", "jsonl")
        kinds = [event.kind for event in await job.events()]
        backends = {row.backend for row in await job.decisions()}
        again = await job.retry()
        assert await (await producer.job(job.id)).cancel()
        (listed,) = await producer.jobs()
        assert (listed.id, (await listed.progress()).total) == (job.id, 4)
        assert await job.webhooks() == []
        assert ((await job.gates()).state, await job.accept_gates()) == (None, False)
        with pytest.raises(DeliveryNotFound):
            await job.resend("none")
        assert (await producer.queues("gpu-any"), await producer.workers()) == ([], [])
        return seen[-1].done, status.ok, len(results), group.code, written.items, kinds[-1], backends, again

    told = asyncio.run(story())

    assert told == (4, 3, 3, "not_an_image", 4, "completed_with_errors", {"onnx"}, 1)


def test_waiting_raises_as_the_other_does(world, pictures):
    async def story():
        job = await AsyncProducer.over(world.producer).submit("digits", pictures, hardware="cpu")
        with pytest.raises(JobTimeout, match="4 of 4 items left"):
            await job.wait(timeout=0.01)
        await job.cancel()
        with pytest.raises(JobFailed, match="was cancelled"):
            await job.wait()

    asyncio.run(story())


def test_a_cancelled_wait_is_over_at_once_and_the_job_goes_on(world, pictures):
    async def story():
        job = await AsyncProducer.over(world.producer).submit("digits", pictures, hardware="cpu")
        waiting = asyncio.create_task(job.wait())
        await job.status()  # the task has begun by now
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return (await job.status()).state

    assert asyncio.run(story()) is JobState.RUNNING


def test_a_submit_that_is_cancelled_while_its_items_are_read_leaves_no_job(world, pictures):
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow():
        try:
            yield ItemRef(str(pictures[0]))
            begun.set()
            assert go_on.wait(SOON_S)
            yield ItemRef(str(pictures[1]))
        finally:
            ended.set()

    async def story():
        producer = AsyncProducer.over(world.producer)
        submitting = asyncio.create_task(producer.submit("digits", slow(), hardware="cpu"))
        assert await asyncio.to_thread(begun.wait, SOON_S)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        go_on.set()

    asyncio.run(story())

    wait_until(ended.is_set, SOON_S, "the end of the reading")
    assert world.producer.jobs() == []


def test_results_may_be_left_in_the_middle(world, pictures):
    async def story():
        job = await AsyncProducer.over(world.producer).submit("digits", pictures, hardware="cpu")
        world.work()
        async for result in job.results(batch=1):
            first = result.idx
            break
        return first, (await job.status()).ok

    assert asyncio.run(story()) == (0, 4)
