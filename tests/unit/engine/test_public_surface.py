"""What the engine exports, and that asking for it is what loads it."""

import json
import subprocess
import sys

import pytest

import inference_engine
from inference_engine import errors, interfaces
from inference_engine.tasks import known_tasks, prediction_type

HEAVY = {"torch", "onnxruntime", "cv2", "numpy", "transformers", "openvino", "PIL"}


def modules_after(statement):
    program = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


def test_all_names_have_a_home_and_all_homes_are_public():
    homes = [name for names in inference_engine._HOMES.values() for name in names]

    assert sorted(homes) == sorted(inference_engine.__all__) == sorted(dir(inference_engine))
    assert len(set(homes)) == len(homes)


@pytest.mark.parametrize("name", inference_engine.__all__)
def test_a_public_name_can_be_imported_and_is_documented(name):
    found = getattr(inference_engine, name)

    assert name == "BACKEND_ORDER" or found.__doc__


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'AutoModle'"):
        inference_engine.AutoModle  # noqa: B018


def test_importing_the_engine_loads_nothing_heavy():
    assert not modules_after("import inference_engine") & HEAVY


def test_errors_are_there_without_anything_heavy():
    assert not modules_after("from inference_engine import EngineError") & HEAVY


def test_choosing_a_backend_loads_no_runtime():
    program = "from inference_engine import AutoModel, explain"

    assert not modules_after(program) & {"torch", "onnxruntime", "cv2", "transformers"}


def test_local_models_load_no_web_client():
    assert not modules_after("import inference_engine.loading") & {"httpx", "boto3", "huggingface_hub", "filelock"}


def test_the_whole_tree_of_errors_is_public():
    tree = {
        name for name, found in vars(errors).items() if isinstance(found, type) and found.__module__ == errors.__name__
    }

    assert tree <= set(inference_engine.__all__)


def test_every_interface_and_every_prediction_type_is_public():
    protocols = {
        name
        for name, found in vars(interfaces).items()
        if isinstance(found, type) and found.__module__ == interfaces.__name__ and not name.startswith("_")
    }

    assert protocols <= set(inference_engine.__all__)
    assert {prediction_type(task).__name__ for task in known_tasks()} <= set(inference_engine.__all__)


def test_importing_the_engine_takes_no_longer_than_its_few_modules():
    """Not timed: nothing but itself is loaded, whatever the machine does."""
    ours = {name for name in modules_after("import inference_engine") if name.startswith("inference_engine")}

    assert ours == {"inference_engine", "inference_engine.lazy"}


def test_every_error_is_of_one_tree_with_a_code_of_its_own():
    errors = [
        found
        for name in inference_engine.__all__
        if isinstance(found := getattr(inference_engine, name), type) and issubclass(found, Exception)
    ]

    assert all(issubclass(error, inference_engine.EngineError) for error in errors)
    assert len({error.code for error in errors}) == len(errors)
