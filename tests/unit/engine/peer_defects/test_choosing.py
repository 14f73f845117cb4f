"""How a package is chosen, described and refused."""

import itertools
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference_engine import AutoModel, NoRunnableBackend, PackageInvalid, explain
from inference_engine.machine import Gpu, Machine
from inference_engine.negotiation import BACKEND_ORDER, Offer, Wishes, negotiate
from inference_engine.options import SelectionOptions
from inference_engine.trust import TrustPolicy
from tests.unit.engine.conftest import INFERENCE
from tests.unit.engine.peer_defects.conftest import DIGITS

MACHINE = Machine("Linux", "x86_64", "3.11", "cpu", 4, (), 8 << 30, (Gpu(0, "L4", "8.9", 22 << 30),))
PICTURE = np.zeros((32, 32, 3), np.uint8)
FUSED = {"post_processing": {"type": "nms", "fused": True}}
KINDS = {"torch": "torch", "torch-script": "torch", "onnx": "onnx", "trt": "trt", "hf": "hf"}


def test_peer_defect_3_the_error_of_no_package_names_each_with_all_its_reasons(write_package):
    write_package("pets/fused", inference=INFERENCE | FUSED, head=np.zeros((5, 6)))
    write_package("pets/plain")
    write_package("pets/plan", backend_type="trt", weights="model.onnx")
    folder = write_package("pets/broken", names="cat\n\ndog\n").parent

    with pytest.raises(NoRunnableBackend) as caught:
        AutoModel.from_pretrained(folder, backend="hf", batch_size=16)

    found = reasons(explain(folder, backend="hf", batch_size=16))
    assert found["fused"] == found["plain"] == {"backend_not_wanted", "batch_not_fitting"}
    assert found["plan"] >= {"untrusted", "backend_not_wanted", "batch_not_fitting"}
    assert found["broken"] == {"package_invalid"}
    for name, codes in found.items():
        assert f"\n{name} " in str(caught.value)
        assert all(code in str(caught.value) for code in codes)


def reasons(decision):
    """Codes against each package, on whatever backend and in whatever precision."""
    found = {}
    for candidate in decision.candidates:
        found.setdefault(candidate.package_id, set()).update(reason.code for reason in candidate.reasons)
    return found


def test_peer_defect_3_a_suppression_that_is_not_wanted_is_a_reason_among_the_others(write_package):
    write_package("pets/fused", inference=INFERENCE | FUSED, head=np.zeros((5, 6)))
    plan = {"backend_type": "trt", "weights": "model.onnx", "inference": INFERENCE | FUSED}
    folder = write_package("pets/plan", **plan).parent

    selection = SelectionOptions(nms_fusion_preferences=False)

    with pytest.raises(NoRunnableBackend, match="nms_fusion_not_wanted"):
        AutoModel.from_pretrained(folder, selection=selection)
    found = reasons(explain(folder, selection=selection))
    assert found["fused"] == {"nms_fusion_not_wanted"}
    assert found["plan"] >= {"nms_fusion_not_wanted", "untrusted"}


@pytest.mark.parametrize(
    "providers",
    [("CPUExecutionProvider",), (("CPUExecutionProvider", {}),), [("CPUExecutionProvider", {"use_arena": True})]],
    ids=["name", "no options", "options"],
)
def test_peer_defect_4_an_execution_provider_may_be_named_with_its_options(page, providers):
    selection = SelectionOptions(onnx_execution_providers=providers)

    model = AutoModel.from_pretrained(DIGITS, backend="onnx", quantization="fp32", selection=selection)

    assert model(page) == AutoModel.from_pretrained(DIGITS, backend="onnx", quantization="fp32")(page)
    assert len(model(page)[0]) > 3


def test_peer_defect_4_a_provider_that_is_not_here_is_said_of_each_package():
    with pytest.raises(NoRunnableBackend, match="PapyrusExecutionProvider"):
        AutoModel.from_pretrained(
            DIGITS, backend="onnx", selection=SelectionOptions(onnx_execution_providers=("PapyrusExecutionProvider",))
        )


def test_peer_defect_10_descriptions_are_data_that_print_well():
    described = AutoModel.describe_model(DIGITS)

    assert {package.quantization for package in described.packages} == {"fp32", "int8"}
    assert described.model_id == "digits"
    assert "digits-onnx-fp32: onnx fp32" in str(described)
    assert AutoModel.describe_model_package(DIGITS, "digits-onnx-int8").quantization == "int8"


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "weights.pt", "weights.pth"])
def test_peer_defect_11_a_pickled_checkpoint_is_refused_by_an_error_of_ours_and_never_run(
    write_package, tmp_path, name
):
    module = {"name": "tinydet", "args": {"num_classes": 2}}
    folder = write_package(backend_type="torch", weights=name, module=module)
    (folder / name).write_bytes(pickle.dumps({"state_dict": Trap(tmp_path / "sprung")}))

    with pytest.raises((NoRunnableBackend, PackageInvalid), match="safetensors"):
        AutoModel.from_pretrained(folder, backend="torch")
    assert not (tmp_path / "sprung").exists()


def test_peer_defect_12_a_broken_library_does_not_break_the_description_of_the_machine(tmp_path):
    broken = tmp_path / "torchvision"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    (tmp_path / "torchvision-0.1.dist-info").mkdir()
    program = "from inference_engine import describe_runtime as d, explain; print(d()); print(explain('digits', "
    program += f"model_dirs=[{str(DIGITS.parent)!r}]).chosen.backend)"

    places = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": places},
    )

    assert "cores" in done.stdout


@pytest.mark.parametrize("kind", ["ultralytics", "vllm", "mediapipe", "CoreML"])
def test_peer_defect_14_a_package_of_an_unknown_kind_is_one_rejected_candidate(write_package, kind):
    write_package("pets/strange", backend_type=kind)
    folder = write_package("pets/plain").parent

    decision = explain(folder)

    assert decision.chosen.package_id == "plain"
    (strange,) = [c for c in decision.candidates if c.package_id == "strange"]
    assert [reason.code for reason in strange.reasons] == ["unknown_kind"]
    assert len(AutoModel.from_pretrained(folder)(PICTURE)) == 1


def detector_of_opset(opset):
    """A detector in the operators of this set: one box, whatever the picture."""
    head = np.array([[8], [8], [4], [4], [0.9], [0.1]], np.float32)[None]
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "last"], ["flat"]),
        helper.make_node("Add", ["flat", "head"], ["output0"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3], np.int64),
        "last": np.array([1, 2], np.int64),
        "zero": np.zeros(1, np.float32),
        "head": head,
    }
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 6, 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@pytest.mark.parametrize("opset", [18, 19, 20, 21, 22])
def test_peer_defect_15_newer_operator_sets_run(write_package, opset):
    folder = write_package()
    onnx.save(detector_of_opset(opset), folder / "model.onnx")

    model = AutoModel.from_pretrained(folder, backend="onnx")

    assert model.package.opset == opset
    assert model([PICTURE, PICTURE])[1].xyxy.tolist() == [[6, 6, 10, 10]]


def test_peer_defect_15_a_set_that_the_runtime_does_not_read_is_a_reason_and_no_crash(make_package):
    offer = Offer("onnx", frozenset({"onnx"}), "1.20.0", ("cpu",), max_opset=21)

    decision = negotiate(
        "m", [make_package("new", opset=24), make_package("old", opset=21)], {"onnx": offer}, machine=MACHINE
    )

    assert decision.chosen.package_id == "old"
    (new,) = [c for c in decision.candidates if c.package_id == "new"]
    assert "24" in new.reasons[0].message
    assert "21" in new.reasons[0].message


def test_peer_defect_16_candidates_stand_in_their_rank_whatever_order_packages_come_in(make_package):
    able = {name: Offer(name, frozenset({kind}), "1", ("cuda",)) for kind, name in KINDS.items() if kind != "torch"}
    able["torch"] = Offer("torch", frozenset({"torch", "torch-script"}), "1", ("cuda",))
    packages = [make_package(f"{kind}-{precision}", kind=kind, quantization=precision)
                for kind in ("trt", "torch", "hf", "onnx") for precision in ("fp32", "fp16")]  # fmt: skip
    wishes = Wishes(trust=TrustPolicy(allows_compiled=True))

    orders = {
        tuple(c.package_id for c in negotiate("m", shuffled, able, wishes, machine=MACHINE).candidates)
        for shuffled in itertools.islice(itertools.permutations(packages), 0, 40_000, 997)
    }

    (order,) = orders
    backends = [name.partition("-")[0] for name in order]
    assert backends == sorted(backends, key=BACKEND_ORDER.index)
    assert [name.partition("-")[2] for name in order] == ["fp32", "fp16"] * 4


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_peer_defect_25_no_precision_is_lowered_by_itself_on_a_gpu(make_package, precision):
    lowers = {("cuda", own): ("fp16", "bf16", "int8") for own in ("fp32", "fp16", "bf16")}
    offer = Offer("torch", frozenset({"torch"}), "2.13", ("cuda", "cpu"), lowers=lowers)

    decision = negotiate("m", [make_package(kind="torch", quantization=precision)], {"torch": offer}, machine=MACHINE)

    assert (decision.chosen.quantization, decision.chosen.is_lowered) == (precision, False)
    assert any(candidate.is_lowered for candidate in decision.candidates)


def test_peer_defect_27_importing_reads_no_env_file_and_changes_no_variable(tmp_path):
    (tmp_path / ".env").write_text("FROM_THE_ENV_FILE=1\nROBOFLOW_API_KEY=stolen\n")
    program = (
        "import json, os, sys; before = dict(os.environ); import inference_engine; inference_engine.AutoModel; "
        "import inference_engine.loading; print(json.dumps([before == dict(os.environ), 'dotenv' in sys.modules]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip

    assert json.loads(done.stdout) == [True, False]


def test_peer_defect_27_a_variable_that_is_set_after_importing_or_before_says_nothing_to_the_engine(monkeypatch):
    names = ("ONNXRUNTIME_EXECUTION_PROVIDERS", "OFFLINE_MODE", "DEFAULT_DEVICE", "INFERENCE_HOME")
    before = explain("digits", model_dirs=[DIGITS.parent])

    for name in names:
        monkeypatch.setenv(name, "True")

    assert explain("digits", model_dirs=[DIGITS.parent]) == before
