"""A video's way through worker processes, without Celery and with a model that reads the number in each frame."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import av
import numpy as np
import pytest

from inference_engine.errors import ProviderUnavailable
from inference_engine.sniff import ImageLimits
from jobstore.schema import JobState, OutcomeState
from jobstore.store import JobStore
from tests.fixtures.video_worker import PERMITS, NumberModel, a_worker, frame_rows, run_all, submit, video_row
from tests.fixtures.videos import write_video
from videos.options import VideoOptions
from workers.shards import process_shard

TIMES_MS = range(0, 4000, 40)


@pytest.fixture
def store(tmp_path):
    store = JobStore.open(f"sqlite:///{tmp_path}/jobs.db")
    store.create_schema()
    yield store
    store.close()


@pytest.fixture
def model():
    return NumberModel()


@pytest.fixture(params=[1, 4], ids=["one image a run", "batches of four"])
def runtime(request, store, model):
    with a_worker(store, model, request.param) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", TIMES_MS, b_frames=2)


def frames(store, job_id):
    rows = frame_rows(store, job_id)
    return [(row.frame, row.timestamp_s, (row.record or {}).get("value")) for row in rows]


def test_each_frame_has_an_outcome_with_its_number_and_its_time(runtime, video):
    job_id = submit(runtime.store, video)

    run_all(runtime)

    assert frames(runtime.store, job_id) == [(n + 1, pytest.approx(n * 0.04), n) for n in range(100)]
    status = runtime.store.status(job_id)
    assert (status.state, status.total, status.ok, status.frames, status.objects) == ("completed", 1, 1, 100, 100)


def test_the_videos_own_outcome_counts_its_frames(runtime, video):
    job_id = submit(runtime.store, video, VideoOptions(every=10))

    run_all(runtime)

    record = video_row(runtime.store, job_id).record
    counted = {"frames_read": 10, "frames_expected": 10, "frames_failed": 0, "is_partial": False}
    assert record.items() >= {"task": "video", "codec": "h264", **counted}.items()


def test_workers_that_share_a_video_find_what_one_finds(store, video):
    options = VideoOptions(fps=7)
    with a_worker(store, NumberModel()) as alone:
        whole = submit(store, video, options)
        run_all(alone)
    shared = submit(store, video, replace(options, segment_s=0.7), shard_size=1)
    first, second = NumberModel(), NumberModel()
    with a_worker(store, first) as one, a_worker(store, second, 4) as two, ThreadPoolExecutor(2) as both:
        hints = store.release(100)
        list(both.map(process_shard, [one, two] * 3, hints))

    assert sorted(frames(store, shared)) == frames(store, whole)
    assert (store.status(shared).total, store.status(shared).state) == (6, JobState.COMPLETED)
    assert first.seen
    assert second.seen


def test_a_frame_that_the_model_cannot_take_costs_only_itself(runtime, model, video):
    def refuse_five(number):
        if number == 5:
            raise ValueError("a poisoned frame")

    model.before = refuse_five
    job_id = submit(runtime.store, video, VideoOptions(end_s=0.4))

    run_all(runtime)

    failed = [row.frame for row in runtime.store.results(job_id) if row.state is OutcomeState.FAILED]
    assert failed == [6]
    assert video_row(runtime.store, job_id).record["frames_failed"] == 1
    assert runtime.store.status(job_id).ok == 1


def test_a_video_whose_frames_all_fail_fails(runtime, model, video):
    def refuse(number):
        raise ValueError("no")

    model.before = refuse
    job_id = submit(runtime.store, video, VideoOptions(every=20))

    run_all(runtime)

    assert video_row(runtime.store, job_id).error.code == "frames_failed"
    assert runtime.store.status(job_id).failed == 1


def test_a_frame_that_fails_for_a_moment_is_tried_again_and_the_others_are_not(runtime, model, video):
    def refuse_once(number):
        if number == 5 and model.seen.count(5) == 1:
            raise ProviderUnavailable("not now")

    model.before = refuse_once
    job_id = submit(runtime.store, video, VideoOptions(end_s=0.4))

    run_all(runtime)

    assert [value for _, _, value in frames(runtime.store, job_id)] == list(range(10))
    assert sorted(model.seen) == sorted([*range(10), 5])
    assert runtime.store.status(job_id).state is JobState.COMPLETED


def test_a_drained_worker_keeps_the_frames_it_has_and_the_next_goes_on(store, video):
    first, second = NumberModel(), NumberModel()
    job_id = submit(store, video)
    with a_worker(store, first) as one:
        first.before = lambda number: one.draining.set() if number == 30 else None
        run_all(one)
    written = len(frames(store, job_id))
    with a_worker(store, second) as two:
        run_all(two)

    assert all(file.closed for file in one.media.opened)
    assert 0 < written < 100
    assert len(second.seen) == 100 - written
    assert [value for _, _, value in frames(store, job_id)] == list(range(100))
    assert video_row(store, job_id).record["frames_read"] == 100


def test_no_more_frames_are_in_memory_than_permits(runtime, model, video):
    left = []
    model.before = lambda _: left.append(runtime.turns.permits._value)
    submit(runtime.store, video)

    run_all(runtime)

    assert max(left) < PERMITS
    runtime.turns.decoders.shutdown()
    assert runtime.turns.permits._value == PERMITS


@pytest.mark.parametrize("images_a_run", [1, 4])
def test_several_videos_of_a_shard_share_one_permit(store, model, video, images_a_run):
    with a_worker(store, model, images_a_run, permits=1) as runtime:
        job_id = submit(store, video, VideoOptions(segment_s=1), shard_size=4)
        run_all(runtime)

    assert [n for _, _, n in sorted(frames(store, job_id))] == list(range(100))
    assert store.status(job_id).state is JobState.COMPLETED
    assert all(file.closed for file in runtime.media.opened)


def test_a_video_over_which_a_worker_died_goes_frame_by_frame(runtime, model, video):
    job_id = submit(runtime.store, video, VideoOptions(end_s=0.4))
    (hint,) = runtime.store.release(100)
    lease = runtime.store.lease_shard(hint.shard_id, hint.attempt, runtime.worker_id, 30.0)
    runtime.store.count_death(lease, runtime.max_deaths)
    on_the_way = []
    model.before = lambda _: on_the_way.append(len(runtime.runs.active()[0].flights))

    run_all(runtime)

    assert on_the_way == [1] * 10
    assert runtime.store.status(job_id).state is JobState.COMPLETED


@pytest.fixture
def cut_short(tmp_path):
    """Its index says 100 frames and stands before them; the second half of their bytes is gone."""
    path = write_video(tmp_path / "a.mp4", TIMES_MS, movflags="faststart")
    data = path.read_bytes()
    path.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    return path


def test_a_video_that_ends_early_keeps_its_frames_and_says_so(runtime, cut_short):
    job_id = submit(runtime.store, cut_short)

    run_all(runtime)

    record = video_row(runtime.store, job_id).record
    assert (record["is_partial"], record["frames_expected"]) == (True, 100)
    assert 0 < record["frames_read"] == runtime.store.status(job_id).frames < 100


def test_a_video_that_ends_early_fails_if_the_job_says_so(runtime, cut_short):
    job_id = submit(runtime.store, cut_short, VideoOptions(fail_partial=True))

    run_all(runtime)

    assert video_row(runtime.store, job_id).error.code == "partial"
    assert runtime.store.status(job_id).frames > 0


def test_parts_behind_the_end_of_a_video_that_ends_early_fail(runtime, cut_short):
    job_id = submit(runtime.store, cut_short, VideoOptions(segment_s=1))

    run_all(runtime)

    ends = [row.error.code if row.error else "" for row in runtime.store.results(job_id) if not row.frame]
    assert ends[0] == ""
    assert ends[-1] == "no_frames"


def renamed(path, kind):
    """The file with the four letters of its track's codec replaced: no decoder knows the new ones."""
    path.write_bytes(write_video(path, TIMES_MS[:10]).read_bytes().replace(b"avc1", kind))


def only_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


def without_media(path):
    """The index of ten frames, none of which has its bytes."""
    data = write_video(path, TIMES_MS[:10], movflags="faststart").read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])


def without_index(path):
    data = write_video(path, TIMES_MS[:10]).read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def saying(data):
    return lambda path: path.write_bytes(data)


UNREADABLE = {
    "a playlist": (saying(b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"), "not_a_video"),
    "ffconcat": (saying(b"ffconcat version 1.0\nfile other.mp4\n"), "not_a_video"),
    "sdp": (saying(b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"), "not_a_video"),
    "mpd": (saying(b"<?xml version='1.0'?><MPD></MPD>"), "not_a_video"),
    "a picture": (saying(b"\xff\xd8\xff\xe0\0\x10JFIF"), "not_a_video"),
    "no bytes": (saying(b""), "not_a_video"),
    "a header alone": (saying(b"\0\0\0\x18ftypisom\0\0\0\0isomiso2"), "no_frames"),
    "no index": (without_index, "no_frames"),
    "an index and no media": (without_media, "no_frames"),
    "sound alone": (only_sound, "no_frames"),
    "a codec that nobody knows": (lambda path: renamed(path, b"zzzz"), "unsupported_codec"),
}


@pytest.mark.parametrize(("write", "code"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_video_is_one_failed_item(runtime, tmp_path, write, code):
    write(tmp_path / "a.mp4")
    job_id = submit(runtime.store, tmp_path / "a.mp4")

    run_all(runtime)

    error = video_row(runtime.store, job_id).error
    assert (error.code, frames(runtime.store, job_id)) == (code, [])
    assert len(error.message) > 20


@pytest.mark.parametrize("limits", [ImageLimits(max_pixels=48 * 63), ImageLimits(max_side=63)], ids=["pixels", "side"])
def test_frames_that_are_too_large_are_one_failed_item(runtime, video, limits):
    runtime = replace(runtime, limits=limits)
    job_id = submit(runtime.store, video)

    run_all(runtime)

    error = video_row(runtime.store, job_id).error
    assert error.code == "video_too_large"
    assert "64 x 48" in error.message


RATES = {"a thousand a second": range(100), "one in ten seconds": range(0, 60_000, 10_000)}


@pytest.mark.parametrize("times_ms", RATES.values(), ids=RATES)
def test_videos_of_odd_rates_keep_every_frame_and_are_sampled_as_others(runtime, tmp_path, times_ms):
    path = write_video(tmp_path / "a.mkv", times_ms)
    every, sampled = submit(runtime.store, path), submit(runtime.store, path, VideoOptions(fps=50))

    run_all(runtime)

    assert [time for _, time, _ in frames(runtime.store, every)] == pytest.approx([ms / 1000 for ms in times_ms])
    ticks = {min(times_ms, key=lambda ms: abs(ms - tick)) for tick in range(0, times_ms[-1] + 1, 20)}
    assert len(frames(runtime.store, sampled)) == len(ticks)


@pytest.mark.parametrize(("broken", "read"), [(200, range(90, 100)), (8, range(100, 101))], ids=["lost", "made up"])
def test_a_video_with_broken_bytes_in_the_middle_keeps_the_rest_and_says_so(runtime, tmp_path, broken, read):
    path = write_video(tmp_path / "a.mp4", TIMES_MS, group=10)
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 4 + (data.index(b"moov") - data.index(b"mdat") - 4) * 3 // 10
    data[at : at + broken] = bytes((37 * each + 11) % 256 for each in range(broken))
    path.write_bytes(data)
    job_id = submit(runtime.store, path)

    run_all(runtime)

    record = video_row(runtime.store, job_id).record
    assert (record["is_partial"], record["frames_expected"]) == (True, 100)
    assert record["frames_read"] == len(frames(runtime.store, job_id))
    assert record["frames_read"] in read


def test_a_missing_video_is_one_failed_item(runtime, tmp_path):
    job_id = submit(runtime.store, tmp_path / "gone.mp4")

    run_all(runtime)

    assert video_row(runtime.store, job_id).error.code == "not_found"
