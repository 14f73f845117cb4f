from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from inference_engine.errors import EngineError, ModelNotFound, NoRunnableBackend, PackageInvalid, ParameterInvalid
from inference_engine.trust import TrustPolicy
from workers.models import ModelPool, Opener, split_wishes

MODELS, EXAMPLES = (Path(__file__).parents[3] / name for name in ("models", "examples"))


class FakeModel:
    def __init__(self, name):
        self.name, self.is_closed = name, False
        self.model = self
        self.package = self
        self.model_id = name

    def close(self):
        self.is_closed = True


def test_a_model_is_opened_once_whoever_asks_first():
    opened, gate = [], threading.Event()

    def open_slowly(reference, *_):
        opened.append(reference)
        gate.wait(10)
        return FakeModel(reference)

    pool = ModelPool(open_slowly)
    with ThreadPoolExecutor(4) as threads:
        borrowed = [threads.submit(pool.borrow, "m", {}) for _ in range(4)]
        gate.set()
        models = {id(future.result()[1]) for future in borrowed}

    assert (len(models), opened) == (1, ["m"])


def test_other_wishes_are_another_model():
    pool = ModelPool(lambda reference, wishes, _: FakeModel(f"{reference} {wishes}"))

    assert pool.borrow("m", {})[1] is not pool.borrow("m", {"backend": "onnx"})[1]


def test_the_least_recently_used_model_is_closed_when_there_are_too_many():
    pool = ModelPool(lambda reference, *_: FakeModel(reference), capacity=1)
    first_key, first = pool.borrow("a", {})
    pool.give_back(first_key)
    second_key, second = pool.borrow("b", {})

    pool.give_back(second_key)

    assert (first.is_closed, second.is_closed, pool.names()) == (True, False, ("b",))


def test_a_model_in_use_is_never_closed():
    pool = ModelPool(lambda reference, *_: FakeModel(reference), capacity=1)
    _, used = pool.borrow("a", {})
    other_key, _ = pool.borrow("b", {})

    pool.give_back(other_key)

    assert not used.is_closed


def test_a_model_that_cannot_be_opened_is_tried_again_by_the_next_borrower():
    answers = iter([ModelNotFound("not there yet"), None])

    def open_model(reference, *_):
        if (error := next(answers)) is not None:
            raise error
        return FakeModel(reference)

    pool = ModelPool(open_model)
    with pytest.raises(ModelNotFound):
        pool.borrow("m", {})

    assert pool.borrow("m", {})[1].name == "m"


def test_a_foreign_error_while_opening_becomes_one_of_ours():
    def open_model(*_):
        raise RuntimeError("the runtime is in a bad mood")

    with pytest.raises(EngineError, match="RuntimeError: the runtime is in a bad mood"):
        ModelPool(open_model).borrow("m", {})


def test_closing_the_pool_closes_every_model():
    pool = ModelPool(lambda reference, *_: FakeModel(reference))
    models = [pool.borrow(name, {})[1] for name in "abc"]

    pool.close()

    assert all(model.is_closed for model in models)


def test_a_jobs_wishes_are_a_strategy_and_what_negotiation_takes():
    strategy, wished = split_wishes({"strategy": "measured", "backend": "onnx"}, "cpu")

    assert (strategy, wished.backend, wished.device) == ("measured", "onnx", "cpu")
    assert split_wishes({}, "cuda:0")[0] == "order"


@pytest.mark.parametrize(
    "wishes", [{"strategy": "luck"}, {"speed": "high"}, {"trust": True}, {"allow_local_code_packages": True}]
)
def test_a_wish_that_is_not_known_is_refused(wishes):
    with pytest.raises(ParameterInvalid, match="expected some of"):
        split_wishes(wishes, "cpu")


def test_trust_is_the_workers_own():
    assert split_wishes({"backend": "torch"}, "cpu", TrustPolicy(allows_compiled=True))[1].trust.allows_compiled


def test_a_package_that_the_operator_does_not_trust_is_refused_with_what_would_admit_it():
    with pytest.raises(NoRunnableBackend, match="--allow-code, NIGHTSHIFT_ALLOW_LOCAL_CODE_PACKAGES=true"):
        Opener("cpu", 1, 0.01)(str(EXAMPLES / "custom_package"), {}, lambda: ())


def test_custom_code_that_cannot_be_called_is_refused_with_what_a_job_needs():
    opener = Opener("cpu", 1, 0.01, trust=TrustPolicy(allows_local_code=True))

    with pytest.raises(PackageInvalid, match=r"BrightnessModel cannot be called; a job needs __call__\(images"):
        opener(str(EXAMPLES / "custom_package"), {}, lambda: ())


@pytest.mark.parametrize("strategy", ["order", "measured"])
def test_a_custom_model_takes_its_own_parameters_and_no_others(strategy):
    opener = Opener("cpu", 1, 0.01, trust=TrustPolicy(allows_local_code=True))
    loaded = opener(str(EXAMPLES / "custom_detector"), {"strategy": strategy}, lambda: [np.zeros((8, 8, 3), np.uint8)])

    model = loaded.model
    tensors, fit = model.preprocess(np.zeros((8, 8, 3), np.uint8))
    (found,) = model.postprocess(loaded.batcher.submit(tensors).result(), [fit], model.check_params({"confidence": 1}))
    with pytest.raises(ParameterInvalid, match="unknown parameter 'iou_threshold'; this model takes confidence"):
        model.check_params({"iou_threshold": 0.5})
    loaded.close()

    assert found.xyxy.tolist() == [[0, 0, 8, 8]]


def test_a_measured_model_runs_as_it_was_fastest_and_is_remembered(tmp_path):
    pictures = [np.full((64, 64, 3), shade, np.uint8) for shade in (30, 120)]
    asked = []

    def samples():
        asked.append(1)
        return pictures

    opener = Opener("cpu", 2, 0.01, (MODELS,), resolution_dir=tmp_path)
    wishes = {"strategy": "measured", "quantization": "fp32"}
    loaded = [opener("digits", wishes, samples) for _ in range(2)]

    decision = loaded[0].model.decision
    tuned = decision.chosen.measurement.setting
    assert decision.strategy == "measured"
    assert loaded[0].batcher.max_batch_size == tuned.batch
    assert len(asked) == 2
    assert loaded[1].model.decision.chosen.key == decision.chosen.key
    assert list(tmp_path.iterdir())
    for model in loaded:
        model.close()
