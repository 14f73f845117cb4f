"""When a machine is well, as a table."""

from __future__ import annotations

import pytest

from workers.health import SILENT_S, ProcessState, processes_report

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("process", "beats", "is_well", "words"),
    [
        pytest.param(ProcessState("cpu-0", 7, 500), {7: NOW - 2}, True, "gave a sign of life 2 s ago", id="at work"),
        pytest.param(ProcessState("cpu-0", 7, 3), {}, True, "no sign of life in its 3 s", id="starting"),
        pytest.param(ProcessState("cpu-0", None, 90), {}, True, "starts again", id="its launcher looks after it"),
        pytest.param(
            ProcessState("cpu-0", 7, 500), {7: NOW - SILENT_S - 1}, False, "gave a sign of life 61 s ago", id="hung"
        ),
        pytest.param(
            ProcessState("cpu-0", 7, SILENT_S + 9), {}, False, "no sign of life in its 69 s", id="hung while it started"
        ),
        pytest.param(ProcessState("cpu-0", 8, 500), {7: NOW}, False, "no sign of life in its 500 s", id="another's"),
        pytest.param(
            ProcessState("cpu-0", 7, 500), {7: NOW + 60}, True, "gave a sign of life 0 s ago", id="a clock set back"
        ),
    ],
)
def test_a_process_is_judged_by_its_last_sign_of_life(process, beats, is_well, words):
    report = processes_report([process], beats, NOW)

    assert (report.is_well, report.checks) == (is_well, {"cpu-0": words})


def test_one_hung_process_makes_the_machine_unwell():
    report = processes_report([ProcessState("a", 1, 500), ProcessState("b", 2, 500)], {1: NOW, 2: NOW - 99}, NOW)

    assert not report.is_well
