"""What the benchmarks of single steps share: rounds that alternate, and the table of the best of each."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping


def best_of(rounds: int, work: Mapping[str, Callable[[], object]], only: tuple[str, ...] = ()) -> dict[str, float]:
    """Milliseconds, the best round of each; rounds alternate, so that a busy machine slows all."""
    runs = {name: run for name, run in work.items() if not only or name in only}
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            best[name] = min(best[name], (time.perf_counter() - started) * 1000)
    return best


def print_table(about: str, measure: Callable[[int], dict[str, float]], base: str | None = None) -> None:
    """Measure as the command line says, and print a table, or JSON.

    Args:
        about: what `--help` says.
        base: what the others are told as multiples of.
    """
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    best = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps({name: round(value, 3) for name, value in best.items()}))
        return
    for name, value in best.items():
        times = "" if base is None else f"  {value / best[base]:5.2f} x {base}"
        print(f"{name:<36} {value:7.2f} ms{times}")
