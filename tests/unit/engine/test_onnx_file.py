"""What an ONNX file says of itself, and that no damage to it gives anything but PackageInvalid."""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from inference_engine.errors import PackageInvalid
from inference_engine.exported_onnx import package_from_onnx
from inference_engine.onnx_file import read_onnx_header


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def small_model(*, inputs=None, outputs=None, nodes=None, opsets=(("", 17),), props=None, weights=()):
    nodes = nodes or [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(
        nodes, "g", inputs or [value("x", [1, 3])], outputs or [value("y", [1, 3])], list(weights)
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*pair) for pair in opsets])
    helper.set_model_props(model, props or {})
    return model


@pytest.fixture
def header_of(tmp_path):
    def read(model):
        path = tmp_path / "m.onnx"
        onnx.save(model, path)
        return read_onnx_header(path)

    return read


def test_the_operator_set_is_that_of_the_default_domain(header_of):
    assert header_of(small_model(opsets=(("com.microsoft", 1), ("", 19), ("ai.custom", 3)))).opset == 19


def test_other_domains_are_listed_in_order(header_of):
    header = header_of(small_model(opsets=(("com.microsoft", 1), ("", 19), ("ai.custom", 3))))

    assert header.domains == ("ai.custom", "com.microsoft")


def test_an_input_with_an_initializer_is_no_input(header_of):
    weights = [numpy_helper.from_array(np.ones((2, 3), np.float32), "w")]

    header = header_of(small_model(inputs=[value("x", [1, 3]), value("w", [2, 3])], weights=weights))

    assert [spec.name for spec in header.inputs] == ["x"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ([1, 3, 640, 640], (1, 3, 640, 640)),
        (["batch", 3, "h", None], (None, 3, None, None)),
        ([-1, 3], (None, 3)),
        ([0, 3], (None, 3)),
        ([], ()),
    ],
    ids=["fixed", "named", "minus one", "zero", "scalar"],
)
def test_a_free_dimension_is_none(header_of, shape, expected):
    assert header_of(small_model(inputs=[value("x", shape)])).inputs[0].shape == expected


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (TensorProto.FLOAT, "float32"),
        (TensorProto.FLOAT16, "float16"),
        (TensorProto.UINT8, "uint8"),
        (TensorProto.INT64, "int64"),
        (TensorProto.BFLOAT16, "onnx type 16"),
    ],
)
def test_an_input_names_its_dtype(header_of, dtype, name):
    assert header_of(small_model(inputs=[value("x", [1], dtype)])).inputs[0].dtype == name


def test_metadata_is_read_as_text(header_of):
    props = {"names": "{0: 'größe'}", "empty": ""}

    assert header_of(small_model(props=props)).metadata == props


def test_outputs_are_read_in_order(header_of):
    header = header_of(small_model(outputs=[value("b", [1, 2]), value("a", ["n"])]))

    assert [(spec.name, spec.shape) for spec in header.outputs] == [("b", (1, 2)), ("a", (None,))]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [("QuantizeLinear", True), ("DequantizeLinear", True), ("QLinearConv", True), ("Conv", False)],
)
def test_quantised_arithmetic_is_seen_in_the_operators(header_of, operator, expected):
    nodes = [helper.make_node(operator, ["x"], ["y"])]

    assert header_of(small_model(nodes=nodes)).is_quantized is expected


def test_large_weights_are_stepped_over(header_of):
    weights = [numpy_helper.from_array(np.ones((512, 1024), np.float32), "w")]

    assert header_of(small_model(weights=weights)).op_types == {"Relu"}


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"garbage, no model at all", b"\xff" * 64, b"\x80" * 64, bytes(4096), b"\x3a\xff\xff\xff\xff\x7f"],
    ids=["empty", "zero", "text", "ff", "endless number", "zeros", "length beyond the end"],
)
def test_what_is_no_model_is_refused(tmp_path, data):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)

    with pytest.raises(PackageInvalid, match=r"m\.onnx"):
        read_onnx_header(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.onnx", tmp_path):
        with pytest.raises(PackageInvalid):
            read_onnx_header(path)


def test_every_truncation_is_refused_or_read(tmp_path):
    data = small_model(props={"names": "{0: 'a'}"}).SerializeToString()
    path = tmp_path / "m.onnx"

    for length in range(len(data)):
        path.write_bytes(data[:length])
        try:
            read_onnx_header(path)
        except PackageInvalid:
            continue


VALID = small_model(props={"names": "{0: 'a'}", "imgsz": "[32, 32]"}, opsets=(("", 17), ("x", 1))).SerializeToString()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, len(VALID) - 1), st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)),
        min_size=1,
        max_size=6,
    )
)
def test_changed_bytes_give_a_header_or_package_invalid(tmp_path, changes):
    data = bytearray(VALID)
    for at, byte in changes:
        data[at] = byte
    path = tmp_path / "m.onnx"
    path.write_bytes(data)

    for read in (read_onnx_header, package_from_onnx):
        try:
            read(path)
        except PackageInvalid as error:
            assert "m.onnx" in str(error)  # noqa: PT017 (either way is right)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_give_a_header_or_package_invalid(tmp_path, data):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)

    try:
        read_onnx_header(path)
    except PackageInvalid as error:
        assert "m.onnx" in str(error)  # noqa: PT017 (either way is right)
