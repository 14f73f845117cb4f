"""What a worker tells of its machine, and what is read from it elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from inference_engine.machine import Gpu, Machine, probe_machine
from workers.machine_reports import ReportUnreadable, assumed_machine, machine_of, report_of

H200 = Gpu(0, "NVIDIA H200", "9.0", 141 << 30, 7 << 30, "GPU-1b2c")
NODE = Machine(
    "Linux", "x86_64", "3.12.1", "Xeon", 16, ("avx2", "amx_tile"), 512 << 30, (H200,), "570.86", "12.8",
    {"torch": "2.8.0"}, {"torch": "torch"}, {}, 300 << 30,
)  # fmt: skip


def sent(machine: Machine) -> dict:
    """The report as it comes out of the database."""
    return json.loads(json.dumps(report_of(machine)))


def test_a_machine_comes_back_as_it_was_but_for_names_and_with_its_memory_free():
    found = machine_of(sent(NODE))

    assert found == replace(NODE, gpus=(replace(H200, uuid=""),))
    assert (found.free_bytes, found.gpus[0].free_bytes) == (512 << 30, 141 << 30)


def test_the_machine_of_this_process_comes_back():
    assert machine_of(sent(probe_machine())).packages == probe_machine().packages


def test_what_changes_from_moment_to_moment_and_what_names_a_device_is_not_told():
    again = replace(NODE, free_bytes=1, gpus=(replace(H200, free_bytes=2, uuid="GPU-other"),))

    assert report_of(again) == report_of(NODE)
    assert "GPU-1b2c" not in json.dumps(report_of(NODE))


def test_a_drivers_words_are_told_without_folders():
    words = "does not answer (OSError: /home/ann/cuda/lib64/libnvidia-ml.so.1: cannot open, see https://host/a/b)"
    report = report_of(replace(NODE, gpus=(), problems={"nvidia": words}))

    told = report["machine"]["problems"]["nvidia"]
    assert told == "does not answer (OSError: libnvidia-ml.so.1: cannot open, see https://host/a/b)"


def test_fields_that_a_later_version_adds_are_passed_over():
    report = sent(NODE)
    report["machine"]["npus"] = [1]
    report["machine"]["gpus"][0]["mig"] = True

    assert machine_of({**report, "told_by": "a later version"}).gpus[0].name == "NVIDIA H200"


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({}, "version None, this nightshift reads 1"),
        ({**report_of(NODE), "schema_version": 2}, "version 2"),
        ({"schema_version": 1}, "missing required field `machine`"),
        ({"schema_version": 1, "machine": {"os": 3}}, "cannot be read"),
    ],
    ids=["empty", "newer", "without", "of another type"],
)
def test_what_cannot_be_read_says_why(report, words):
    with pytest.raises(ReportUnreadable, match=words):
        machine_of(report)


@pytest.mark.parametrize(
    ("hardware", "gpus", "has_amx"),
    [("cpu", [], False), ("cpu-amx", [], True), ("gpu-sm90", ["9.0"], False), ("gpu-sm120", ["12.0"], False)],
)
def test_a_class_name_implies_a_device_and_the_rest_is_this_machines(hardware, gpus, has_amx):
    here = replace(NODE, cpu_features=("avx2",))

    found = assumed_machine(hardware, here)

    assert [gpu.compute_capability for gpu in found.gpus] == gpus
    assert ("amx_tile" in found.cpu_features) is has_amx
    assert (found.packages, found.driver_version, found.free_bytes) == (here.packages, None, None)


@pytest.mark.parametrize("hardware", ["gpu-any", "gpu-sm", "gpu-sm9", "tpu", "auto"])
def test_a_name_that_implies_no_device_gives_nothing(hardware):
    assert assumed_machine(hardware, NODE) is None
