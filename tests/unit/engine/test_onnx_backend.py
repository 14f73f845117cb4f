"""ONNX Runtime on a GPU, over an object with the module's names: what it is asked for, and which buffers it uses."""

from pathlib import Path

import numpy as np
import pytest

from inference_engine.backends.onnx import OnnxSession
from inference_engine.backends.parts.batches import MAX_SLOTS
from inference_engine.backends.parts.onnx_providers import CPU, CUDA, TENSORRT, choose_providers
from inference_engine.errors import OutOfMemory, SessionFailed
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.sessions import SessionOptions, TensorSpec
from tests.fixtures.fake_onnxruntime import DeviceValue, fake_onnxruntime

INPUTS = (TensorSpec("images", (None, 3, 32, 32), "float32"),)


def make_runtime(got=(CUDA, CPU), **options):
    """`rows`, of a size that the graph alone knows, are each image's first two pixels, `total` the sum of all."""

    def network(images):
        return images.reshape(len(images), -1)[:, :2], images.sum((1, 2, 3))[:, None]

    return fake_onnxruntime(network, {"rows": (None,), "total": (1,)}, got=got, **options)


@pytest.fixture
def open_fake(make_package, write_onnx):
    """A function that opens a session of the fake on the second GPU."""

    def open_it(runtime, **options):
        package = make_package(weights=write_onnx(np.zeros((6, 2))))
        return OnnxSession(runtime, package, "cuda:1", SessionOptions(**options))

    return open_it


def images(count, start=0):
    return np.arange(start, start + count, dtype=np.float32)[:, None, None, None] * np.ones((1, 3, 32, 32), np.float32)


def test_each_batch_bucket_has_its_buffers_once_and_every_run_uses_them(open_fake):
    runtime = make_runtime()
    session = open_fake(runtime)

    for count in (3, 4, 1, 3, 4):
        found = session.run({"images": images(count, 1)})
        np.testing.assert_array_equal(found["total"][:, 0], images(count, 1).sum((1, 2, 3)))
        np.testing.assert_array_equal(found["rows"], images(count, 1)[:, 0, 0, :2])

    batches = runtime.sessions[0].batches
    assert [len(batch) for batch in batches] == [4, 4, 1, 4, 4]
    assert len({id(batch) for batch in batches}) == 2
    # Input and `total` of two buckets, and one `rows` a run, whose size the graph alone knows.
    assert DeviceValue.made == 2 * 2 + 5


def test_what_fills_a_batch_up_is_zero(open_fake):
    runtime = make_runtime()
    session = open_fake(runtime)

    session.run({"images": images(4, 1)})
    session.run({"images": images(3, 1)})

    assert runtime.sessions[0].batches[-1][:, 0, 0, 0].tolist() == [1, 2, 3, 0]


def test_an_answer_is_the_callers_own(open_fake):
    session = open_fake(make_runtime())
    first = session.run({"images": images(2, 1)})
    before = {name: value.copy() for name, value in first.items()}

    session.run({"images": images(2, 5)})

    assert all(np.array_equal(first[name], before[name]) for name in first)


def test_a_float16_input_is_rounded_to_on_its_way_to_the_device(open_fake):
    runtime = make_runtime(dtype="tensor(float16)")

    open_fake(runtime).run({"images": images(1, 1) / 3})

    assert runtime.sessions[0].batches[0].dtype == np.float16


def test_buffers_of_many_shapes_are_bounded(open_fake):
    session = open_fake(make_runtime())

    for side in range(1, MAX_SLOTS + 5):
        session.run({"images": np.zeros((1, 3, side, 32), np.float32)})

    assert len(session._bound._slots) == MAX_SLOTS


def test_a_batch_out_of_range_and_a_failing_run_are_errors_of_this_package(open_fake):
    with pytest.raises(SessionFailed, match="takes 1 to 8"):
        open_fake(make_runtime()).run({"images": images(9)})
    with pytest.raises(SessionFailed, match="batch of 2: the kernel failed"):
        open_fake(make_runtime(failure=RuntimeError("the kernel failed"))).run({"images": images(2)})
    with pytest.raises(OutOfMemory, match="batch of 2"):
        open_fake(make_runtime(failure=RuntimeError("Failed to allocate memory"))).run({"images": images(2)})


def test_a_closed_session_refuses_and_closes_twice(open_fake):
    session = open_fake(make_runtime())
    session.close()
    session.close()

    with pytest.raises(SessionFailed):
        session.run({"images": images(1)})


@pytest.mark.parametrize(
    ("asked", "got"),
    [((), (CPU,)), ((TENSORRT, CUDA), (CUDA, CPU)), ((CUDA,), (CPU,))],
    ids=["usual", "tensorrt falls back to cuda", "cuda falls back to the cpu"],
)
def test_a_session_that_fell_back_to_another_provider_is_refused(open_fake, asked, got):
    with pytest.raises(SessionFailed, match=f"does not load, it would run on {got[0]}"):
        open_fake(make_runtime(got=got), execution_providers=asked)


@pytest.mark.parametrize(
    ("device", "asked"),
    [("cpu", (CUDA,)), ("cuda", (CPU,)), ("cuda", ("QNNExecutionProvider",)), ("npu", ())],
    ids=["cuda on a cpu", "the cpu on a gpu", "another vendor's on a gpu", "a device that is not known"],
)
def test_a_provider_that_does_not_run_on_the_device_is_refused(make_package, device, asked):
    with pytest.raises(SessionFailed, match="cannot use"):
        choose_providers(make_package(), INPUTS, device, SessionOptions(execution_providers=asked))


def test_the_usual_providers_are_those_of_the_device(make_package):
    assert choose_providers(make_package(), INPUTS, "cpu", SessionOptions()) == [(CPU, {})]
    assert choose_providers(make_package(), INPUTS, "cuda:2", SessionOptions()) == [
        (CUDA, {"device_id": "2", "use_tf32": "0"}),
        (CPU, {}),
    ]


def test_options_of_a_provider_win_over_the_defaults(make_package):
    options = SessionOptions(provider_options={CUDA: {"use_tf32": "1", "gpu_mem_limit": "1000"}})

    (_, found), _ = choose_providers(make_package(), INPUTS, "cuda", options)

    assert found == {"device_id": "0", "use_tf32": "1", "gpu_mem_limit": "1000"}


def tensorrt_options(package, **options):
    options = SessionOptions(execution_providers=(TENSORRT, CUDA), **options)
    chosen = choose_providers(package, INPUTS, "cuda", options)
    assert [name for name, _ in chosen] == [TENSORRT, CUDA, CPU]
    return chosen[0][1]


@pytest.mark.parametrize(
    ("quantization", "precision", "enabled"),
    [
        ("fp32", None, set()),
        ("fp32", "fp16", {"trt_fp16_enable"}),
        ("fp32", "bf16", {"trt_bf16_enable"}),
        ("fp16", None, {"trt_fp16_enable"}),
        ("int8", None, {"trt_int8_enable"}),
        ("unknown", None, set()),
    ],
)
def test_tensorrt_computes_in_a_lower_precision_only_where_it_was_asked_to(
    make_package, quantization, precision, enabled
):
    found = tensorrt_options(make_package(quantization=quantization), precision=precision)

    assert {name for name in found if name.split("_")[1] in ("fp16", "bf16", "int8")} == enabled


def test_tensorrt_keeps_the_engines_of_each_package_apart(make_package):
    cache = Path("compiled")
    one, other = (
        tensorrt_options(make_package(digest=digit * 64), compile_cache=cache)["trt_engine_cache_path"]
        for digit in "ab"
    )

    assert one != other
    assert Path(one).parent == Path(other).parent == cache / "onnxruntime-tensorrt"
    assert not any("cache" in name for name in tensorrt_options(make_package()))


def test_tensorrt_builds_one_engine_for_all_batches_of_a_package(make_package):
    found = tensorrt_options(make_package())

    assert found["trt_profile_min_shapes"] == "images:1x3x32x32"
    assert found["trt_profile_opt_shapes"] == found["trt_profile_max_shapes"] == "images:8x3x32x32"


@pytest.mark.parametrize("case", ["static", "rectangular"])
def test_tensorrt_has_no_profile_where_the_file_or_the_pictures_say_the_shape(make_package, case):
    config = InferenceConfig(NetworkInput((32, 32)), static_batch_size=4 if case == "static" else None)

    found = tensorrt_options(make_package(config=config), rectangular=case == "rectangular")

    assert not any("profile" in name for name in found)
