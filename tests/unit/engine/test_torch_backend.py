import contextlib
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from inference_engine.backends import backend
from inference_engine.backends.parts.batches import MAX_SLOTS, bucket_of, filled_up
from inference_engine.backends.parts.graph_runner import GraphRunner
from inference_engine.backends.torch import named_outputs
from inference_engine.errors import PackageInvalid, SessionFailed
from inference_engine.loading import decide
from inference_engine.measuring import measure
from inference_engine.negotiation import Wishes
from inference_engine.packages import read_package
from inference_engine.sessions import SessionOptions
from inference_engine.tuning import Limits
from tests.fixtures.torch_exports import write_torch_export

TORCH = Path(__file__).parents[3] / "models" / "digits" / "torch-fp32"
ONE = SessionOptions(threads=1)


def open_torch(folder=TORCH, **options):
    return backend("torch").open_session(read_package(folder), "cpu", SessionOptions(threads=1, **options))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).random((3, 3, 320, 320), dtype=np.float32)


@pytest.fixture(scope="module")
def reference(images):
    """The same network called by hand, in the memory order that PyTorch has by default."""
    package = read_package(TORCH)
    from safetensors.torch import load_file

    from inference_engine.backends.modules import build_module

    module = build_module(*package.module).eval()
    module.load_state_dict(load_file(package.weights))
    with torch.inference_mode():
        return module(torch.from_numpy(images)).numpy()


@pytest.mark.parametrize("kind", ["torch-script", "torch-export"])
@pytest.mark.parametrize("batch", [None, 4])
def test_an_exported_file_gives_what_the_module_gives(tmp_path, images, reference, kind, batch):
    session = open_torch(write_torch_export(TORCH, tmp_path / "exported", kind, batch=batch))

    (found,) = session.run({"images": images}).values()

    np.testing.assert_allclose(found, reference, atol=1e-3, rtol=1e-4)
    assert session.inputs[0].shape[0] == batch


# Boxes are pixels of a 320 network: float16 has 11 bits, bfloat16 has 8, and only the convolutions are in them.
@pytest.mark.parametrize(
    ("precision", "pixels", "score"), [("fp32", 1e-3, 1e-5), ("fp16", 0.1, 2e-3), ("bf16", 1.5, 0.02)]
)
def test_a_lower_precision_stays_near_the_full_one(images, reference, precision, pixels, score):
    (found,) = open_torch(precision=precision).run({"images": images}).values()

    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :4], reference[:, :4], atol=pixels)
    np.testing.assert_allclose(found[:, 4:], reference[:, 4:], atol=score)


def test_pictures_lie_with_channels_last_in_an_eager_module():
    weight = next(p for p in open_torch()._module.parameters() if p.ndim == 4 and p.shape[2] > 1)

    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(SessionFailed, match="'int4' is not one of fp32, bf16, fp16"):
        open_torch(precision="int4")


def test_a_precision_that_the_export_does_not_have_is_refused(tmp_path):
    folder = write_torch_export(TORCH, tmp_path / "exported", "torch-script")

    with pytest.raises(SessionFailed, match="export it again"):
        open_torch(folder, precision="bf16")


@pytest.mark.parametrize("kind", ["torch-script", "torch-export"])
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_export_is_an_invalid_package(tmp_path, kind):
    folder = write_torch_export(TORCH, tmp_path / "exported", kind)
    package = read_package(folder)
    package.weights.write_bytes(package.weights.read_bytes()[:1000])

    with pytest.raises(PackageInvalid, match="is not a torch-"):
        backend("torch").open_session(package, "cpu", ONE)


def test_compile_falls_back_to_eager_and_says_why(monkeypatch, caplog, images, reference):
    def refuse(_module, **_):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", refuse)
    with caplog.at_level(logging.WARNING):
        (found,) = open_torch(compile=True).run({"images": images}).values()

    assert "runs eager: no C++ compiler" in caplog.text
    np.testing.assert_allclose(found, reference, atol=1e-3, rtol=1e-4)


def test_a_compiled_module_is_what_runs(monkeypatch, images):
    calls = []

    def compiler(module, **_):
        return lambda x: calls.append(len(x)) or module(x)

    monkeypatch.setattr(torch, "compile", compiler)
    session = open_torch(compile=True)
    session.run({"images": images})

    assert calls[-1] == 3


def test_several_runs_at_once_share_the_cores(images):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        session = backend("torch").open_session(read_package(TORCH), "cpu", SessionOptions(concurrency=2))

        session.run({"images": images})

        assert (torch.get_num_threads(), session.concurrency) == (1, 2)
    finally:
        torch.set_num_threads(before)


def test_a_gpu_that_is_not_there_is_an_error_and_not_the_cpu():
    with pytest.raises(Exception, match=r"(?i)cuda"):
        backend("torch").open_session(read_package(TORCH), "cuda:7", ONE)


def test_outputs_are_named_by_a_dict_or_by_their_place():
    one, two = torch.zeros(1), torch.ones(1)

    assert list(named_outputs({"logits": one, "loss": None, "boxes": two})) == ["logits", "boxes"]
    assert list(named_outputs((one, "words", two))) == ["output0", "output2"]
    assert list(named_outputs(one)) == ["output0"]


@pytest.mark.parametrize(("count", "maximum", "bucket"), [(1, 8, 1), (3, 8, 4), (5, 6, 6), (8, 8, 8), (33, 64, 64)])
def test_a_batch_is_filled_up_to_a_power_of_two(count, maximum, bucket):
    assert bucket_of(count, maximum) == bucket


@pytest.mark.parametrize("count", [0, 9])
def test_a_batch_out_of_range_is_refused(count):
    with pytest.raises(SessionFailed, match="takes 1 to 8"):
        bucket_of(count, 8)


def test_a_static_artefact_takes_no_more_than_it_has():
    with pytest.raises(SessionFailed, match="takes exactly 2"):
        filled_up(np.zeros((3, 1)), 2)


class CpuCuda:
    """`Cuda` of CPU tensors: a recording keeps the function and its buffers, a replay writes into the same outputs."""

    def __init__(self, refuse=None):
        self.refuse, self.recordings, self.replays = refuse, 0, 0

    def pinned(self, shape, dtype):
        return torch.full(tuple(shape), 7, dtype=dtype)

    empty = pinned

    def running(self):
        return contextlib.nullcontext()

    def record(self, function):
        if self.refuse:
            raise self.refuse
        self.recordings += 1
        outputs = function()

        def replay():
            self.replays += 1
            for kept, fresh in zip(outputs, function(), strict=True):
                kept.copy_(fresh)

        return replay, outputs

    def synchronize(self):
        pass


def sums(inputs):
    (images,) = inputs
    return [images.flatten(1).sum(1, keepdim=True), images * 2]


def make_runner(cuda, **options):
    return GraphRunner(cuda, sums, [torch.float32], max_batch_size=8, **options)


def test_each_batch_bucket_is_recorded_once_and_replayed():
    cuda = CpuCuda()
    runner = make_runner(cuda)

    for count in (3, 4, 1, 3):
        value = torch.rand(count, 2, 3)
        total, double = runner.run([value])
        np.testing.assert_allclose(total[:, 0], value.sum((1, 2)), rtol=1e-6)
        np.testing.assert_allclose(double, value * 2)

    assert (cuda.recordings, cuda.replays) == (2, 4)


def test_what_fills_a_batch_up_is_zero():
    seen = []
    cuda = CpuCuda()
    runner = GraphRunner(cuda, lambda i: [seen.append(i[0].clone()) or i[0]], [torch.float32], max_batch_size=8)

    runner.run([torch.ones(4, 1)])
    runner.run([torch.ones(3, 1)])

    assert seen[-1].flatten().tolist() == [1, 1, 1, 0]


def test_an_answer_is_the_callers_own():
    runner = make_runner(CpuCuda())
    first = runner.run([torch.ones(2, 2)])[1]

    runner.run([torch.zeros(2, 2)])

    assert first.tolist() == [[2, 2], [2, 2]]


def test_a_recording_that_fails_leaves_a_session_that_runs_eager(caplog):
    cuda = CpuCuda(RuntimeError("operation not permitted when stream is capturing"))
    runner = make_runner(cuda)

    with caplog.at_level(logging.WARNING):
        found = [runner.run([torch.ones(2, 2)])[0].tolist() for _ in range(2)]

    assert found == [[[2], [2]]] * 2
    assert runner.records is False
    assert caplog.text.count("it runs eager") == 1


def test_no_memory_for_a_recording_is_told_and_not_hidden():
    runner = make_runner(CpuCuda(RuntimeError("CUDA out of memory")))

    with pytest.raises(RuntimeError, match="out of memory"):
        runner.run([torch.ones(2, 2)])


def test_a_static_artefact_always_runs_its_own_batch():
    seen = []
    runner = GraphRunner(
        CpuCuda(), lambda i: [seen.append(len(i[0])) or i[0]], [torch.float32], max_batch_size=3, static=3, graphs=False
    )

    assert len(runner.run([torch.ones(1, 1)])[0]) == 1
    assert seen == [3]


def test_buffers_of_many_shapes_are_bounded():
    runner = make_runner(CpuCuda())

    for side in range(1, MAX_SLOTS + 5):
        runner.run([torch.ones(1, side)])

    assert len(runner._slots) == MAX_SLOTS


def test_halves_come_back_as_float32():
    runner = GraphRunner(CpuCuda(), lambda i: [i[0] + 1], [torch.bfloat16], max_batch_size=2)

    (found,) = runner.run([torch.ones(2, 2)])

    assert found.dtype == np.float32


def measured_torch(budget_s):
    decision = decide(str(TORCH), Wishes(quantization="fp32"))
    picture = np.random.default_rng(1).integers(0, 256, (320, 320, 3), np.uint8)
    return measure(decision, [picture], budget_s, Limits(1), slice_s=0.01).chosen.measurement


@pytest.mark.usefixtures("one_thread")
def test_layout_and_compiling_are_measured_as_variants(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)

    found = measured_torch(300.0)

    tried = {point.setting.variant for point in found.curve}
    assert {(), ("channels first",)} <= tried
    assert any("compiled" in variant for variant in tried)
    assert found.not_taken == ()


@pytest.mark.usefixtures("one_thread")
def test_a_compiler_that_is_not_there_is_a_reason_against_compiling_alone(monkeypatch):
    def refuse(_module, **_):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", refuse)

    found = measured_torch(300.0)

    assert found.not_taken
    assert all("compiled" in entry.variant and "no C++ compiler" in entry.why for entry in found.not_taken)
    assert not any(point.setting.compile for point in found.curve)


@pytest.mark.usefixtures("one_thread")
def test_nothing_is_compiled_where_the_budget_that_is_left_is_too_small():
    found = measured_torch(30.0)

    assert any(
        "compiled" in entry.variant and "s of the budget were left, it takes 60" in entry.why
        for entry in found.not_taken
    )


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_layout_with_channels_first_gives_the_same(images, reference):
    session = open_torch(channels_last=False)
    weight = next(p for p in session._module.parameters() if p.ndim == 4 and p.shape[2] > 1)

    (found,) = session.run({"images": images}).values()

    assert weight.is_contiguous()
    np.testing.assert_allclose(found, reference, atol=1e-3, rtol=1e-4)


def test_a_compiler_that_must_work_and_does_not_is_an_error(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda *_, **__: 1 / 0)

    with pytest.raises(SessionFailed, match=r"torch.compile does not work here"):
        open_torch(compile=True, falls_back=False)
