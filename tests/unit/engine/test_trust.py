"""What can run code is opened only where the caller says so; everything else needs no word."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from inference_engine import AutoModel, explain
from inference_engine.errors import NoRunnableBackend, PackageInvalid, ParameterInvalid
from inference_engine.packages import read_package
from inference_engine.trust import EXECUTABLE_KINDS, TrustPolicy, against_trust, trust_policy

EXAMPLE = Path(__file__).parents[3] / "examples" / "custom_package"
WHITE = np.full((4, 4, 3), 255, np.uint8)


@pytest.fixture
def example(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "custom", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "custom"


@pytest.mark.parametrize("kind", ["onnx", "torch", "hf", "anything"])
def test_plain_weights_need_no_trust(make_package, kind):
    assert against_trust(make_package(kind=kind), TrustPolicy()) is None


@pytest.mark.parametrize("kind", sorted(EXECUTABLE_KINDS))
def test_what_runs_code_is_untrusted_until_its_hash_or_its_flag_is_given(make_package, kind):
    files = {"model.onnx": "a" * 64, "model_config.json": "b" * 64}
    package = make_package(kind=kind, files=files, digest="d" * 64)
    flag = {"allow_local_code_packages": True} if kind == "custom-code" else {"trust": True}
    other = {"trust": True} if kind == "custom-code" else {"allow_local_code_packages": True}

    code, _, hint = against_trust(package, TrustPolicy())

    assert code == "untrusted"
    assert "d" * 64 in hint
    for policy in (trust_policy("D" * 64), trust_policy(["c" * 64, "a" * 64]), trust_policy(**flag)):
        assert against_trust(package, policy) is None
    for policy in (trust_policy("c" * 64), trust_policy("b" * 64), trust_policy(**other)):
        assert against_trust(package, policy) is not None


def test_one_files_hash_does_not_vouch_for_code_in_several(make_package):
    package = make_package(
        kind="custom-code", files={"model.py": "a" * 64, "more.py": "b" * 64}, weights=Path("model.py")
    )

    assert against_trust(package, trust_policy("a" * 64)) is not None


@pytest.mark.parametrize("value", ["yes", "a" * 63, ["a" * 64, "x"], [7]])
def test_trust_is_a_hash_or_a_flag(value):
    with pytest.raises(ParameterInvalid, match="trust"):
        trust_policy(value)


def test_an_untrusted_package_is_a_rejected_candidate_with_what_to_do(example):
    (candidate,) = explain(example).candidates

    assert (candidate.verdict, [reason.code for reason in candidate.reasons]) == ("rejected", ["untrusted"])
    assert "allow_local_code_packages=True" in candidate.reasons[0].hint
    with pytest.raises(NoRunnableBackend, match="untrusted"):
        AutoModel.from_pretrained(example, trust=True)


@pytest.mark.parametrize("by", ["flag", "hash"])
def test_the_example_package_runs_where_it_is_trusted(example, by):
    trust = {"allow_local_code_packages": True} if by == "flag" else {"trust": read_package(example).digest}
    before = list(sys.path)

    model = AutoModel.from_pretrained(example, **trust)

    assert model.measure(WHITE) == (1.0, "bright")
    assert model.measure(WHITE // 3)[1] == "dark"
    assert model.dark_below == 0.4
    assert sys.path == before
    assert "model" not in sys.modules
    assert not list(example.rglob("__pycache__"))


def test_changed_code_is_another_package(example):
    old = read_package(example).digest
    (example / "words.py").write_text("def in_words(share, dark_below):\n    return 'changed'\n", encoding="utf-8")

    with pytest.raises(NoRunnableBackend, match="untrusted"):
        AutoModel.from_pretrained(example, trust=old)
    assert AutoModel.from_pretrained(example, allow_local_code_packages=True).measure(WHITE)[1] == "changed"


def test_byte_code_beside_the_source_is_never_run(example):
    import py_compile

    (example / "evil.py").write_text("def in_words(share, dark_below):\n    return 'evil'\n", encoding="utf-8")
    words = example / "words.py"
    (example / "__pycache__").mkdir()
    cached = example / "__pycache__" / f"words.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(
        str(example / "evil.py"), str(cached), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    (example / "evil.py").unlink()

    assert words.is_file()
    assert AutoModel.from_pretrained(example, allow_local_code_packages=True).measure(WHITE)[1] == "bright"


def test_code_that_raises_is_a_reason_and_is_not_half_loaded(example):
    (example / "words.py").write_text("raise OSError('no licence')\n", encoding="utf-8")

    for _ in range(2):
        with pytest.raises(NoRunnableBackend, match="no licence"):
            AutoModel.from_pretrained(example, allow_local_code_packages=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("model_module", "../model.py"), ("model_module", "absent.py"), ("model_module", "words.txt"),
     ("model_class", "a.b"), ("model_class", None)],
)  # fmt: skip
def test_a_module_or_class_that_cannot_be_is_refused(example, name, value):
    import json

    config = json.loads((example / "model_config.json").read_text(encoding="utf-8"))
    (example / "model_config.json").write_text(json.dumps(config | {name: value}), encoding="utf-8")

    with pytest.raises(PackageInvalid, match=name):
        read_package(example)
