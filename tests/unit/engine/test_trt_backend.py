import json
import logging
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inference_engine.backends import backend, trt
from inference_engine.backends.parts.trt_builder import BuildOptions, compile_package
from inference_engine.backends.parts.trt_engine import Profile, choose_profile
from inference_engine.backends.parts.trt_plan import check_plan, why_not
from inference_engine.errors import PackageInvalid, SessionFailed
from inference_engine.loading import decide, open_decided
from inference_engine.machine import Gpu, Machine
from inference_engine.negotiation import Wishes
from inference_engine.packages import file_sha256, read_package
from inference_engine.requirements import Requirements
from inference_engine.sessions import SessionOptions
from inference_engine.trust import TrustPolicy
from tests.fixtures.recorded_tensorrt import PLAN, FakeBuilder, FakeTensorrt, Recorded, fake_session_parts

ONNX = Path(__file__).parents[3] / "models" / "digits" / "onnx-fp32"
L4 = Gpu(0, "NVIDIA L4", "8.9", 24 << 30)
A10 = Gpu(1, "NVIDIA A10G", "8.6", 24 << 30)
T4 = Gpu(0, "Tesla T4", "7.5", 16 << 30)
MACHINE = Machine("Linux", "x86_64", "3.11", "cpu", 2, (), 1 << 34, gpus=(L4, A10), packages={"tensorrt": "11.4.0"})
FACTS = Requirements(trt_version="11.4.0.106", device_name="NVIDIA L4", compute_capability="8.9")
FIRST = np.float32(1)


def add_mean(images):
    """One row an image; its value says which image it was."""
    return np.broadcast_to(images.mean((1, 2, 3))[:, None, None], (len(images), 14, 5)) + FIRST


@pytest.fixture
def write_plan(tmp_path):
    """A package folder with a plan, as `nightshift compile` leaves it; None takes a key away."""

    def write(plan=PLAN, **changes):
        folder = tmp_path / "trt"
        shutil.copytree(ONNX, folder)
        (folder / "model.onnx").unlink()
        (folder / "engine.plan").write_bytes(plan)
        config = json.loads((folder / "model_config.json").read_text("utf-8"))
        config |= {"backend_type": "trt", "weights": "engine.plan", "files": None}
        (folder / "model_config.json").write_text(json.dumps(config), "utf-8")
        facts = {"trt_version": "11.4.0.106", "plan_sha256": file_sha256(folder / "engine.plan")} | changes
        (folder / "trt_config.json").write_text(json.dumps({k: v for k, v in facts.items() if v is not None}), "utf-8")
        return read_package(folder)

    return write


def open_fake(package, answer=add_mean, options=SessionOptions(), host_code=False, **parts):  # noqa: B008 (frozen)
    module, cuda = fake_session_parts(answer, **parts)
    return trt.TrtSession(package, module, cuda, options, host_code=host_code), cuda, module


def images_of(count):
    return np.random.default_rng(count).random((count, 3, 320, 320), dtype=np.float32)


def test_a_batch_is_padded_to_its_bucket_and_recorded_once(write_plan):
    session, cuda, module = open_fake(write_plan())

    for count in (3, 4, 3, 1):
        batch = images_of(count)
        (found,) = session.run({"images": batch}).values()
        np.testing.assert_allclose(found, add_mean(batch), rtol=1e-6)

    assert [context.size for context in module.engine.contexts] == [4, 1]
    assert (len(cuda.recordings), cuda.replays) == (2, 2)


def test_without_graphs_it_runs_the_same(write_plan):
    session, cuda, _ = open_fake(write_plan(), options=SessionOptions(cuda_graphs=False))
    batch = images_of(2)

    np.testing.assert_allclose(session.run({"images": batch})["output0"], add_mean(batch), rtol=1e-6)
    assert cuda.recordings == []


def test_a_recording_that_fails_leaves_a_session_that_runs(write_plan, caplog):
    session, _, _ = open_fake(write_plan(), records=False)

    with caplog.at_level(logging.WARNING):
        found = [session.run({"images": images_of(2)})["output0"] for _ in range(3)]

    np.testing.assert_allclose(found[2], add_mean(images_of(2)), rtol=1e-6)
    assert caplog.text.count("CUDA graphs are off") == 1


def test_the_tightest_profile_is_taken(write_plan):
    session, _, module = open_fake(write_plan(), profiles=((1, 1, 1), (2, 8, 16), (16, 32, 64)))

    assert session.max_batch_size == 64
    for count in (1, 3, 17):
        session.run({"images": images_of(count)})
    assert [(c.profile, c.size) for c in module.engine.contexts] == [(0, 1), (1, 4), (2, 32)]


def test_fewer_images_than_a_profile_takes_are_filled_up():
    assert choose_profile([Profile(0, 4, 8)], 1).smallest == 4


@pytest.mark.parametrize("count", [0, 65])
def test_more_images_than_any_profile_takes_are_refused(count):
    with pytest.raises(SessionFailed, match="takes 1 to 64"):
        choose_profile([Profile(0, 1, 8), Profile(1, 8, 64)], count)


def test_a_plan_of_half_precision_edges_is_fed_halves(write_plan):
    session, _, _ = open_fake(write_plan(), half=True)
    batch = images_of(2)

    assert session.inputs[0].dtype == "float16"
    np.testing.assert_allclose(session.run({"images": batch})["output0"], add_mean(batch), rtol=1e-3)


def test_a_plan_that_tensorrt_refuses_is_an_error_with_its_words(write_plan):
    with pytest.raises(SessionFailed, match="refused the plan: Serialization assertion magicTag failed"):
        open_fake(write_plan(plan=b"not one"))


@pytest.mark.parametrize("host_code", [False, True])
def test_host_code_is_allowed_only_where_the_package_says_that_there_is_some(write_plan, host_code):
    _, _, module = open_fake(write_plan(), host_code=host_code)

    assert module.host_code is host_code


def test_closing_frees_the_device_and_a_run_after_it_is_refused(write_plan):
    session, cuda, _ = open_fake(write_plan())
    session.close()
    session.close()

    assert cuda.closed
    with pytest.raises(SessionFailed, match="closed"):
        session.run({"images": images_of(1)})


@pytest.mark.parametrize(
    ("changes", "installed", "gpu", "reason"),
    [
        ({}, "11.4.0.106", L4, None),
        ({}, "11.4.0.200", L4, None),
        ({}, "11.4.1", L4, "runs on TensorRT 11.4.0.106 only"),
        ({}, "10.16.1", L4, "runs on TensorRT 11.4.0.106 only"),
        ({"trt_version": "10.16.1", "version_compatible": True}, "11.4.0", L4, None),
        ({"trt_version": "11.4.1", "version_compatible": True}, "11.4.0", L4, "or newer"),
        ({"trt_version": "8.6.1", "version_compatible": True}, "10.16.1", L4, "or newer"),
        ({}, "11.4.0", A10, "NVIDIA A10G"),
        ({"device_name": None}, "11.4.0", A10, "NVIDIA A10G"),
        ({"device_name": None, "compute_capability": None}, "11.4.0", A10, None),
        ({"compatibility": "ampere_plus"}, "11.4.0", A10, None),
        ({"compatibility": "ampere_plus"}, "11.4.0", T4, "Tesla T4"),
        ({"compatibility": "same_compute_capability"}, "11.4.0", replace(L4, name="NVIDIA L40S"), None),
        ({"compatibility": "same_compute_capability"}, "11.4.0", A10, "NVIDIA A10G"),
    ],
)
def test_version_and_device_are_compared_before_loading(changes, installed, gpu, reason):
    found = why_not(replace(FACTS, **changes), installed, gpu)

    assert found is None if reason is None else reason in found


def test_a_plan_without_a_written_hash_is_refused(write_plan):
    with pytest.raises(PackageInvalid, match="a plan is executable"):
        check_plan(write_plan(plan_sha256=None))


def test_a_plan_with_another_hash_is_refused(write_plan):
    with pytest.raises(PackageInvalid, match="fetch the package again"):
        check_plan(write_plan(plan_sha256="1" * 64))


@pytest.mark.parametrize("changes", [{"trt_version": None}, {"trt_version": 11}, {"hardware_compatibility": "any"}])
def test_a_config_beside_the_plan_must_say_what_built_it(write_plan, changes):
    with pytest.raises(PackageInvalid, match="trt_config"):
        check_plan(write_plan(**changes))


def test_without_a_driver_the_library_is_never_imported(write_plan, monkeypatch):
    monkeypatch.setattr(
        trt, "probe_machine", lambda: replace(MACHINE, gpus=(), problems={"nvidia": "no NVIDIA driver"})
    )
    monkeypatch.setattr(trt, "import_module", lambda name: pytest.fail(f"{name} was imported"))

    with pytest.raises(SessionFailed, match="cannot use cuda; here: no NVIDIA driver"):
        backend("trt").open_session(write_plan(), "cuda", SessionOptions())


def test_a_plan_for_another_version_is_refused_before_cuda_is_touched(write_plan, monkeypatch):
    monkeypatch.setattr(trt, "probe_machine", lambda: MACHINE)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorrt(("10",)))
    monkeypatch.setattr(trt, "load_cudart", lambda: pytest.fail("CUDA was loaded"))

    with pytest.raises(SessionFailed, match=r"runs on TensorRT 11\.4\.0\.106 only, here is 10\.16"):
        trt.open_session(write_plan(), "cuda", SessionOptions())


def test_a_plan_opens_on_the_gpu_that_it_names(write_plan, monkeypatch):
    module, cuda = fake_session_parts(add_mean)
    module.__version__ = "11.4.0.106"
    opened = []
    monkeypatch.setattr(trt, "probe_machine", lambda: MACHINE)
    monkeypatch.setattr(trt, "load_cudart", lambda: "library")
    monkeypatch.setattr(trt, "CudaRuntime", lambda library, index: opened.append((library, index)) or cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", module)

    session = trt.open_session(write_plan(), "cuda:1", SessionOptions())

    assert opened == [("library", 1)]
    assert session.inputs[0].shape == (None, 3, 320, 320)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"packages": {}}, "not_installed"),
        ({"gpus": ()}, "needs_gpu"),
        ({"packages": {"tensorrt": "8.6.1"}}, "broken_runtime"),
        ({"packages": {"tensorrt": "10.16.1"}}, None),
        ({"problems": {"tensorrt": "libnvinfer.so.11 is missing"}}, "broken_runtime"),
    ],
)
def test_the_offer_says_what_is_missing(changes, code):
    offer = trt.probe(replace(MACHINE, **changes))

    assert offer.missing is None if code is None else offer.missing.code == code
    assert offer.devices == (("cuda",) if code is None else ())


def test_a_plan_that_a_provider_gave_opens_by_the_hash_that_it_was_verified_by(server, remote, write_plan, monkeypatch):
    package, module, cuda = write_plan(), *fake_session_parts(add_mean)
    paths = {path.name: f"/p/{path.name}" for path in package.weights.parent.iterdir() if path.suffix != ".json"}
    paths["inference_config.json"] = "/p/inference_config.json"
    for name, path in paths.items():
        server.add_file(path, (package.weights.parent / name).read_bytes())
    server.add_file("/p/trt_config.json", b'{"dynamic_batch_size_max": 64}')
    manifest = {"type": "trt-model-package-v1", "dynamicBatchSize": True, "trtVersion": "11.4.0.106"}
    manifest |= {"minBatchSize": 1, "optBatchSize": 8, "maxBatchSize": 64, "cudaDeviceType": "nvidia-l4"}
    entry = server.onnx_package("p", paths | {"trt_config.json": "/p/trt_config.json"}, packageManifest=manifest)
    server.add_model("pets/1", [entry])
    module.__version__ = "11.4.0.106"
    monkeypatch.setattr(trt, "probe_machine", lambda: MACHINE)
    monkeypatch.setattr(trt, "load_cudart", lambda: "library")
    monkeypatch.setattr(trt, "CudaRuntime", lambda *_: cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", module)

    decision = decide(
        "rf://pets/1", Wishes(trust=TrustPolicy(allows_compiled=True)), machine=MACHINE, provider_options=remote()
    )
    model = open_decided(decision, SessionOptions())

    assert model.package.requirements.trt_version == "11.4.0.106"
    assert model.session.max_batch_size == 64
    model.close()


def fake_builder(major, **options):
    module = FakeTensorrt((major,))
    module.builder = FakeBuilder(lambda: module, **options)
    return module


@pytest.mark.parametrize(
    ("precision", "flags"), [("fp32", set()), ("fp16", {"TF32", "FP16"}), ("bf16", {"TF32", "BF16"})]
)
def test_tensorrt_10_is_told_the_precision_by_flags(tmp_path, precision, flags):
    module = fake_builder("10")

    compile_package(module, read_package(ONNX), tmp_path / "out", L4, BuildOptions(precision=precision))

    assert module.builder.flags == flags
    assert module.builder.network_flags == 0


def test_tensorrt_11_takes_a_strongly_typed_network(tmp_path):
    module = fake_builder("11")

    compile_package(module, read_package(ONNX), tmp_path / "out", L4, BuildOptions())

    assert module.builder.network_flags == 1 << module.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert module.builder.flags == set()


def test_tensorrt_11_refuses_a_precision_that_the_graph_does_not_have(tmp_path):
    with pytest.raises(SessionFailed, match="AutoCast"):
        compile_package(fake_builder("11"), read_package(ONNX), tmp_path / "out", L4, BuildOptions(precision="fp16"))


@pytest.mark.parametrize("major", ["10", "11"])
def test_what_was_compiled_is_a_package_that_verifies(tmp_path, major):
    module = fake_builder(major)
    options = BuildOptions(batches=(1, 4, 16), compatibility="ampere_plus", version_compatible=True)

    written = compile_package(module, read_package(ONNX), tmp_path / "digits-trt", L4, options)

    package, facts = read_package(written), check_plan(read_package(written))
    assert (package.kind, package.package_id, package.max_batch_size) == ("trt", "digits-trt", 16)
    assert (facts.trt_version, facts.host_code) == (module.__version__, True)
    assert why_not(facts, module.__version__, A10) is None
    assert module.builder.profiles == [("images", *((n, 3, 320, 320) for n in (1, 4, 16)))]
    assert "VERSION_COMPATIBLE" in module.builder.flags


def test_a_graph_that_is_not_read_leaves_its_reasons_and_no_folder(tmp_path):
    module = fake_builder("11", errors=("no importer for NonMaxSuppression", "no importer for Foo"))

    with pytest.raises(SessionFailed, match="NonMaxSuppression; no importer for Foo"):
        compile_package(module, read_package(ONNX), tmp_path / "out", L4, BuildOptions())
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_is_not_built_leaves_tensorrts_words(tmp_path):
    with pytest.raises(SessionFailed, match="could not find any implementation"):
        compile_package(fake_builder("11", plan=None), read_package(ONNX), tmp_path / "out", L4, BuildOptions())


def test_a_folder_that_is_there_is_not_written_over(tmp_path):
    with pytest.raises(PackageInvalid, match="is there already"):
        compile_package(fake_builder("11"), read_package(ONNX), tmp_path, L4, BuildOptions())


@pytest.mark.parametrize(
    ("cls", "use", "words"),
    [
        ("ICudaEngine", lambda engine: engine.device_memory_size, "TensorRT 11: ICudaEngine has no device_memory_size"),
        ("ICudaEngine", lambda engine: engine.get_tensor_name(), "takes .* got 0"),
        ("IBuilderConfig", lambda config: setattr(config, "int8_calibrator", 1), "TensorRT 11: .* no int8_calibrator"),
    ],
)
def test_the_fake_refuses_what_one_of_the_majors_lacks(cls, use, words):
    recorded = Recorded(cls, SimpleNamespace(device_memory_size=1, get_tensor_name=lambda: ""), ("10", "11"))

    with pytest.raises(AssertionError, match=words):
        use(recorded)


def test_batches_must_be_in_order():
    with pytest.raises(PackageInvalid, match="smallest <= usual <= largest"):
        BuildOptions(batches=(8, 4, 16))
