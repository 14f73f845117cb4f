"""What can be asked of videos, and how they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videos.options import Clip, VideoOptions, cut

WRONG = {
    "two samplings": ({"fps": 2, "every": 3}, "exclude each other"),
    "no rate": ({"fps": 0}, "fps is 0"),
    "not a number": ({"fps": float("nan")}, "fps is nan"),
    "no stride": ({"every": 0}, "every is 0"),
    "before the video": ({"start_s": -1}, "start_s is -1"),
    "an empty range": ({"start_s": 2, "end_s": 2}, "after start_s"),
    "parts of a tracked video": ({"track": True, "segment_s": 4}, "exclude each other"),
    "parts of nothing": ({"segment_s": 0}, "segment_s is 0"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_in_words(given, words):
    with pytest.raises(ValueError, match=words):
        VideoOptions(**given)


def test_options_survive_their_record():
    options = VideoOptions(fps=2.5, start_s=1, end_s=9, segment_s=4, fail_partial=True)

    assert VideoOptions(**options.record()) == options


@given(
    start_s=st.floats(0, 50), length_s=st.one_of(st.none(), st.floats(0.5, 100)), segment_s=st.floats(0.1, 60),
    duration_s=st.floats(0, 200),
)  # fmt: skip
def test_parts_touch_and_cover_all_that_is_wanted(start_s, length_s, segment_s, duration_s):
    end_s = None if length_s is None else start_s + length_s

    parts = list(cut(VideoOptions(start_s=start_s, end_s=end_s, segment_s=segment_s), duration_s))

    assert (parts[0].start_s, parts[-1].end_s) == (start_s, end_s)
    assert [part.end_s for part in parts[:-1]] == [part.start_s for part in parts[1:]]


def test_a_video_of_unknown_length_is_not_cut():
    assert list(cut(VideoOptions(segment_s=4), None)) == [Clip()]
