"""The GPU benchmark: without a GPU it says so; with a CPU in its place the same code runs to the end."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import gpu
from inference_engine.machine import Gpu, probe_machine
from inference_engine.samples import generated_images
from inference_engine.sessions import SessionOptions

IMAGES = generated_images(2, (64, 64), seed=1)
BENCHMARKS = Path(gpu.__file__).parent


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    sys.path.insert(0, str(BENCHMARKS))
    from seeded_torch import write_packages

    sys.path.remove(str(BENCHMARKS))
    folder = tmp_path_factory.mktemp("gpu") / "seeded"
    return folder, write_packages(folder, width=8, side=64)


def test_without_a_device_nothing_is_measured_and_the_status_says_so(capsys):
    assert gpu.main([], replace(probe_machine(), gpus=())) == 2
    assert "no CUDA device: nothing measured" in capsys.readouterr().out


def test_every_way_is_run_at_every_batch_and_compared_with_the_cpu(packages):
    wanted = [
        gpu.Plan("torch", "fp32", SessionOptions()),
        gpu.Plan("torch", "bf16", SessionOptions(channels_last=False)),
        gpu.Plan("onnx", "fp32", SessionOptions()),
    ]

    rows = list(gpu.measure_all(packages[0], "cpu", IMAGES, (1, 3), 0.0, wanted))

    assert [(row.backend, row.precision, row.how, row.batch) for row in rows] == [
        ("torch", "fp32", "as usual", 1),
        ("torch", "fp32", "as usual", 3),
        ("torch", "bf16", "channels first", 1),
        ("torch", "bf16", "channels first", 3),
        ("onnx", "fp32", "as usual", 1),
        ("onnx", "fp32", "as usual", 3),
    ]
    assert all(row.images_per_s > 0 and not row.error for row in rows)
    assert all(row.agreement.startswith("100.0%") for row in rows if row.precision == "fp32")


def test_what_is_not_there_and_what_does_not_fit_are_rows_with_a_reason(packages):
    missing = gpu.Plan("onnx", "fp32", SessionOptions(execution_providers=("TensorrtExecutionProvider",)))
    plain = gpu.Plan("torch", "fp32", SessionOptions())

    (refused,) = gpu.measure_all(packages[0], "cpu", IMAGES, (1,), 0.0, [missing])
    one, too_many = gpu.measure_all(packages[0], "cpu", IMAGES, (1, 0), 0.0, [plain])

    assert "cannot use TensorrtExecutionProvider" in refused.error
    assert not one.error
    assert too_many.error
    assert too_many.images_per_s == 0


def test_the_choice_and_the_table_are_made_of_what_was_measured(packages, tmp_path):
    shutil.copy(BENCHMARKS / "results" / "README.md", tmp_path / "README.md")
    machine = replace(probe_machine(), gpus=(Gpu(0, "Some GPU", "9.0", 1 << 30),))
    rows = [
        gpu.Row("torch", "fp16", "as usual", 1, 10.0, "100%"),
        gpu.Row("torch", "fp16", "as usual", 8, 70.0, "100%"),
        gpu.Row("onnx", "fp32", "as usual", 0, 0.0, error="SessionFailed: not there"),
    ]

    chosen = gpu.choose(packages[0], "cpu", IMAGES, 20.0)
    found = gpu.record(machine, "cuda:0", packages[1], rows, chosen)
    (tmp_path / "gpu-some-gpu.json").write_text(json.dumps(found), encoding="utf-8")
    gpu.write_table(tmp_path)

    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert chosen["images_per_s"] > 0
    assert "| Some GPU | torch | fp16 | as usual | 8 | 70.0 | 100% |" in text
    assert "| Some GPU | onnx | fp32 | as usual | 0 | - | SessionFailed: not there |" in text
    assert "No machine" not in text


def test_the_plans_are_those_that_the_benchmark_promises():
    made = {(plan.backend, plan.precision, plan.options.compile, plan.options.cuda_graphs) for plan in gpu.plans()}

    assert {("torch", p, c, g) for p in ("fp32", "fp16", "bf16") for c in (False, True) for g in (False, True)} <= made
    assert (gpu.BATCHES[0], gpu.BATCHES[-1]) == (1, 256)


def test_the_committed_table_is_what_the_committed_files_say():
    text = (BENCHMARKS / "results" / "README.md").read_text(encoding="utf-8")

    assert gpu.table(BENCHMARKS / "results") in text
