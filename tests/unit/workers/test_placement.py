from __future__ import annotations

from dataclasses import replace

import pytest

from inference_engine.machine import Gpu, probe_machine
from workers.placement import Slot, batch_policy, divide, plan_slots, session_options

H200 = Gpu(0, "H200", "9.0", 141 << 30)
L4 = Gpu(1, "L4", "8.9", 24 << 30)


def machine(*gpus: Gpu):
    return replace(probe_machine(), gpus=gpus)


def test_a_machine_without_a_gpu_gets_one_cpu_process_with_all_cores():
    assert plan_slots(machine(), "auto", (0, 1, 2, 3), 1) == [Slot("cpu", "cpu", (0, 1, 2, 3))]


def test_cores_are_divided_between_cpu_processes():
    assert [slot.cores for slot in plan_slots(machine(), "cpu", (0, 1, 2), 2)] == [(0, 1), (2,)]


def test_there_are_never_more_cpu_processes_than_cores():
    assert len(plan_slots(machine(), "cpu", (0, 1), 8)) == 2


def test_each_gpu_gets_a_process_that_sees_only_it():
    slots = plan_slots(machine(H200, L4), "auto", (0, 1, 2, 3), 1)

    assert [(slot.hardware, slot.device, slot.visible_gpu) for slot in slots] == [
        ("gpu-sm90", "cuda:0", 0),
        ("gpu-sm89", "cuda:0", 1),
    ]


def test_one_class_takes_only_its_gpus():
    assert [slot.visible_gpu for slot in plan_slots(machine(H200, L4), "gpu-sm89", (0,), 1)] == [1]


def test_the_cpu_can_be_asked_for_beside_a_gpu():
    assert [slot.device for slot in plan_slots(machine(H200), "cpu", (0, 1), 1)] == ["cpu"]


@pytest.mark.parametrize("hardware", ["gpu-sm90", "gpu-any", "tpu"])
def test_hardware_that_is_not_there_is_an_error_that_says_what_is(hardware):
    with pytest.raises(ValueError, match="this machine has cpu, no GPU"):
        plan_slots(machine(), hardware, (0,), 1)


def test_more_parts_than_cores_share_them():
    assert divide((0,), 3) == [(0,), (0,), (0,)]


def test_a_cpu_runs_single_images_on_every_core_and_a_gpu_full_batches():
    assert session_options("cpu", 4).concurrency == 4
    cpu = batch_policy("cpu", 4, (64, None), 0.01)
    gpu = batch_policy("cuda:0", 1, (64, None), 0.01)
    assert (cpu.max_batch_size, cpu.streams, gpu.max_batch_size, gpu.streams) == (1, 4, 64, 1)


def test_a_batch_that_was_asked_for_is_taken_as_far_as_the_model_goes():
    assert batch_policy("cpu", 2, (64, 8), 0.01).max_batch_size == 8
    assert batch_policy("cuda:0", 1, (16, 64), 0.01).max_batch_size == 16
