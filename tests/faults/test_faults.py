"""A selection of the fault programme that every change has to survive; `python3 dev.py faults` runs all of it."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.fault import Fault
from tests.faults.faults import FAULTS
from tests.faults.runner import run_fault

#: One after the other: each starts two machines and its servers.
pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]

#: `FAULT_SEED=... python3 dev.py test tests/faults` repeats a run.
SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(2**31))
#: Five minutes of the whole run, on two cores.
FAULTS_A_RUN, POINTS_A_RUN = 9, 4


def selection() -> list[tuple[Fault, str]]:
    """Some of the quick faults, each in one of its modes, and some of the points at which a process can be killed."""
    rng = random.Random(SEED)
    quick = [fault for fault in FAULTS if fault.is_quick]
    points = [fault for fault in quick if fault.name.startswith("F03")]
    chosen = rng.sample([fault for fault in quick if fault not in points], FAULTS_A_RUN) + rng.sample(
        points, POINTS_A_RUN
    )
    return [(fault, rng.choice(fault.modes)) for fault in chosen]


@pytest.mark.parametrize(
    ("fault", "mode"), [pytest.param(fault, mode, id=f"{fault.name}-{mode}") for fault, mode in selection()]
)
def test_nothing_is_lost_or_done_twice(fault, mode, request, tmp_path) -> None:
    print(f"FAULT_SEED={SEED}")  # noqa: T201  (shown with a failure, to repeat it)

    result = run_fault(fault, mode, SEED, lambda: request.getfixturevalue("postgres_server"), tmp_path)

    assert result.verdict is not None
    assert result.verdict.is_good, result.verdict
