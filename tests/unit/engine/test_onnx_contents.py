"""ONNX files and weights that would read other files, call foreign code, or hold numbers that are none."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from inference_engine.errors import PackageInvalid
from inference_engine.onnx_contents import check_onnx
from inference_engine.packages import read_package
from inference_engine.weights import check_finite
from tests.unit.engine.conftest import detector_model


@pytest.fixture
def external(tmp_path):
    """An ONNX file whose weights lie in `model.data` beside it."""
    model = detector_model(np.ones((6, 4)))
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="model.data", size_threshold=0, convert_attribute=True)
    return path


def test_external_data_with_a_hash_are_read(external):
    assert check_onnx(external, {"model.data"}).external == ("model.data",)


def test_external_data_without_a_hash_are_refused(external):
    with pytest.raises(PackageInvalid, match="no hash"):
        check_onnx(external, set())


def test_external_data_behind_a_link_are_refused(external):
    data = external.parent / "model.data"
    data.rename(external.parent / "elsewhere")
    data.symlink_to(external.parent / "elsewhere")

    with pytest.raises(PackageInvalid, match="not a regular file"):
        check_onnx(external, {"model.data"})


def test_external_data_with_two_names_are_refused(external):
    os.link(external.parent / "model.data", external.parent / "other")

    with pytest.raises(PackageInvalid, match="2 names"):
        check_onnx(external, {"model.data"})


@pytest.mark.parametrize("location", ["../x", "/etc/passwd", "a/../../x", "C:\\x", "a\\b"])
@pytest.mark.parametrize("place", ["initializer", "constant", "subgraph"])
def test_external_data_elsewhere_are_refused_wherever_they_are_named(tmp_path, location, place):
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    model = detector_model(np.ones((6, 4)))
    if place == "initializer":
        model.graph.initializer.append(tensor)
    elif place == "constant":
        model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))
    else:
        inner = helper.make_graph([], "inner", [], [], [tensor])
        model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(PackageInvalid, match="not a path inside"):
        check_onnx(tmp_path / "model.onnx", {location})


@pytest.mark.parametrize(("domain", "is_fine"), [("com.microsoft", True), ("my.ops", False)])
def test_operators_that_need_foreign_code_are_refused(tmp_path, domain, is_fine):
    model = detector_model(np.ones((6, 4)))
    model.graph.node.append(helper.make_node("Gelu", ["a"], ["b"], domain=domain))
    onnx.save(model, tmp_path / "model.onnx")

    if is_fine:
        check_onnx(tmp_path / "model.onnx", set())
        return
    with pytest.raises(PackageInvalid, match=r"my\.ops"):
        check_onnx(tmp_path / "model.onnx", set())


def test_operators_that_the_file_defines_itself_are_fine(tmp_path):
    model = detector_model(np.ones((6, 4)))
    model.graph.node.append(helper.make_node("Twice", ["a"], ["b"], domain="pkg.mine"))
    opset = [helper.make_opsetid("", 17)]
    node = helper.make_node("Add", ["x", "x"], ["y"])
    model.functions.append(helper.make_function("pkg.mine", "Twice", ["x"], ["y"], [node], opset))
    onnx.save(model, tmp_path / "model.onnx")

    assert check_onnx(tmp_path / "model.onnx", set()).opset == 17


def test_an_operator_that_loads_compiled_files_is_refused(tmp_path):
    model = detector_model(np.ones((6, 4)))
    model.graph.node.append(helper.make_node("EPContext", ["a"], ["b"], domain="com.microsoft"))
    onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(PackageInvalid, match="EPContext"):
        check_onnx(tmp_path / "model.onnx", set())


MASK = np.triu(np.full((4, 4), -np.inf, np.float32), 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[1, 2], [3, np.nan]], "NaN"),
        ([[np.nan]], "NaN"),
        ([[1, np.inf], [2, 3]], "1 infinite"),
        (MASK, None),
        ([[-np.inf]], None),
        ([[1, 2]], None),
        (np.zeros((0, 3)), None),
    ],
    ids=["nan", "only nan", "inf", "mask", "constant", "plain", "empty"],
)
@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_weights_that_are_no_numbers_are_refused(tmp_path, kind, dtype, values, said):
    path, array = tmp_path / f"model.{kind}", np.asarray(values, dtype)
    if kind == "onnx":
        model = detector_model(np.ones((6, 4)))
        model.graph.initializer.append(numpy_helper.from_array(array, "layer"))
        onnx.save(model, path)
    else:
        save_file({"layer": array}, path)

    if said is None:
        check_finite(path, "")
        return
    with pytest.raises(PackageInvalid, match=f"'layer' hold {said}"):
        check_finite(path, "")


def test_bfloat16_weights_are_looked_at_too(tmp_path):
    import torch
    from safetensors.torch import save_file as save_torch

    save_torch({"good": torch.ones(4, dtype=torch.bfloat16)}, tmp_path / "good.safetensors")
    save_torch({"bad": torch.tensor([1.0, torch.nan], dtype=torch.bfloat16)}, tmp_path / "bad.safetensors")

    check_finite(tmp_path / "good.safetensors", "")
    with pytest.raises(PackageInvalid, match="'bad' hold NaN"):
        check_finite(tmp_path / "bad.safetensors", "")


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\2\0\0\0\0\0\0\0[]", b"\x10\0\0\0\0\0\0\0{}", b"no"])
def test_damaged_safetensors_are_refused(tmp_path, data):
    (tmp_path / "model.safetensors").write_bytes(data)

    with pytest.raises(PackageInvalid, match="cannot be read"):
        check_finite(tmp_path / "model.safetensors", "")


def test_a_package_with_wrong_numbers_is_refused_when_it_is_read(write_package):
    with pytest.raises(PackageInvalid, match="NaN"):
        read_package(write_package(head=np.full((6, 4), np.nan)))
