"""A selection of the fault programme that every change has to survive; `python3 dev.py faults` runs all of it.

How long the work stood still is judged there and not here. A lease and five seconds are a promise of a machine that
has time for its workers; here two cores run the other half of the tests beside them, and a bound that is wide enough
for that would say nothing.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.fault import Fault
from tests.faults.faults import FAULTS
from tests.faults.runner import row, run_fault

#: Limit of a row in seconds. The slowest quick one, F10, took 63 s with four busy processes to two cores; what fails
#: should fail by the harness's own limits, which are shorter and say why.
ROW_S = 400
#: One after the other (`tests/fixtures/spreading.py`): each starts two machines and its servers.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(ROW_S)]

#: `FAULT_SEED=... python3 dev.py test tests/faults` repeats a run.
SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(2**31))
#: Three minutes of the whole run, on two cores.
FAULTS_A_RUN, POINTS_A_RUN = 6, 3


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
    assert result.verdict.is_good, row(result)
