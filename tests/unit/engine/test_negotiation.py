"""Who runs what on which machine, and why not the others: a table, and properties that hold for any machine."""

import builtins
import json
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file

from inference_engine import AutoModel, explain
from inference_engine.backends import backend, known_backends, offers
from inference_engine.errors import NoRunnableBackend, ParameterInvalid
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.loading import open_decided
from inference_engine.machine import Gpu, Machine
from inference_engine.negotiation import (
    BACKEND_ORDER,
    Reason,
    Wishes,
    negotiate,
)
from inference_engine.sessions import SessionOptions

GPU = Gpu(0, "Test GPU", "9.0", 80 << 30)


def machine(*, gpus=(), problems=None, **versions):
    """A machine with these runtimes; `onnxruntime_gpu` is the distribution that has CUDA."""
    found = {name.removesuffix("_gpu"): version for name, version in versions.items()}
    sources = {name.removesuffix("_gpu"): name.replace("_", "-") for name in versions}
    return Machine("Linux", "x86_64", "3.11", "cpu", 4, (), 8 << 30, gpus, None, None, found, sources, problems or {})


def decide_on(on, packages, wishes=Wishes(), **changes):  # noqa: B008 (frozen)
    """Negotiate with what the backends offer on a machine."""
    return negotiate("m", packages, **({"offers": offers(on), "wishes": wishes, "machine": on} | changes))


CPU = {"torch": "2.7.0+cpu", "onnxruntime": "1.22.0"}
CPU_ONLY = machine(**CPU)
CUDA = machine(gpus=(GPU,), torch="2.7.0", onnxruntime_gpu="1.22.0")
NO_TORCH = machine(onnxruntime="1.22.0")
NOTHING = machine()
BROKEN_TORCH = machine(**CPU, problems={"torch": "libcudart.so.12 is missing"})
GPU_WITH_CPU_BUILDS = machine(gpus=(GPU,), **CPU)


@pytest.fixture(scope="module")
def pack(make_package):
    """Packages by short names: `onnx`, `int8`, `torch`, `new` (opset 99), `static` (batch 4), `trt`, `alien`."""

    def config(**batches):
        return InferenceConfig(NetworkInput((32, 32)), **batches)

    made = {
        "onnx": make_package("onnx"),
        "int8": make_package("int8", quantization="int8"),
        "fp16": make_package("fp16", quantization="fp16"),
        "torch": make_package("torch", kind="torch"),
        "new": make_package("new", opset=99),
        "static": make_package("static", config=config(static_batch_size=4)),
        "trt": make_package("trt", kind="trt", quantization="fp16"),
        "alien": make_package("alien", kind="coreml"),
    }
    return lambda names: [made[name] for name in names.split()]


TABLE = [
    # packages, machine, wishes -> chosen (package on backend, device), and reasons of the others
    ("onnx torch", CPU_ONLY, {}, "torch torch cpu", {"onnx": "lower_in_order"}),
    ("onnx", CPU_ONLY, {}, "onnx onnx cpu", {}),
    ("onnx torch", CUDA, {}, "torch torch cuda", {"onnx": "lower_in_order", "torch": "lower_in_order"}),
    ("onnx", CUDA, {}, "onnx onnx cuda", {"onnx": "lower_in_order"}),
    ("onnx torch", GPU_WITH_CPU_BUILDS, {}, "torch torch cpu", {"onnx": "lower_in_order"}),
    ("onnx torch", NO_TORCH, {}, "onnx onnx cpu", {"torch": "not_installed"}),
    ("torch", NO_TORCH, {}, None, {"torch": "not_installed"}),
    ("onnx torch", NOTHING, {}, None, {"onnx": "not_installed", "torch": "not_installed"}),
    ("onnx torch", BROKEN_TORCH, {}, "onnx onnx cpu", {"torch": "broken_runtime"}),
    ("onnx int8", CPU_ONLY, {}, "onnx onnx cpu", {"int8": "lower_precision"}),
    ("int8", CPU_ONLY, {}, "int8 onnx cpu", {}),
    ("int8 torch", CPU_ONLY, {}, "torch torch cpu", {"int8": "lower_precision"}),
    ("int8 torch", NO_TORCH, {}, "int8 onnx cpu", {"torch": "not_installed"}),
    (
        "onnx int8 torch",
        CPU_ONLY,
        {"quantization": "int8"},
        "int8 onnx cpu",
        {"onnx": "precision_not_wanted", "torch": "precision_not_wanted"},
    ),
    ("onnx fp16", CPU_ONLY, {}, "onnx onnx cpu", {"fp16": "lower_in_order"}),
    ("fp16 int8", CPU_ONLY, {}, "fp16 onnx cpu", {"int8": "lower_precision"}),
    (
        "onnx torch",
        CPU_ONLY,
        {"quantization": "bf16"},
        None,
        {"onnx": "precision_not_wanted", "torch": "precision_not_wanted"},
    ),
    ("onnx torch", CPU_ONLY, {"backend": "onnx"}, "onnx onnx cpu", {"torch": "backend_not_wanted"}),
    (
        "onnx torch",
        CPU_ONLY,
        {"backend": "openvino"},
        None,
        {"onnx": "backend_not_wanted", "torch": "backend_not_wanted"},
    ),
    ("torch", NO_TORCH, {"backend": "onnx"}, None, {"torch": "not_installed backend_not_wanted"}),
    ("onnx static", CPU_ONLY, {"batch_size": 4}, "onnx onnx cpu", {"static": "lower_in_order"}),
    ("onnx static", CPU_ONLY, {"batch_size": 3}, "onnx onnx cpu", {"static": "batch_not_fitting"}),
    ("static", CPU_ONLY, {"batch_size": 5}, None, {"static": "batch_not_fitting"}),
    ("onnx", CPU_ONLY, {"batch_size": 9}, None, {"onnx": "batch_not_fitting"}),
    ("onnx", CPU_ONLY, {"batch_size": 8}, "onnx onnx cpu", {}),
    ("onnx torch", CPU_ONLY, {"device": "cuda"}, None, {"onnx": "device_missing", "torch": "device_missing"}),
    ("onnx torch", CUDA, {"device": "cpu"}, "torch torch cpu", {"onnx": "lower_in_order"}),
    ("onnx torch", CUDA, {"device": "cuda:0"}, "torch torch cuda:0", {"onnx": "lower_in_order"}),
    (
        "onnx torch",
        machine(gpus=(GPU,), torch="2.7.0+cpu", onnxruntime_gpu="1.22.0"),
        {"device": "cuda"},
        "onnx onnx cuda",
        {"torch": "device_missing"},
    ),
    ("new onnx", CPU_ONLY, {}, "onnx onnx cpu", {"new": "opset_too_new"}),
    ("new", CPU_ONLY, {"batch_size": 9}, None, {"new": "opset_too_new batch_not_fitting"}),
    ("new", machine(onnxruntime="1.99.0"), {}, "new onnx cpu", {}),
    ("new", machine(onnxruntime="nightly"), {}, "new onnx cpu", {}),
    ("alien onnx", CPU_ONLY, {}, "onnx onnx cpu", {"alien": "unknown_kind"}),
    ("alien", NOTHING, {"device": "cuda"}, None, {"alien": "unknown_kind"}),
]


@pytest.mark.parametrize(
    ("names", "on", "wishes", "chosen", "others"),
    TABLE,
    ids=[f"{row[0]} | {'gpu ' if row[1].gpus else ''}{' '.join(row[1].packages)} | {row[2]}" for row in TABLE],
)
def test_the_table(pack, names, on, wishes, chosen, others):
    # Without OpenVINO, and packages in their own precision: the table after this one has the others.
    offered = {name: offer for name, offer in offers(on).items() if name != "openvino"}
    decision = decide_on(on, pack(names), Wishes(**wishes), offers=offered)

    best = decision.chosen
    assert (f"{best.package_id} {best.backend} {best.device}" if best else None) == chosen
    rest = [c for c in decision.candidates if c is not best and not c.is_lowered]
    assert {c.package_id: " ".join(reason.code for reason in c.reasons) for c in rest} == others


BF16_CPU = replace(
    machine(torch="2.7.0+cpu", onnxruntime="1.22.0", openvino="2026.1"), cpu_features=("avx2", "avx512_bf16")
)
OLD_CPU = machine(torch="2.7.0+cpu", onnxruntime="1.22.0", openvino="2026.1")
AMX_CPU = replace(machine(openvino="2026.1"), cpu_features=("amx_bf16",))
OLD_GPU = machine(gpus=(Gpu(0, "Old GPU", "7.5", 16 << 30),), torch="2.7.0")

PRECISIONS = [
    # packages, machine, wishes -> what runs, in order, the chosen one first
    ("onnx", OLD_CPU, {}, "openvino:fp32 onnx:fp32"),
    ("onnx", BF16_CPU, {}, "openvino:fp32 onnx:fp32 openvino:bf16"),
    ("onnx", AMX_CPU, {}, "openvino:fp32 openvino:bf16"),
    ("torch", OLD_CPU, {}, "torch:fp32"),
    ("torch", BF16_CPU, {}, "torch:fp32 torch:bf16"),
    ("onnx torch", BF16_CPU, {}, "torch:fp32 openvino:fp32 onnx:fp32 torch:bf16 openvino:bf16"),
    ("onnx torch", BF16_CPU, {"quantization": "bf16"}, "torch:bf16 openvino:bf16"),
    ("onnx torch", BF16_CPU, {"quantization": "bf16", "backend": "openvino"}, "openvino:bf16"),
    ("onnx torch", OLD_CPU, {"quantization": "bf16"}, ""),
    ("int8", BF16_CPU, {}, "openvino:int8 onnx:int8"),
    ("int8 onnx", BF16_CPU, {"quantization": "int8"}, "openvino:int8 onnx:int8"),
    ("fp16", BF16_CPU, {}, "openvino:fp16 onnx:fp16"),
    ("torch", CUDA, {"device": "cuda"}, "torch:fp32 torch:fp16 torch:bf16"),
    ("torch", CUDA, {"device": "cuda:0", "quantization": "fp16"}, "torch:fp16"),
    ("torch", OLD_GPU, {"device": "cuda"}, "torch:fp32 torch:fp16"),
    ("onnx", BF16_CPU, {"device": "cuda"}, ""),
]


@pytest.mark.parametrize(
    ("names", "on", "wishes", "runnable"), PRECISIONS, ids=[f"{row[0]} | {row[2]} | {row[3]}" for row in PRECISIONS]
)
def test_precisions_below_the_packages_own_are_candidates_that_order_takes_only_when_asked(
    pack, names, on, wishes, runnable
):
    decision = decide_on(on, pack(names), Wishes(**wishes))

    found = [c for c in decision.candidates if c.verdict != "rejected"]
    assert " ".join(f"{c.backend}:{c.quantization}" for c in found) == runnable
    assert decision.chosen == (found[0] if found else None)


def test_a_lower_precision_does_not_step_in_for_one_that_does_not_open(pack):
    decision = decide_on(BF16_CPU, pack("torch"))

    after = decision.without(decision.chosen, Reason("open_failed", "damaged"))

    assert after.chosen is None
    assert [(c.quantization, c.verdict) for c in after.candidates] == [("bf16", "runnable"), ("fp32", "rejected")]


def test_the_chosen_candidate_comes_first_and_has_no_reason(pack):
    first = decide_on(CPU_ONLY, pack("int8 onnx torch")).candidates[0]

    assert (first.verdict, first.reasons) == ("chosen", ())


def test_another_order_is_obeyed(pack):
    decision = decide_on(CPU_ONLY, pack("onnx torch"), order=("onnx", "torch"))

    assert decision.chosen.backend == "onnx"
    assert decision.order == ("onnx", "torch")


def test_broken_packages_are_rejected_candidates(pack):
    decision = decide_on(CPU_ONLY, pack("onnx"), broken={"b": "no weights", "a": "no names"})

    assert decision.chosen.package_id == "onnx"
    assert [(c.package_id, c.verdict, c.reasons[0].code) for c in decision.candidates if c.package_id != "onnx"] == [
        ("a", "rejected", "package_invalid"),
        ("b", "rejected", "package_invalid"),
    ]


def test_no_packages_and_no_offers_choose_nothing(pack):
    assert decide_on(CPU_ONLY, []).candidates == ()
    assert decide_on(CPU_ONLY, pack("onnx"), offers={}).chosen is None


def test_a_gpu_that_does_not_work_leaves_the_cpu(pack):
    decision = decide_on(CUDA, pack("torch"))

    after = decision.without(decision.chosen, Reason("open_failed", "no CUDA device is visible"))

    assert (after.chosen.package_id, after.chosen.device) == ("torch", "cpu")
    assert (after.candidates[-1].device, after.candidates[-1].reasons[0].code) == ("cuda", "open_failed")


def test_the_record_is_json_and_holds_every_reason(pack):
    record = decide_on(CPU_ONLY, pack("onnx int8 alien"), Wishes(batch_size=2)).to_record()

    assert json.loads(json.dumps(record)) == json.loads(json.dumps(record, allow_nan=False))
    found = [(c["package_id"], c["backend"], [reason["code"] for reason in c["reasons"]]) for c in record["candidates"]]
    assert found == [
        ("onnx", "onnx", []),
        ("int8", "onnx", ["lower_precision"]),
        ("onnx", "openvino", ["not_installed"]),
        ("alien", "coreml", ["unknown_kind"]),
        ("int8", "openvino", ["not_installed"]),
    ]
    assert record["order"] == list(BACKEND_ORDER)


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "cuda:", "cuda:x", "CUDA", "", None, "cuda:-1"])
def test_a_device_that_is_none_is_refused(device):
    with pytest.raises(ParameterInvalid, match="device"):
        Wishes(device=device)


@pytest.mark.parametrize("size", [0, -1, 1.5, "8", True])
def test_a_batch_size_that_is_none_is_refused(size):
    with pytest.raises(ParameterInvalid, match="batch_size"):
        Wishes(batch_size=size)


@pytest.fixture
def refuse_import(monkeypatch):
    """A function that makes the import of a module raise, as a damaged installation does."""

    def refuse(name, error):
        real = builtins.__import__

        def importer(module, *rest, **named):
            if module.partition(".")[0] == name:
                raise error
            return real(module, *rest, **named)

        for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setattr(builtins, "__import__", importer)

    return refuse


@pytest.mark.parametrize(
    "error",
    [
        ImportError("no module"),
        OSError("libcudart.so.12: cannot open shared object file"),
        RuntimeError("CUDA driver is too old"),
        AttributeError("module 'numpy' has no attribute 'bool8'"),
        SystemError("initialisation failed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_runtime_that_is_installed_and_broken_is_passed_over(write_package, tmp_path, refuse_import, error):
    folder = write_package("pets/a-torch", backend_type="torch", module={"name": "tinydet", "args": {}})
    save_file({}, folder / "model.safetensors")
    config = json.loads((folder / "model_config.json").read_text(encoding="utf-8"))
    (folder / "model_config.json").write_text(json.dumps(config | {"weights": "model.safetensors"}), encoding="utf-8")
    write_package("pets/b-onnx")
    assert explain(tmp_path / "pets").chosen.backend == "torch"
    refuse_import("torch", error)

    model = AutoModel.from_pretrained(tmp_path / "pets")

    failed = model.decision.candidates[-1]
    assert model.decision.chosen.backend == "openvino"
    assert (failed.backend, failed.verdict, [r.code for r in failed.reasons]) == ("torch", "rejected", ["open_failed"])
    assert str(error) in failed.reasons[0].message
    assert len(model(np.zeros((8, 8, 3), np.uint8))) == 1


def test_when_nothing_runs_the_error_is_the_table_of_all_candidates(write_package, tmp_path):
    write_package("pets/one", backend_type="coreml")
    write_package("pets/two", quantization="int8")
    (write_package("pets/three") / "class_names.txt").unlink()

    with pytest.raises(NoRunnableBackend) as raised:
        AutoModel.from_pretrained(tmp_path / "pets", quantization="fp32")

    text = str(raised.value)
    for expected in ("one", "two", "three", "unknown_kind", "precision_not_wanted", "package_invalid", "coreml"):
        assert expected in text
    assert text.partition("\n")[2] == str(explain(tmp_path / "pets", quantization="fp32"))


def test_the_error_after_a_failed_opening_names_it_too(write_package):
    folder = write_package()
    model = onnx.load(folder / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, folder / "model.onnx")

    with pytest.raises(NoRunnableBackend, match="open_failed: SessionFailed: onnxruntime cannot open"):
        open_decided(explain(folder), SessionOptions())


def test_every_backend_answers_for_any_machine():
    for on in (CPU_ONLY, CUDA, NO_TORCH, NOTHING, BROKEN_TORCH):
        for name in known_backends():
            offer = backend(name).probe(on)
            assert offer.backend == name
            assert offer.opens
            assert bool(offer.devices) is (offer.missing is None)


def test_a_package_that_is_unusable_is_rejected_on_every_backend_and_the_next_package_runs(pack):
    found = decide_on(CPU_ONLY, pack("onnx torch"), order=("onnx", "openvino", "torch"))
    assert found.chosen.package_id == "onnx"

    after = found.without_package("onnx", Reason("package_invalid", "the hash is wrong"))

    assert after.chosen.package_id == "torch"
    codes = {candidate.reasons[0].code for candidate in after.candidates if candidate.package_id == "onnx"}
    assert codes <= {"package_invalid", "not_installed"}
    assert len(after.candidates) == len(found.candidates)
