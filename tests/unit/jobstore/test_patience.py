"""What may work in a moment is tried again for a while, and nobody hears of it on standard output."""

import math
from types import SimpleNamespace

import pytest

from jobstore import patience


class Passing(Exception):
    """Over in a moment."""


@pytest.fixture
def slept(monkeypatch):
    waits = []
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=waits.append))
    return waits


def patient(patience_s):
    return patience.patient(lambda error: isinstance(error, Passing), patience_s, first_wait_s=0.02, most_wait_s=0.1)


def failing(*errors):
    left = list(errors)

    def call():
        if left:
            raise left.pop(0)
        return "done"

    return call


def test_it_calls_until_it_works_and_waits_longer_each_time(slept, capfd, caplog):
    call = failing(*[Passing("database is locked\n[SQL: SELECT secret]")] * 6)

    assert patient(60)(call) == "done"

    assert len(slept) == 6
    assert all(low <= wait <= low + 0.02 for low, wait in zip([0.02, 0.04, 0.08, 0.1, 0.1, 0.1], slept, strict=True))
    assert capfd.readouterr().out == ""
    assert len(caplog.records) == 6
    assert "database is locked; tried again in" in caplog.text
    assert "secret" not in caplog.text


def test_the_last_error_is_raised_when_patience_is_over(slept):
    with pytest.raises(Passing, match="first"):
        patient(0)(failing(Passing("first"), Passing("second")))
    assert slept == []


def test_tries_can_be_counted_instead(slept):
    few = patience.patient(
        lambda error: isinstance(error, Passing), math.inf, first_wait_s=0.02, most_wait_s=0.1, most_tries=2
    )
    with pytest.raises(Passing, match="second"):
        few(failing(Passing("first"), Passing("second"), Passing("third")))
    assert len(slept) == 1


def test_what_does_not_pass_is_raised_at_once(slept):
    with pytest.raises(KeyError):
        patient(60)(failing(KeyError("gone")))
    assert slept == []


def test_one_serves_again_after_it_gave_up(slept):
    one = patient(60)
    with pytest.raises(KeyError):
        one(failing(Passing("now"), KeyError("gone")))

    assert one(failing(Passing("now"))) == "done"
    assert len(slept) == 2
