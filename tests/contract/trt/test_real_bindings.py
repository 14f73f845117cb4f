"""The recordings against the real bindings of both majors, and our CUDA calls against a real library.

TensorRT itself is not needed: its bindings load beside empty libraries of the same names, as long as nothing is called.
Run by `python -m pytest -m contract_trt tests/contract/trt`; needs `cc`, and pip's own index for three small wheels.
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference_engine.backends.parts.cudart import FUNCTIONS, CudaRuntime
from inference_engine.errors import SessionFailed
from tests.fixtures.recorded_tensorrt import RECORDINGS

pytestmark = [pytest.mark.contract_trt, pytest.mark.timeout(600)]

WHEELS = {"10": "tensorrt-cu12-bindings", "11": "tensorrt-cu13-bindings"}
#: What the bindings link to: the loader looks these up before Python sees the module.
SYMBOLS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
)  # fmt: skip


def install(wheel, target):
    pip = ["uv", "pip", "install", "--python", sys.executable]
    try:
        subprocess.run(["uv", "--version"], check=True, capture_output=True)
    except OSError:
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--no-deps", "--target", target, wheel], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def build_empty_libraries(folder, major):
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in SYMBOLS), "utf-8")
    for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        soname = f"lib{name}.so.{major}"
        command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", folder / soname, source]
        subprocess.run(command, check=True)


@pytest.mark.parametrize("major", list(WHEELS))
def test_the_recording_is_what_the_real_bindings_say(major, tmp_path):
    recorded = RECORDINGS[major]
    install(f"{WHEELS[major]}=={recorded['version']}", tmp_path / "wheel")
    build_empty_libraries(tmp_path, major)
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(tmp_path / "wheel")}

    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("record.py")],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == recorded


@pytest.mark.parametrize("wheel", ["nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime"])
def test_the_cuda_runtime_has_every_function_and_fails_with_words_without_a_driver(wheel, tmp_path):
    install(wheel, tmp_path)
    (path,) = tmp_path.glob("nvidia/*/lib/libcudart.so.*")
    library = ctypes.CDLL(str(path))

    assert [name for name in FUNCTIONS if not hasattr(library, name)] == []
    try:
        CudaRuntime(library, 0).close()
    except SessionFailed as error:
        assert "CUDA error" in str(error)  # noqa: PT017 (a machine with a driver does not get here)
