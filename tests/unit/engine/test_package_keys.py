"""Keys of `model_config.json`: those that are known say nothing, any other is warned of where people look."""

from pathlib import Path

import pytest

from inference_engine import explain
from inference_engine.package_keys import KNOWN_KEYS, PEERS_KEYS, key_warnings
from inference_engine.packages import read_package

DIGITS = Path(__file__).parents[3] / "models" / "digits"


def test_keys_of_ours_and_of_the_peer_library_are_known():
    assert key_warnings(dict.fromkeys([*KNOWN_KEYS, *PEERS_KEYS]), "here") == ()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("quantisation", "did you mean 'quantization'"),
        ("modelid", "did you mean 'model_id'"),
        ("dataset", "the key 'dataset'"),
    ],
)
def test_another_key_is_warned_of_with_the_nearest_one(write_package, key, words):
    (warning,) = read_package(write_package(**{key: "x"})).warnings

    assert words in warning


def test_explain_shows_a_warning_and_chooses_the_package_nevertheless(write_package):
    decision = explain(write_package(dataset="pets-2024"))

    assert decision.chosen is not None
    assert "note: onnx: model_config.json: nothing reads the key 'dataset'" in str(decision)


@pytest.mark.parametrize("name", ["onnx-fp32", "onnx-int8", "torch-fp32"])
def test_the_starter_models_have_no_unknown_key(name):
    assert read_package(DIGITS / name).warnings == ()
