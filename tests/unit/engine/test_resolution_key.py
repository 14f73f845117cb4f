"""What is remembered of a measurement is asked for again when anything that matters is another."""

from dataclasses import replace

import pytest

from inference_engine.machine import Gpu, probe_machine
from inference_engine.negotiation import NmsFusion, Wishes, negotiate
from inference_engine.resolution_cache import machine_fingerprint, resolution_key
from inference_engine.tuning import Limits

L4 = Gpu(0, "NVIDIA L4", "8.9", 24 << 30, free_bytes=20 << 30, uuid="GPU-1")
MACHINE = replace(probe_machine(), gpus=(L4,), jetson_type=None, l4t_version=None, free_bytes=1 << 30)


@pytest.mark.parametrize(
    "changes",
    [
        {"free_bytes": 2 << 30},
        {"gpus": (replace(L4, free_bytes=1),)},
        {"gpus": (replace(L4, uuid="GPU-2"),)},
    ],
    ids=str,
)
def test_what_is_free_at_the_moment_and_which_of_two_alike_it_is_makes_no_other_machine(changes):
    assert machine_fingerprint(replace(MACHINE, **changes)) == machine_fingerprint(MACHINE)


@pytest.mark.parametrize(
    "changes",
    [
        {"gpus": (replace(L4, name="NVIDIA L40S"),)},
        {"gpus": (L4, replace(L4, index=1))},
        {"jetson_type": "NVIDIA Jetson Orin NX"},
        {"l4t_version": "36.4.3"},
        {"driver_version": "1"},
        {"cuda_version": "1"},
    ],
    ids=str,
)
def test_another_device_driver_or_jetson_is_another_machine(changes):
    assert machine_fingerprint(replace(MACHINE, **changes)) != machine_fingerprint(MACHINE)


def test_each_wish_is_in_the_key(make_package):
    decision = negotiate("m", [make_package()], {}, machine=MACHINE)
    wishes = [
        Wishes(),
        Wishes(backend="onnx"),
        Wishes(backend=("onnx", "torch")),
        Wishes(backend=("torch", "onnx")),
        Wishes(batch_size=8),
        Wishes(batch_size=(1, 8)),
        Wishes(package_id="onnx"),
        Wishes(execution_providers=("CPUExecutionProvider",)),
        Wishes(nms_fusion=True),
        Wishes(nms_fusion=False),
        Wishes(nms_fusion=NmsFusion(confidence=0.3)),
        Wishes(allows_host_code=False),
    ]

    keys = {resolution_key(replace(decision, wishes=w), MACHINE, Limits(2), "given") for w in wishes}

    assert len(keys) == len(wishes)
