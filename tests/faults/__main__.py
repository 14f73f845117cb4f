"""`python3 dev.py faults [--minutes N] [--seed N] [--only F01,F12] [--mode embedded|server]`: the whole programme."""

from __future__ import annotations

import argparse
import logging
import os
import random
import subprocess
import sys

from tests.faults.fault import MODES
from tests.faults.faults import FAULTS, SOAK, soak
from tests.faults.runner import run_all
from tests.faults.system import ROOT


def main() -> int:
    """0 where every fault was survived."""
    parser = argparse.ArgumentParser(prog="dev.py faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="go on with new seeds for so long; F38 alone: soak")
    parser.add_argument("--seed", type=int, default=None, help="what a printed run was made with")
    parser.add_argument("--only", default="", help="names, separated by commas; a beginning is enough")
    parser.add_argument("--mode", choices=MODES, default=None)
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(2**31) if asked.seed is None else asked.seed
    wanted = tuple(name for name in asked.only.split(",") if name)
    chosen = [fault for fault in FAULTS if not wanted or fault.name.startswith(wanted)]
    modes = (asked.mode,) if asked.mode else MODES
    if asked.minutes and {fault.name for fault in chosen} == {SOAK}:
        chosen = [soak(asked.minutes * 60 / len(modes))]
    # The harness looks at a database that it breaks: its own retries are no news.
    logging.getLogger("jobstore.patience").setLevel(logging.ERROR)
    print(f"seed {seed}", flush=True)
    results = run_all(chosen, seed, asked.minutes * 60, lambda line: print(line, flush=True), modes)
    good = [result for result in results if result.is_survived]
    items = sum(result.verdict.items for result in results if result.verdict)
    print(f"survived {len(good)} of {len(results)}, {items:,} items, seed {seed}", flush=True)
    status = 0 if asked.only or asked.mode else run_named(seed)
    return 0 if len(good) == len(results) and not status else 1


def run_named(seed: int) -> int:
    """Run the faults that are not about a running job, which are tests of their own; give pytest's status."""
    folder = ROOT / "tests" / "faults"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "faults", str(folder), f"--ignore={folder}/test_faults.py"]
    return subprocess.run(command, env={**os.environ, "FAULT_SEED": str(seed)}, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
