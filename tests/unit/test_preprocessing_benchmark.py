"""The preprocessing benchmark runs, and preprocessing costs little more than the least that it could."""

from benchmarks.preprocessing import BARE, OURS, measure


def test_a_letterbox_costs_at_most_a_fifth_more_than_resize_and_copy():
    ratios = []
    for _ in range(5):  # a machine that is busy with other work may spoil a measurement, never all of five
        best = measure(rounds=20, only=(BARE, OURS))
        ratios.append(best[OURS] / best[BARE])
        if ratios[-1] <= 1.2:
            break

    assert min(ratios) <= 1.2, ratios
