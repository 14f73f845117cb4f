"""How `run` and `submit` are asked to hold a job against the good runs before it."""

import click
import pytest
from click.testing import CliRunner

from nightshift.cli.request import job_options, request_of


def asked(*arguments):
    """The gates that a command line asks a job for, and the words of its refusal."""
    made = []

    @click.command()
    @job_options
    def command(**options):
        made.append(request_of(options).spec(("cpu",)).gates)

    done = CliRunner().invoke(command, ["photos", "-m", "digits", *arguments])
    return made, done.output


@pytest.mark.parametrize(
    ("arguments", "gates"),
    [
        ((), None),
        (("--gates",), {}),
        (("--gate", "empty_rate_rise=0.2"), {"empty_rate_rise": 0.2}),
        (("--gates", "--gate", "speed_share=null", "--gate", "min_images=3"), {"speed_share": None, "min_images": 3}),
        (("--gate", "empty_rate_rise=0.1"), {}),
    ],
    ids=["nothing", "the usual ones", "one limit", "several", "a limit that is the usual one"],
)
def test_gates_are_asked_for_as_a_job_file_does(arguments, gates):
    made, told = asked(*arguments)

    assert made == [gates], told


@pytest.mark.parametrize(
    "limit",
    ["empty=0.2", "empty_rate_rise", "empty_rate_rise=2", "empty_rate_rise=no", "min_images=0", "speed_share=NaN"],
)
def test_a_limit_that_cannot_be_is_refused_with_those_that_there_are(limit):
    made, told = asked("--gate", limit)

    assert made == []
    assert "expected NAME=LIMIT or NAME=null, with one of empty_rate_rise, " in " ".join(told.split())
