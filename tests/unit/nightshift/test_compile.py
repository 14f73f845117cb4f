import pytest
from click.testing import CliRunner

from inference_engine.backends import trt
from inference_engine.errors import PackageInvalid, SessionFailed
from nightshift.cli import cli


def compile_model(*arguments):
    return CliRunner().invoke(cli, ["compile", *arguments], catch_exceptions=False)


def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, monkeypatch):
    machine = trt.probe_machine()
    if machine.gpus:
        monkeypatch.setattr(trt, "probe_machine", lambda: type(machine)(*[""] * 4, 1, (), 0))

    with pytest.raises(SessionFailed, match="TensorRT cannot use cuda"):
        compile_model("digits", "--to", "trt", "-o", str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_the_package_of_the_highest_precision_is_compiled(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(trt, "compile_here", lambda *arguments: asked.append(arguments) or arguments[1])

    result = compile_model(
        "digits", "--to", "trt", "-o", str(tmp_path / "out"), "--precision", "fp16", "--batches", "1", "2", "4"
    )

    ((package, target, device, options),) = asked
    assert (package.package_id, target, device) == ("digits-onnx-fp32", tmp_path / "out", "cuda")
    assert (options.precision, options.batches) == ("fp16", (1, 2, 4))
    assert result.output == f"trt package: {tmp_path / 'out'}\n"


def test_a_model_without_onnx_is_refused(tmp_path):
    from tests.fixtures.fleet import DIGITS

    with pytest.raises(PackageInvalid, match="no ONNX package to compile, only torch"):
        compile_model(str(DIGITS.parent / "torch-fp32"), "--to", "trt", "-o", str(tmp_path / "out"))
