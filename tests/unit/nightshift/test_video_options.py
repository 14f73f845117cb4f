"""How `run` and `submit` are asked for frames of videos."""

import click
import pytest
from click.testing import CliRunner

from nightshift.cli.request import job_options, request_of
from videos.options import VideoOptions


def asked(*arguments):
    """The request that a command line makes, and the words of its refusal."""
    made = []

    @click.command()
    @job_options
    def command(**options):
        made.append(request_of(options))

    done = CliRunner().invoke(command, ["a.mp4", "-m", "digits", *arguments])
    return made, done.output


GIVEN = {
    "nothing": ((), VideoOptions()),
    "a rate": (("--fps", "2"), VideoOptions(fps=2)),
    "a stride in a range": (
        ("--every", "10", "--start", "1", "--end", "9"),
        VideoOptions(every=10, start_s=1, end_s=9),
    ),
    "keyframes in parts": (("--keyframes", "--segment", "4"), VideoOptions(keyframes=True, segment_s=4)),
    "objects with numbers": (("--track",), VideoOptions(track=True)),
    "only whole videos": (("--fail-partial",), VideoOptions(fail_partial=True)),
}


@pytest.mark.parametrize(("arguments", "video"), GIVEN.values(), ids=GIVEN)
def test_a_job_carries_the_sampling_that_was_asked_for(arguments, video):
    ((request,), _) = asked(*arguments)

    assert request.spec(("cpu",)).video == video


@pytest.mark.parametrize("arguments", [("--fps", "2", "--every", "3"), ("--track", "--segment", "4")])
def test_what_excludes_each_other_is_refused(arguments):
    made, words = asked(*arguments)

    assert not made
    assert "exclude each other" in words
