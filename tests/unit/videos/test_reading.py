"""Timelines and frames of synthetic videos: right frames, right times, and what is refused."""

import io
import tracemalloc

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.videos import SIDE_HW, read_number, turn_video, write_video
from videos.errors import VideoUnreadable
from videos.options import Clip, VideoOptions, cut
from videos.reading import Video, VideoLimits
from videos.sampling import choose

CONSTANT = range(0, 4000, 40)
VARIABLE = np.cumsum([0, *(np.random.default_rng(3).integers(1, 180, 99))]).tolist()

FORMS = {
    "mp4, B-frames": ("a.mp4", {"b_frames": 2}),
    "mp4, one long group": ("a.mp4", {"group": 500, "b_frames": 2}),
    "mp4, short groups": ("a.mp4", {"group": 3}),
    "mkv": ("a.mkv", {"b_frames": 2}),
    "transport stream": ("a.m2ts", {"b_frames": 2}),
    "mpeg4 in avi": ("a.avi", {"codec": "mpeg4"}),
    "webm": ("a.webm", {"codec": "libvpx"}),
}


ALL, LIMITS = VideoOptions(), VideoLimits()


def labelled(path, options=ALL, clip=None, limits=LIMITS):
    with path.open("rb") as file, Video(file, limits) as video:
        timeline = video.timeline()
        chosen = choose(timeline, options, clip or options.clip)
        return [(frame.index, frame.timestamp_s, read_number(frame.image)) for frame in video.frames(timeline, chosen)]


@pytest.fixture(scope="module", params=FORMS.values(), ids=FORMS)
def form(request, tmp_path_factory):
    name, how = request.param
    return write_video(tmp_path_factory.mktemp("videos") / name, CONSTANT, **how)


@pytest.fixture(scope="module", params=[0, 2], ids=["no B-frames", "B-frames"])
def uneven(request, tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / "vfr.mp4", VARIABLE, b_frames=request.param)


def test_every_frame_comes_once_in_order_and_shows_its_own_number(form):
    found = labelled(form)

    assert [index for index, _, _ in found] == list(range(100))
    assert [shown for _, _, shown in found] == list(range(100))
    assert [time for _, time, _ in found] == pytest.approx([each / 1000 for each in CONSTANT], abs=1e-3)


def test_timestamps_of_a_variable_frame_rate_are_those_of_its_packets(uneven):
    assert [time for _, time, _ in labelled(uneven)] == pytest.approx([each / 1000 for each in VARIABLE], abs=1e-3)


SAMPLINGS = st.one_of(
    st.builds(VideoOptions, fps=st.floats(0.2, 60)),
    st.builds(VideoOptions, every=st.integers(1, 40)),
    st.just(VideoOptions(keyframes=True)),
    st.just(VideoOptions()),
)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(options=SAMPLINGS, segment_s=st.floats(0.15, 5))
def test_parts_together_give_the_frames_of_the_whole_none_twice_and_none_missing(form, options, segment_s):
    parts = cut(VideoOptions(segment_s=segment_s), 4.0)

    assert [frame for part in parts for frame in labelled(form, options, part)] == labelled(form, options)


@FEW
@given(options=SAMPLINGS, segment_s=st.floats(0.15, 5))
def test_the_same_holds_where_the_frame_rate_varies(uneven, options, segment_s):
    parts = cut(VideoOptions(segment_s=segment_s), VARIABLE[-1] / 1000)

    found = [frame for part in parts for frame in labelled(uneven, options, part)]
    assert found == labelled(uneven, options)
    assert all(index == shown for index, _, shown in found)


@FEW
@given(start_s=st.floats(0, 3.9), length_s=st.floats(0.01, 4))
def test_a_range_begins_at_its_start_and_ends_before_its_end(form, start_s, length_s):
    found = labelled(form, clip=Clip(start_s, start_s + length_s))

    assert all(start_s <= time < start_s + length_s and index == shown for index, time, shown in found)


QUARTERS = {
    "clockwise": (0, 1, -1, 0, lambda image: np.rot90(image, -1)),
    "upside down": (-1, 0, 0, -1, lambda image: np.rot90(image, 2)),
    "counter-clockwise": (0, -1, 1, 0, lambda image: np.rot90(image, 1)),
}


@pytest.mark.parametrize(("a", "b", "c", "d", "turn"), QUARTERS.values(), ids=QUARTERS)
def test_a_turned_video_comes_upright(tmp_path, a, b, c, d, turn):
    path = write_video(tmp_path / "a.mp4", [0, 40])
    plain = path.read_bytes()

    def first(data):
        with Video(io.BytesIO(data)) as video:
            return next(video.frames(video.timeline(), [1])).image

    assert np.array_equal(first(turn_video(path, a, b, c, d).read_bytes()), turn(first(plain)))


def test_the_nearest_frame_to_each_tick_is_taken(tmp_path):
    path = write_video(tmp_path / "a.mp4", [0, 300, 480, 560, 900, 1490, 2600])

    assert [index for index, _, _ in labelled(path, VideoOptions(fps=2))] == [0, 2, 4, 5, 6]


def test_a_higher_rate_than_the_videos_own_takes_each_frame_once(tmp_path):
    thirtieths = [round(number * 1000 / 30) for number in range(60)]

    assert len(labelled(write_video(tmp_path / "a.mp4", thirtieths), VideoOptions(fps=30))) == 60
    assert len(labelled(tmp_path / "a.mp4", VideoOptions(fps=1000))) == 60


TEXTS = {
    "playlist": b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
    "ffconcat": b"ffconcat version 1.0\nfile other.mp4\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "mpd": b"<?xml version='1.0'?><MPD></MPD>",
    "a picture": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0",
    "no bytes": b"",
    "a few bytes": b"\0\0",
}


@pytest.mark.parametrize("data", TEXTS.values(), ids=TEXTS)
def test_what_is_no_video_never_reaches_ffmpeg(data, monkeypatch):
    monkeypatch.setattr(av, "open", lambda *_, **__: pytest.fail("FFmpeg was asked"))

    with pytest.raises(VideoUnreadable) as caught:
        Video(io.BytesIO(data))
    assert caught.value.code == "not_a_video"


def test_a_container_without_its_index_has_no_frames(tmp_path):
    data = write_video(tmp_path / "a.mp4", CONSTANT).read_bytes()

    with pytest.raises(VideoUnreadable) as caught:
        Video(io.BytesIO(data[: data.index(b"moov")]))
    assert caught.value.code == "no_frames"


def test_sound_alone_has_no_frames(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())

    with pytest.raises(VideoUnreadable) as caught, (tmp_path / "a.mp4").open("rb") as file:
        Video(file)
    assert caught.value.code == "no_frames"


@pytest.mark.parametrize("limits", [VideoLimits(max_pixels=48 * 63), VideoLimits(max_side=63)], ids=["pixels", "side"])
def test_frames_beyond_the_limit_are_refused_before_any_is_decoded(tmp_path, limits):
    path = write_video(tmp_path / "a.mp4", [0])

    with pytest.raises(VideoUnreadable) as caught, path.open("rb") as file:
        Video(file, limits)
    assert caught.value.code == "video_too_large"


def test_a_video_of_too_many_frames_is_refused(tmp_path):
    with pytest.raises(VideoUnreadable) as caught:
        labelled(write_video(tmp_path / "a.mp4", CONSTANT), limits=VideoLimits(max_frames=99))
    assert caught.value.code == "video_too_long"


def test_every_frame_is_let_go_before_the_next(tmp_path):
    path = write_video(tmp_path / "a.mp4", CONSTANT)
    with path.open("rb") as file, Video(file) as video:
        timeline = video.timeline()
        tracemalloc.start()
        for _ in video.frames(timeline, range(100)):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 10 * SIDE_HW[0] * SIDE_HW[1] * 3


def test_each_packet_and_frame_is_a_beat_for_the_watchdog(tmp_path):
    beats = []
    with (
        write_video(tmp_path / "a.mp4", CONSTANT).open("rb") as file,
        Video(file, beat=lambda: beats.append(1)) as video,
    ):
        timeline = video.timeline()
        before = len(beats)
        list(video.frames(timeline, [11]))

    assert before >= 100
    assert len(beats) - before >= 12
