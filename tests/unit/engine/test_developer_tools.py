"""The names for writers of packages, providers, families and pipelines, and the page that maps the peer's to them."""

import itertools
import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

import inference_engine
from inference_engine import developer_tools
from inference_engine.errors import ParameterInvalid
from inference_engine.machine import Gpu, probe_machine
from inference_engine.runtime_xray import (
    RuntimeXRay,
    get_selected_onnx_execution_providers,
    x_ray,
    x_ray_runtime_environment,
)

PAGE = (Path(__file__).parents[3] / "docs" / "developer_tools.md").read_text(encoding="utf-8")
#: Every name of the peer library's `developer_tools`, 0.39.
PEER = [
    "get_model_package_contents", "x_ray_runtime_environment", "download_files_to_directory",
    "get_selected_onnx_execution_providers", "get_model_from_provider", "register_model_provider", "ModelMetadata",
    "ModelPackageMetadata", "FileDownloadSpecs", "ONNXPackageDetails", "TRTPackageDetails",
    "TorchScriptPackageDetails", "ServerEnvironmentRequirements", "JetsonEnvironmentRequirements",
    "ModelDependency", "Quantization", "use_primary_cuda_context", "use_cuda_context",
    "set_onnx_execution_provider_defaults", "run_onnx_session_with_batch_size_limit",
    "run_onnx_session_via_iobinding", "align_device_with_onnx_session", "generate_batch_chunks", "load_trt_model",
    "get_trt_engine_inputs_and_outputs", "infer_from_trt_engine", "establish_trt_cuda_graph_cache",
    "TRTCudaGraphCache", "RuntimeXRayResult",
]  # fmt: skip
#: Names without words of their own: types that stand for arrays.
ALIASES = {"Array", "Boxes", "Image", "Tensors"}


def rows(heading):
    """The cells of the first table below a line."""
    lines = PAGE.split(heading, 1)[1].strip().splitlines()
    table = list(itertools.takewhile(lambda line: line.startswith("|"), lines))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def names_in(cell):
    return re.findall(r"`(\w+)`", cell)


MAPPED = rows("## Names of the peer library")
OWN = rows("What it has no name for, and is here:")


def test_all_names_have_a_home_and_all_homes_are_public():
    homes = [name for names in developer_tools._HOMES.values() for name in names]

    assert sorted(homes) == sorted(developer_tools.__all__) == sorted(dir(developer_tools))
    assert len(set(homes)) == len(homes)


@pytest.mark.parametrize("name", developer_tools.__all__)
def test_a_name_can_be_imported_and_is_documented(name):
    found = getattr(developer_tools, name)

    assert name in ALIASES or found.__doc__


def test_every_name_of_the_peer_is_on_the_page_with_ours_or_with_a_reason():
    told = [name for row in MAPPED for name in names_in(row[0])]

    assert sorted(told) == sorted(PEER)
    for row in MAPPED:
        assert names_in(row[1]) or (row[1] == "-" and row[2])


def test_every_name_that_the_page_gives_as_ours_is_public_and_all_are_given():
    ours = {name for row in MAPPED for name in names_in(row[1])} | {name for row in OWN for name in names_in(row[0])}

    assert ours == set(developer_tools.__all__)


def test_importing_the_tools_loads_nothing_heavy():
    program = "import sys, json, inference_engine.developer_tools; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    heavy = {"torch", "onnxruntime", "cv2", "numpy", "transformers", "openvino", "PIL", "httpx", "filelock"}
    assert not heavy & set(json.loads(done.stdout))


def test_a_name_that_both_modules_have_is_one_thing():
    for name in set(developer_tools.__all__) & set(inference_engine.__all__):
        assert getattr(developer_tools, name) is getattr(inference_engine, name)


def test_the_x_ray_has_every_field_of_the_peers():
    assert [field.name for field in fields(RuntimeXRay)] == [
        "gpu_available", "gpu_devices", "gpu_devices_cc", "gpu_driver", "cuda_version", "trt_version",
        "jetson_type", "l4t_version", "os_version", "torch_available", "onnxruntime_version",
        "available_onnx_execution_providers", "hf_transformers_available", "trt_python_package_available",
        "torch_version", "torchvision_version", "coremltools_version",
    ]  # fmt: skip


def test_the_x_ray_of_this_machine_agrees_with_the_probe():
    found, machine = x_ray_runtime_environment(), probe_machine()

    assert found.onnxruntime_version == machine.packages["onnxruntime"]
    assert found.available_onnx_execution_providers[-1] == "CPUExecutionProvider"
    assert found.gpu_available == bool(machine.gpus)


def test_the_x_ray_of_a_machine_with_a_gpu_names_it():
    machine = replace(
        probe_machine(),
        gpus=(Gpu(0, "H200", "9.0", 1 << 37),),
        driver_version="580.1",
        cuda_version="13.0",
        packages={"onnxruntime": "1.22.0", "tensorrt": "11.4.0"},
        distributions={"onnxruntime": "onnxruntime-gpu", "tensorrt": "tensorrt"},
    )

    found = x_ray(machine)

    assert (found.gpu_devices, found.gpu_devices_cc, found.gpu_driver) == (("H200",), ("9.0",), "580.1")
    assert (found.trt_version, found.torch_available, found.hf_transformers_available) == ("11.4.0", False, False)
    assert {"CUDAExecutionProvider", "CPUExecutionProvider"} <= set(found.available_onnx_execution_providers)


def test_execution_providers_are_given_by_device():
    assert "CPUExecutionProvider" in get_selected_onnx_execution_providers()
    with pytest.raises(ParameterInvalid, match="serves 'tpu'"):
        get_selected_onnx_execution_providers("tpu")
