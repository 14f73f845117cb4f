"""What every session must do, whatever runs it."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from inference_engine.backends import backend
from inference_engine.backends.onnx import OnnxSession
from inference_engine.backends.parts.onnx_providers import CPU, CUDA
from inference_engine.backends.trt import TrtSession
from inference_engine.errors import EngineError, SessionFailed
from inference_engine.packages import read_package
from inference_engine.sessions import SessionOptions
from inference_engine.testing import ScriptedSession
from tests.fixtures.fake_onnxruntime import fake_onnxruntime
from tests.fixtures.recorded_tensorrt import PLAN, fake_session_parts
from tests.fixtures.torch_exports import write_torch_export

DIGITS = Path(__file__).parents[3] / "models" / "digits"
OPTIONS = SessionOptions(threads=1, concurrency=4)
STATIC = 3
#: Pixels and scores of one image alone against the same in a batch: kernels differ by batch size in float32's last
#: bits; int8 turns such a bit into one step of a scale now and then.
#: bfloat16 keeps 8 bits, so the same holds for it.
TOLERANCE = {"onnx int8": 0.5, "openvino int8": 4.0, "openvino bf16": 2.0, "torch bf16": 2.0}


def open_package(name, runtime=None, precision=None):
    package = read_package(DIGITS / name)
    return backend(runtime or package.kind).open_session(package, "cpu", replace(OPTIONS, precision=precision))


#: Kind and batch -> folder: PyTorch takes seconds to export a model, which every test only reads.
_exported = {}


def open_torch_export(folder, kind, batch=None):
    if (kind, batch) not in _exported:
        _exported[kind, batch] = write_torch_export(DIGITS / "torch-fp32", folder / "exported", kind, batch=batch)
    return backend("torch").open_session(read_package(_exported[kind, batch]), "cpu", OPTIONS)


def open_static(folder, runtime="onnx"):
    """The starter model with its batch axis fixed, as many exporters leave it."""
    shutil.copytree(DIGITS / "onnx-fp32", folder / "static")
    model = onnx.load(folder / "static" / "model.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = STATIC
    onnx.save(model, folder / "static" / "model.onnx")
    for name, change in (("model_config.json", {"files": None}), ("inference_config.json", None)):
        path = folder / "static" / name
        data = json.loads(path.read_text(encoding="utf-8"))
        data.update(change or {"forward_pass": {"static_batch_size": STATIC}})
        path.write_text(json.dumps(data), encoding="utf-8")
    return backend(runtime).open_session(read_package(folder / "static"), "cpu", OPTIONS)


def open_recorded_trt(folder, static=None):
    """The TensorRT session over a recorded fake: its names are those of the real bindings, its engine is numpy."""
    plan = folder / "engine.plan"
    plan.write_bytes(PLAN)
    answer = np.linspace(0, 1, 14 * 5, dtype=np.float32).reshape(14, 5)
    trt, cuda = fake_session_parts(lambda x: answer * x.mean((1, 2, 3))[:, None, None], static=static)
    package = replace(read_package(DIGITS / "onnx-fp32"), kind="trt", weights=plan)
    return TrtSession(package, trt, cuda, OPTIONS)


def open_bound_onnx(_):
    """The ONNX session with buffers on a GPU, over a fake that has ONNX Runtime's names."""
    answer = np.linspace(0, 1, 14 * 5, dtype=np.float32).reshape(14, 5)
    runtime = fake_onnxruntime(
        lambda x: [answer * x.mean((1, 2, 3))[:, None, None]], {"output0": (14, 5)}, got=(CUDA, CPU), hw=(320, 320)
    )
    return OnnxSession(runtime, read_package(DIGITS / "onnx-fp32"), "cuda:1", OPTIONS)


def scripted(_):
    answer = np.linspace(0, 1, 14 * 5, dtype=np.float32).reshape(14, 5)
    return ScriptedSession(
        lambda image: answer * image.mean() + image.max(), input_hw=(320, 320), max_batch_size=64, concurrency=4
    )


OPENERS = {
    "onnx fp32": lambda _: open_package("onnx-fp32"),
    "onnx int8": lambda _: open_package("onnx-int8"),
    "onnx static": open_static,
    "torch fp32": lambda _: open_package("torch-fp32"),
    "torch bf16": lambda _: open_package("torch-fp32", precision="bf16"),
    "openvino fp32": lambda _: open_package("onnx-fp32", "openvino"),
    "openvino bf16": lambda _: open_package("onnx-fp32", "openvino", "bf16"),
    "openvino int8": lambda _: open_package("onnx-int8", "openvino"),
    "openvino static": lambda folder: open_static(folder, "openvino"),
    "torch script": lambda folder: open_torch_export(folder, "torch-script"),
    "torch export": lambda folder: open_torch_export(folder, "torch-export"),
    "torch static": lambda folder: open_torch_export(folder, "torch-export", batch=STATIC),
    "onnx bound": open_bound_onnx,
    "trt recorded": open_recorded_trt,
    "trt recorded static": lambda folder: open_recorded_trt(folder, STATIC),
    "scripted": scripted,
}


@pytest.fixture(scope="module", params=list(OPENERS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def session(name, tmp_path_factory):
    opened = OPENERS[name](tmp_path_factory.mktemp("session"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def images():
    """Three different images as the network takes them."""
    return np.random.default_rng(2).random((3, 3, 320, 320), dtype=np.float32)


def outputs_of(session, batch):
    (outputs,) = session.run({session.inputs[0].name: batch}).values()
    return outputs


def test_it_says_what_goes_in_and_what_comes_out(session):
    (spec,) = session.inputs

    assert spec.shape[1:] == (3, 320, 320)
    assert spec.shape[0] in (None, session.max_batch_size)
    assert spec.dtype == "float32"
    assert len(session.outputs) == 1
    assert session.max_batch_size >= 1
    assert session.concurrency >= 1


def test_outputs_are_named_as_they_are_declared(session, images):
    found = session.run({session.inputs[0].name: images[:1]})

    assert list(found) == [spec.name for spec in session.outputs]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_output_has_one_row_an_image(session, images, count):
    assert len(outputs_of(session, images[:count])) == count


def test_an_image_alone_gives_what_it_gives_in_a_batch(session, name, images):
    together = outputs_of(session, images)
    alone = np.concatenate([outputs_of(session, images[index : index + 1]) for index in range(3)])

    np.testing.assert_allclose(together, alone, atol=TOLERANCE.get(name, 1e-3), rtol=1e-4)


def test_the_order_of_a_batch_is_the_order_of_its_rows(session, name, images):
    there, back = outputs_of(session, images), outputs_of(session, images[::-1].copy())

    np.testing.assert_allclose(there, back[::-1], atol=TOLERANCE.get(name, 1e-3), rtol=1e-4)


def test_a_second_run_gives_the_same_bytes(session, images):
    assert outputs_of(session, images).tobytes() == outputs_of(session, images).tobytes()


def test_an_earlier_answer_is_not_written_over(session, images):
    first = outputs_of(session, images[:1])
    before = first.copy()

    outputs_of(session, images[1:2])

    np.testing.assert_array_equal(first, before)


def test_inputs_are_left_as_they_were(session, images):
    before = images.copy()

    outputs_of(session, images)

    np.testing.assert_array_equal(images, before)


def test_runs_at_once_from_many_threads_give_what_one_after_another_gives(session, images):
    batches = [images[[index % 3, (index + 1) % 3]] for index in range(8)]
    expected = [outputs_of(session, batch) for batch in batches]

    with ThreadPoolExecutor(min(4, session.concurrency)) as pool:
        found = list(pool.map(lambda batch: outputs_of(session, batch), batches))

    for one, other in zip(found, expected, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", list(OPENERS))
def test_a_batch_that_it_cannot_run_is_an_engine_error_and_the_next_one_works(name, tmp_path, images):
    if name == "scripted":
        session = ScriptedSession(
            np.ones((14, 5), np.float32), input_hw=(320, 320), marked=lambda image: image.shape != (3, 320, 320)
        )
    else:
        session = OPENERS[name](tmp_path)

    with pytest.raises(EngineError):
        session.run({session.inputs[0].name: np.zeros((1, 5, 17, 17), np.float32)})

    assert len(outputs_of(session, images[:1])) == 1
    session.close()


@pytest.mark.parametrize("name", list(OPENERS))
def test_a_closed_session_refuses_and_closes_twice(name, tmp_path, images):
    session = OPENERS[name](tmp_path)
    session.close()
    session.close()

    with pytest.raises(EngineError):
        session.run({session.inputs[0].name: images[:1]})


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_static_batch_is_padded_and_cut(tmp_path, images, runtime):
    static, free = open_static(tmp_path, runtime), open_package("onnx-fp32")

    assert static.max_batch_size == static.inputs[0].shape[0] == STATIC
    for count in range(1, STATIC + 1):
        found = outputs_of(static, images[:count])
        assert len(found) == count
        np.testing.assert_allclose(found, outputs_of(free, images[:count]), atol=1e-3, rtol=1e-4)


def test_scripted_failures_are_out_of_memory_or_session_failed():
    session = ScriptedSession(np.ones((6, 2), np.float32), fits=2, marked=lambda image: image.max() > 1)
    good, bad = np.zeros((1, 3, 32, 32), np.float32), np.full((1, 3, 32, 32), 9, np.float32)

    codes = []
    for batch in (good, np.repeat(good, 3, 0), np.concatenate([good, bad]), bad):
        try:
            session.run({"images": batch})
            codes.append("ok")
        except EngineError as error:
            codes.append(error.code)

    assert codes == ["ok", "out_of_memory", "session_failed", "session_failed"]
    assert session.batch_sizes == [1, 3, 2, 1]


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_onnx_runtime_without_cuda_is_refused_and_does_not_run_on_the_cpu_in_silence():
    package = read_package(DIGITS / "onnx-fp32")

    with pytest.raises(SessionFailed, match="cannot use cuda:9"):
        backend("onnx").open_session(package, "cuda:9", OPTIONS)


def test_closing_openvino_refuses_a_run_that_waits_for_a_free_request(images):
    session = open_package("onnx-fp32", "openvino")
    held = [session._free.get() for _ in range(session.concurrency)]

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(outputs_of, session, images[:1]) for _ in range(2)]
        session.close()

    assert len(held) == OPTIONS.concurrency
    assert all(isinstance(run.exception(timeout=30), SessionFailed) for run in waiting)


def test_openvino_runs_first_in_one_thread_however_many_open_it_at_once(images):
    program = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; from pathlib import Path; import numpy as np;"
        "from inference_engine.backends import backend; from inference_engine.packages import read_package;"
        "from inference_engine.sessions import SessionOptions;"
        "package = read_package(Path(sys.argv[1]));"
        "one = lambda _: backend('openvino').open_session(package, 'cpu', SessionOptions(1, 2));"
        "pool = ThreadPoolExecutor(4); sessions = list(pool.map(one, range(4)));"
        "batch = {'images': np.zeros((1, 3, 320, 320), np.float32)};"
        "print(len(list(pool.map(lambda session: session.run(batch), sessions * 4))))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(DIGITS / "onnx-fp32")],
        check=True,
        capture_output=True,
        text=True,
        timeout=90,
        cwd=DIGITS.parents[1],
    )

    assert done.stdout.strip() == "16"


def test_openvino_keeps_what_it_compiled_where_it_is_told_to(tmp_path, images):
    package = read_package(DIGITS / "onnx-fp32")
    options = replace(OPTIONS, compile_cache=tmp_path / "compiled")

    first, again = (backend("openvino").open_session(package, "cpu", options) for _ in range(2))

    assert list((tmp_path / "compiled").iterdir())
    np.testing.assert_array_equal(outputs_of(first, images[:1]), outputs_of(again, images[:1]))


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_a_lower_precision_differs_a_little_and_answers_in_float32(runtime, images):
    name = "torch-fp32" if runtime == "torch" else "onnx-fp32"
    full, low = open_package(name, runtime), open_package(name, runtime, "bf16")

    exact, rough = outputs_of(full, images), outputs_of(low, images)

    assert rough.dtype == np.float32
    assert np.abs(exact - rough).max() < 4
    np.testing.assert_allclose(exact[:, 4:], rough[:, 4:], atol=0.1)


def test_openvino_refuses_a_device_that_it_does_not_look_for():
    with pytest.raises(SessionFailed, match="not on cuda"):
        backend("openvino").open_session(read_package(DIGITS / "onnx-fp32"), "cuda", OPTIONS)
