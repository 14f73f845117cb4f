"""Due times of cron expressions: time zones, the two nights a year, what was missed."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from jobstore.crontimes import MOST_CAUGHT_UP, CatchUp, check_cron, in_words, look, next_after
from jobstore.errors import InvalidSchedule

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        pytest.param("30 2 * * *", "UTC", "2026-11-20T02:30", "2026-11-21T02:30", id="not the moment itself"),
        pytest.param("30 2 * * MON-FRI", BERLIN, "2026-11-20T03:00", "2026-11-23T02:30", id="over a weekend"),
        pytest.param("0 0 1 * *", "Asia/Tokyo", "2026-11-20T03:00", "2026-12-01T00:00", id="another zone"),
        pytest.param("30 2 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T03:00", id="a time that the gap swallows"),
        pytest.param("*/30 * * * *", BERLIN, "2026-03-29T01:30", "2026-03-29T03:00", id="elapsed time over the gap"),
        pytest.param("30 2 * * *", BERLIN, "2026-10-24T12:00", "2026-10-25T02:30", id="the first of two equal times"),
    ],
)
def test_the_next_due_time(cron: str, zone: str, after: str, expected: str) -> None:
    assert next_after(cron, zone, at(after, zone)) == at(expected, zone)


@pytest.mark.parametrize("after", ["2026-10-25T02:15", "2026-10-25T02:30", "2026-10-25T02:59"])
def test_a_time_of_day_that_comes_twice_is_due_once(after: str) -> None:
    assert next_after("30 2 * * *", BERLIN, at(after, fold=1)) == at("2026-10-26T02:30")


def test_every_half_hour_is_due_twice_in_the_hour_that_comes_twice() -> None:
    moment, seen = at("2026-10-25T01:45"), []
    for _ in range(4):
        moment = next_after("*/30 * * * *", BERLIN, moment) or 0
        seen.append(moment)
    assert seen == [at("2026-10-25T02:00") + 1800 * step for step in range(4)]


def test_a_day_that_never_comes_is_refused() -> None:
    with pytest.raises(InvalidSchedule, match=r"cannot be read \(bad day-of-month\)"):
        check_cron("0 0 31 2 *", "UTC")


@pytest.mark.parametrize(
    ("cron", "zone", "words"),
    [
        pytest.param("61 2 * * *", "UTC", "'61 2 \\* \\* \\*' cannot be read .bad minute.", id="no such minute"),
        pytest.param("2 * *", "UTC", "wrong number of fields", id="too few fields"),
        pytest.param("0 2 * * *", "Berlin", "no time zone is called 'Berlin'", id="no such zone"),
        pytest.param("0 2 * * *", "../etc/passwd", "no time zone is called", id="a path is no zone"),
    ],
)
def test_what_cannot_be_says_what_was_found(cron: str, zone: str, words: str) -> None:
    with pytest.raises(InvalidSchedule, match=words):
        check_cron(cron, zone)


def test_a_schedule_in_words() -> None:
    assert in_words("30 2 * * MON-FRI", BERLIN) == "At 02:30 on Monday through Friday (Europe/Berlin)"


NIGHTS = [at(f"2026-11-{day:02d}T02:30") for day in range(1, 5)]


@pytest.mark.parametrize(
    ("catch_up", "late_s", "runs", "missed"),
    [
        pytest.param(CatchUp.NONE, 20, NIGHTS[3:], NIGHTS[:3], id="none, and the last is on time"),
        pytest.param(CatchUp.NONE, 3600, [], NIGHTS, id="none, and the last is late"),
        pytest.param(CatchUp.LAST, 3600, NIGHTS[3:], NIGHTS[:3], id="last"),
        pytest.param(CatchUp.ALL, 3600, NIGHTS, [], id="all"),
    ],
)
def test_what_becomes_of_times_that_passed(
    catch_up: CatchUp, late_s: float, runs: list[float], missed: list[float]
) -> None:
    due = look("30 2 * * *", BERLIN, catch_up, NIGHTS[0], NIGHTS[3] + late_s)
    assert (due.runs, due.missed, due.next_at) == (tuple(runs), tuple(missed), at("2026-11-05T02:30"))


def test_a_schedule_of_every_minute_makes_up_for_a_hundred_times_at_most() -> None:
    due = look("* * * * *", "UTC", CatchUp.ALL, NIGHTS[0], NIGHTS[0] + 400 * 86_400)
    assert len(due.runs) == MOST_CAUGHT_UP
    assert due.runs[-1] == NIGHTS[0] + 400 * 86_400


def test_times_over_the_night_that_is_longer_are_each_given_once() -> None:
    due = look("30 2 * * *", BERLIN, CatchUp.ALL, at("2026-10-24T02:30"), at("2026-10-26T02:45"))
    assert due.runs == tuple(at(f"2026-10-{day}T02:30") for day in (24, 25, 26))
