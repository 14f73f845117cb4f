from __future__ import annotations

from dataclasses import replace

import pytest

from inference_engine.machine import Gpu, probe_machine
from workers.placement import Slot, batch_policy, divide, plan_slots, served_classes, session_options
from workers.process import environment

H200 = Gpu(0, "H200", "9.0", 141 << 30, 0)
L4 = Gpu(1, "L4", "8.9", 24 << 30, 1)


def machine(*gpus: Gpu, features=()):
    return replace(probe_machine(), gpus=gpus, cpu_features=features, memory_bytes=64 << 30)


def test_a_machine_without_a_gpu_gets_one_cpu_process_with_all_cores():
    assert plan_slots(machine(), "auto", (0, 1, 2, 3), 1) == [Slot("cpu", "cpu", (0, 1, 2, 3), None, 32 << 30)]


@pytest.mark.parametrize(
    ("hardware", "classes"),
    [
        ("cpu", ("cpu",)),
        ("cpu-amx", ("cpu-amx", "cpu")),
        ("gpu-sm90", ("gpu-sm90", "gpu-any")),
        ("gpu-any", ("gpu-any",)),
    ],
)
def test_a_process_serves_its_class_and_the_more_general_one(hardware, classes):
    assert served_classes(hardware) == classes


@pytest.mark.parametrize("asked", ["auto", "cpu", "cpu-amx"])
def test_a_cpu_with_amx_is_a_class_of_its_own(asked):
    (slot,) = plan_slots(machine(features=("avx2", "amx_tile")), asked, (0, 1), 1)

    assert (slot.hardware, slot.serves) == ("cpu-amx", ("cpu-amx", "cpu"))


def test_a_gpu_and_the_cpu_beside_it_share_the_cores():
    slots = plan_slots(machine(H200), "auto,cpu", (0, 1, 2, 3), 2)

    assert [(slot.hardware, slot.cores) for slot in slots] == [("gpu-sm90", (0,)), ("cpu", (1, 2)), ("cpu", (3,))]


def test_models_may_fill_half_of_the_memory_and_most_of_a_gpu():
    gpu, cpu = plan_slots(machine(L4), "auto,cpu", (0, 1), 1)

    assert (gpu.model_bytes, cpu.model_bytes) == (int((24 << 30) * 0.8), 32 << 30)


def test_a_process_sees_its_gpu_by_the_number_that_the_driver_gives_it():
    hidden_first = replace(L4, index=0, nvml_index=3)

    (slot,) = plan_slots(machine(hidden_first), "auto", (0, 1), 1)

    assert environment(slot)["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment(slot)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert environment(slot)["OMP_NUM_THREADS"] == "2"


def test_a_cpu_process_sees_no_gpu_and_leaves_threads_to_the_streams():
    variables = environment(Slot("cpu", "cpu", (0, 1)))

    assert (variables["CUDA_VISIBLE_DEVICES"], variables["OMP_NUM_THREADS"]) == ("", "1")


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


@pytest.mark.parametrize("hardware", ["gpu-sm90", "gpu-any", "tpu", "cpu-amx", "cpu,tpu"])
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
