"""Which settings are tried, and how a setting is timed."""

from dataclasses import replace

import numpy as np
import pytest

from inference_engine.errors import OutOfMemory, SessionFailed
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.samples import generated_images
from inference_engine.sessions import SessionOptions
from inference_engine.testing import ScriptedSession
from inference_engine.timing import images_per_second, make_batches
from inference_engine.tuning import Limits, batch_sizes, leaders, openings


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(1), [(1, 1)]),
        (Limits(2), [(1, 2)]),
        (Limits(2, 2), [(1, 2), (2, 1)]),
        (Limits(8, 8), [(1, 8), (4, 2), (8, 1)]),
        (Limits(8, 4), [(1, 8), (4, 2)]),
        (Limits(2, 16), [(1, 2), (2, 1)]),
        (Limits(4, 4, threads=1), [(1, 1), (2, 1), (4, 1)]),
    ],
)
def test_streams_and_threads_share_the_cores(limits, expected):
    found = openings("cpu", limits)

    assert [(options.concurrency, options.threads) for options in found] == expected


def test_a_gpu_runs_one_batch_at_a_time():
    assert openings("cuda:0", Limits(8, 8)) == [SessionOptions(threads=0, concurrency=1)]


def test_openings_keep_what_else_the_caller_asked_for():
    asked = SessionOptions(threads=7, compile=True, execution_providers=("CPUExecutionProvider",))

    found = openings("cpu", Limits(2, 2), asked)

    assert found == [replace(asked, threads=2, concurrency=1), replace(asked, threads=1, concurrency=2)]


def test_batches_stay_within_what_the_package_takes(make_package):
    def package(**batches):
        return make_package(config=InferenceConfig(NetworkInput((32, 32)), **batches))

    assert batch_sizes(package(), "cpu", None) == [1, 4, 8]
    assert batch_sizes(package(), "cuda", None) == [1, 8, 32]
    assert batch_sizes(package(max_batch_size=5), "cpu", None) == [1, 4]
    assert batch_sizes(package(static_batch_size=3), "cpu", None) == [3]
    assert batch_sizes(package(), "cpu", 6) == [6]


def test_leaders_are_near_the_fastest_and_few():
    assert leaders({"a": 10.0, "b": 7.1, "c": 6.9, "d": 9.0}, 0.7, 9) == ["a", "d", "b"]
    assert leaders({"a": 10.0, "b": 7.1, "d": 9.0}, 0.7, 2) == ["a", "d"]
    assert leaders({}, 0.7, 2) == []


def tensors(count):
    return [{"images": np.full((1, 3, 32, 32), index, np.float32)} for index in range(count)]


def test_batches_hold_different_images_and_take_some_twice_where_there_are_too_few():
    batches = make_batches(tensors(3), 2)

    assert [batch["images"][:, 0, 0, 0].tolist() for batch in batches] == [[0, 1], [2, 0]]
    assert [len(batch["images"]) for batch in make_batches(tensors(2), 8)] == [8]


def test_images_of_different_shapes_come_into_different_batches():
    wide = [{"images": np.zeros((1, 3, 32, 64), np.float32)}]

    shapes = [batch["images"].shape for batch in make_batches([*tensors(3), *wide], 2)]

    assert shapes == [(2, 3, 32, 32), (2, 3, 32, 32), (2, 3, 32, 64)]


def test_batches_of_several_shapes_are_all_warmed_up_and_run_in_whole_rounds():
    session = ScriptedSession(np.ones((6, 2), np.float32))
    batches = [{"images": np.zeros((size, 3, 32, side), np.float32)} for size, side in ((1, 32), (2, 64), (3, 96))]

    images_per_second(session, batches, 1, 0.0)

    assert session.batch_sizes == [3, 2, 1, 1, 2, 3]


@pytest.mark.parametrize("streams", [1, 3])
def test_a_speed_counts_images_and_not_the_run_that_warms_up(streams):
    session = ScriptedSession(np.ones((6, 2), np.float32), concurrency=streams)

    speed = images_per_second(session, make_batches(tensors(4), 2), streams, 0.0)

    assert speed > 0
    assert session.batch_sizes == [2] * (3 * streams)


@pytest.mark.parametrize("streams", [1, 3])
def test_a_run_that_fails_is_the_error_whichever_stream_it_was(streams):
    full = ScriptedSession(np.ones((6, 2), np.float32), fits=1, concurrency=streams)
    marked = ScriptedSession(np.ones((6, 2), np.float32), marked=lambda image: image.max() == 3, concurrency=streams)

    with pytest.raises(OutOfMemory):
        images_per_second(full, make_batches(tensors(4), 2), streams, 0.0)
    with pytest.raises(SessionFailed, match="marked"):
        images_per_second(marked, make_batches(tensors(4), 2), streams, 5.0)


def test_generated_pictures_are_the_same_each_time_and_not_alike():
    first, again = generated_images(3, (48, 64)), generated_images(3, (48, 64))

    assert all(picture.shape == (48, 64, 3) and picture.dtype == np.uint8 for picture in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert first[0].std() > 10
