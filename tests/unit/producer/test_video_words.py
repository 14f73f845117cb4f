"""Every option of videos can be said in a job file and over HTTP."""

from dataclasses import fields

import msgspec
import pytest

from jobstore.errors import InvalidJob
from jobstore.schema import JobSpec
from producer.jobfile.model import VideoSection
from producer.wire import DraftBody, VideoBody
from videos.options import VideoOptions

NAMES = {field.name for field in fields(VideoOptions)}


@pytest.mark.parametrize("said", [VideoSection.model_fields, VideoBody.__struct_fields__], ids=["job file", "HTTP"])
def test_every_option_has_a_word(said):
    assert set(said) == NAMES


def test_options_cross_the_wire_and_come_back():
    asked = VideoOptions(fps=2.0, track=True, end_s=4.0)

    body = msgspec.json.decode(msgspec.json.encode(DraftBody.of(JobSpec("digits", video=asked))), type=DraftBody)

    assert body.spec("a", None, ("cpu",)).video == asked


def test_options_that_exclude_each_other_are_an_invalid_job():
    with pytest.raises(InvalidJob, match="video: fps, every and keyframes exclude each other"):
        VideoBody(fps=2.0, every=3).options()
