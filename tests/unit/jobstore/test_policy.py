import pytest

from jobstore.policy import Limits, broken_limit, is_beyond_chance
from jobstore.submit import plan_canary, plan_shards


@pytest.mark.parametrize(
    ("limits", "failed", "code"),
    [
        (Limits(100, None, None), 100, None),
        (Limits(100, 5, None), 5, None),
        (Limits(100, 5, None), 6, "too_many_failures"),
        (Limits(100, 0, None), 1, "too_many_failures"),
        (Limits(100, None, 0.02), 2, None),
        (Limits(100, None, 0.02), 3, "failure_rate_exceeded"),
        (Limits(100, 1, 0.02), 3, "too_many_failures"),
    ],
    ids=["no-limit", "at-the-number", "over-the-number", "none-may", "at-the-rate", "over-the-rate", "both"],
)
def test_a_limit_is_broken_by_more_than_it_allows(limits, failed, code):
    broken = broken_limit(limits, failed)

    assert (None if broken is None else broken[0]) == code


@pytest.mark.parametrize(
    ("failed", "seen", "rate", "expected"),
    [
        (0, 64, 0.0, False),
        (1, 64, 0.0, True),
        (2, 64, 0.02, False),  # 3 %: 36 % of the jobs with a share of 2 % look like this
        (3, 64, 0.02, False),  # 14 %
        (4, 64, 0.02, True),  # 4 %
        (64, 64, 1.0, False),
        (32, 64, 0.5, False),
        (1, 1, 0.02, True),
    ],
)
def test_a_canary_stops_a_job_only_for_what_chance_does_not_explain(failed, seen, rate, expected):
    assert is_beyond_chance(failed, seen, rate) is expected


@pytest.mark.parametrize("total", [1, 63, 64, 65, 511, 512, 513, 1_000, 100_000])
@pytest.mark.parametrize("size", [1, 8, 64, 1_000])
def test_shards_cover_every_item_once_and_never_lie_across_the_canarys_end(total, size):
    canary = plan_canary(total, None)

    ranges = list(plan_shards(total, size, canary))

    assert [idx for first, last in ranges for idx in (first, last + 1)][1:-1:2] == [first for first, _ in ranges[1:]]
    assert (ranges[0][0], ranges[-1][1]) == (0, total - 1)
    assert all(1 <= last - first + 1 <= size for first, last in ranges)
    assert canary == 0 or canary in [first for first, _ in ranges]


def test_the_last_tenth_of_a_large_job_is_cut_smaller():
    sizes = [last - first + 1 for first, last in plan_shards(6_400, 64)]

    assert sizes == [64] * 90 + [32] * 10 + [16] * 20


def test_a_small_job_has_shards_of_one_size():
    assert [last - first + 1 for first, last in plan_shards(400, 40)] == [40] * 10
