"""Each reason for which a queue waits, as a table."""

from __future__ import annotations

import pytest

from jobstore.backlog import UNMEASURED_S, seconds_per_item
from jobstore.schema import JobState, WorkerId, WorkerRow
from jobstore.views import Waiting
from jobstore.waiting import QueueFacts, explain


def worker(*serves: str, active: int = 0) -> WorkerRow:
    return WorkerRow(WorkerId("w"), "host", 1, serves[0], "cpu", serves=serves, active=active)


GPU, IDLE, BUSY = worker("gpu-sm90", "gpu-any"), worker("cpu"), worker("cpu", active=2)


@pytest.mark.parametrize(
    ("facts", "live", "expected"),
    [
        pytest.param(QueueFacts("cpu", 0, 3), [IDLE], None, id="all in hand"),
        pytest.param(
            QueueFacts("cpu", 9, 4), [BUSY], (Waiting.WINDOW_FULL, "works: 4 shards in hand, 9 follow"), id="works"
        ),
        pytest.param(
            QueueFacts("gpu-sm90", 1, 0), [IDLE], (Waiting.NO_WORKER, "no worker serves gpu-sm90"), id="other class"
        ),
        pytest.param(QueueFacts("cpu", 1, 0), [], (Waiting.NO_WORKER, "no worker serves cpu"), id="nobody at all"),
        pytest.param(
            QueueFacts("cpu", 1, 0, refusals=["gpu-sm90: no_runnable_backend"]),
            [GPU],
            (Waiting.NO_WORKER, "no worker serves cpu; refused before: gpu-sm90: no_runnable_backend"),
            id="its model opens nowhere else",
        ),
        pytest.param(QueueFacts("gpu-any", 1, 0), [GPU], (Waiting.TAKEN_SOON, "just due"), id="a general class"),
        pytest.param(
            QueueFacts("cpu", 5, 0, 99),
            [BUSY, IDLE],
            (Waiting.BUSY, "1 of 2 workers busy with other models"),
            id="busy with other models",
        ),
        pytest.param(
            QueueFacts("cpu", 5, 0, 40.2),
            [IDLE],
            (Waiting.BROKER, "no hint reached 1 idle worker for 40 s: waiting for Redis"),
            id="Redis is away",
        ),
        pytest.param(QueueFacts("cpu", 5, 0, 2.0), [IDLE], (Waiting.TAKEN_SOON, "just due"), id="just due"),
        pytest.param(
            QueueFacts("cpu", 0, 0, held={JobState.PAUSED: 2}), [IDLE], (Waiting.PAUSED, "2 jobs paused"), id="paused"
        ),
        pytest.param(
            QueueFacts("cpu", 0, 0, held={JobState.PAUSED: 2, JobState.NEEDS_ATTENTION: 1}),
            [],
            (Waiting.NEEDS_ATTENTION, "1 job stopped and needs attention: resume or cancel"),
            id="needs attention, which comes first",
        ),
        pytest.param(
            QueueFacts("cpu", 0, 0, held={JobState.CANARY: 1}),
            [IDLE],
            (Waiting.CANARY, "1 job with its first items elsewhere or just done"),
            id="a canary",
        ),
        pytest.param(QueueFacts("cpu", 0, 2, held={JobState.CANARY: 1}), [BUSY], None, id="a canary at work"),
    ],
)
def test_a_queue_says_why_it_waits(facts, live, expected):
    assert explain(facts, live) == expected


@pytest.mark.parametrize(
    ("queue", "seconds"),
    [
        pytest.param("infer.cpu.a.b", 2.0, id="measured"),
        pytest.param("infer.cpu.new", 3.0, id="the mean of its class"),
        pytest.param("infer.cpu-amx.new", UNMEASURED_S, id="nothing of its class was measured"),
    ],
)
def test_a_queue_without_a_speed_takes_that_of_its_class(queue, seconds):
    speeds = {"infer.cpu.a.b": 2.0, "infer.cpu.c": 4.0, "infer.gpu-sm90.a": 0.01}

    assert seconds_per_item(queue, speeds) == seconds
