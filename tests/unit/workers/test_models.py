from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inference_engine.errors import EngineError, ModelNotFound, NoRunnableBackend, PackageInvalid, ParameterInvalid
from inference_engine.memory import resident_bytes
from inference_engine.negotiation import BACKEND_ORDER
from inference_engine.trust import TrustPolicy
from inference_engine.wishes import NmsFusion
from jobstore.schema import ModelBuild
from workers.figures import Figures
from workers.models import ModelPool
from workers.opening import Opener
from workers.wishing import read_wishes

MODELS, EXAMPLES = (Path(__file__).parents[3] / name for name in ("models", "examples"))
PATIENCE_S = 20


class FakeModel:
    """An open model of one id, which stands for its own package."""

    def __init__(self, name, cost_bytes=0):
        self.name, self.cost_bytes, self.is_closed = name, cost_bytes, False
        self.model = self.package = self
        self.model_id = name

    def figures(self):
        return Figures(items=1, batches=1, images=3, places=4, stage_ms={"decode": 2.0})

    def close(self):
        self.is_closed = True


class FakeOpener:
    """Opens fakes; a model costs what `costs` says, and its weights are as large as that or as `weights` says."""

    def __init__(self, costs=None, *, weights=None, before=lambda _: None):
        self._costs, self._weights, self._before = costs or {}, weights, before
        self.opened = []

    def plan(self, reference, wishes, samples):
        size = self._costs.get(reference, 0) if self._weights is None else self._weights
        return SimpleNamespace(reference=reference, wishes=wishes, weights_bytes=size)

    def open(self, plan):
        self.opened.append(plan.reference)
        self._before(plan.reference)
        return FakeModel(plan.reference, self._costs.get(plan.reference, 0))


def use(pool, reference, **wishes):
    """Borrow a model and give it back."""
    loan = pool.borrow(reference, wishes)
    pool.give_back(loan)
    return loan.loaded


def test_a_model_is_opened_once_whoever_asks_first():
    gate = threading.Event()
    opener = FakeOpener(before=lambda _: gate.wait(PATIENCE_S))

    pool = ModelPool(opener)
    with ThreadPoolExecutor(4) as threads:
        borrowed = [threads.submit(pool.borrow, "m", {}) for _ in range(4)]
        gate.set()
        models = {id(future.result().loaded) for future in borrowed}

    assert (len(models), opener.opened) == (1, ["m"])


def test_other_wishes_are_another_model():
    pool = ModelPool(FakeOpener())

    assert pool.borrow("m", {}).loaded is not pool.borrow("m", {"backend": "onnx"}).loaded


def test_the_least_recently_used_models_go_before_the_next_is_loaded():
    held = []
    pool = ModelPool(FakeOpener({"a": 4, "b": 4, "c": 5}, before=lambda _: held.append(pool.names())), budget_bytes=10)
    first, second = use(pool, "a"), use(pool, "b")
    use(pool, "a")

    use(pool, "c")

    assert (first.is_closed, second.is_closed, pool.names()) == (False, True, ("a", "c"))
    assert held[-1] == ("a",)


def test_models_stay_as_long_as_they_fit_together():
    pool = ModelPool(FakeOpener(dict.fromkeys("abcdefgh", 1)), budget_bytes=8)

    assert not any(use(pool, name).is_closed for name in "abcdefgh")
    assert pool.references() == tuple("abcdefgh")


def test_a_model_that_costs_more_than_its_weights_makes_others_go_and_is_remembered():
    opener = FakeOpener({"a": 2, "b": 9}, weights=1)
    pool = ModelPool(opener, budget_bytes=10)
    first = use(pool, "a")
    use(pool, "b")
    assert (first.is_closed, pool.names()) == (True, ("b",))

    use(pool, "a")

    assert pool.names() == ("a",)


def test_a_load_waits_until_a_model_in_use_is_given_back():
    pool = ModelPool(FakeOpener({"a": 8, "b": 8}), budget_bytes=10)
    used = pool.borrow("a", {})
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.borrow, "b", {})
        while not pool._is_making_room:
            assert not waiting.done()

        pool.give_back(used)

        assert waiting.result(PATIENCE_S).loaded.name == "b"
    assert used.loaded.is_closed


def test_a_model_in_use_is_never_closed(monkeypatch):
    monkeypatch.setattr("workers.models._ROOM_PATIENCE_S", 0.05)
    pool = ModelPool(FakeOpener({"a": 8, "b": 8}), budget_bytes=10)
    used = pool.borrow("a", {})

    pool.borrow("b", {})

    assert not used.loaded.is_closed


def test_a_broken_model_is_opened_anew_and_closed_by_its_last_user():
    opener = FakeOpener()
    pool = ModelPool(opener)
    first, same = pool.borrow("m", {}), pool.borrow("m", {})

    assert (pool.discard(first), pool.discard(same)) == (1, 1)

    again = pool.borrow("m", {})
    assert (again.loaded is not first.loaded, opener.opened) == (True, ["m", "m"])
    pool.give_back(first)
    assert not first.loaded.is_closed
    pool.give_back(same)
    assert first.loaded.is_closed
    assert pool.discard(again) == 2


def test_a_model_that_cannot_be_opened_is_tried_again_by_the_next_borrower():
    errors = [ModelNotFound("not there yet")]

    def fail_once(_):
        if errors:
            raise errors.pop()

    pool = ModelPool(FakeOpener(before=fail_once))
    with pytest.raises(ModelNotFound):
        pool.borrow("m", {})

    assert pool.borrow("m", {}).loaded.name == "m"


def test_a_foreign_error_while_opening_becomes_one_of_ours():
    def fail(_):
        raise RuntimeError("the runtime is in a bad mood")

    with pytest.raises(EngineError, match="RuntimeError: the runtime is in a bad mood"):
        ModelPool(FakeOpener(before=fail)).borrow("m", {})


def test_closing_the_pool_closes_every_model():
    pool = ModelPool(FakeOpener())
    models = [pool.borrow(name, {}).loaded for name in "abc"]

    pool.close()

    assert all(model.is_closed for model in models)


def test_figures_of_one_model_id_are_added_up():
    pool = ModelPool(FakeOpener())
    pool.borrow("m", {})
    pool.borrow("m", {"backend": "onnx"})

    (figures,) = pool.figures().values()

    assert (figures.items, figures.batch_fill, figures.stage_ms) == (2, 0.75, {"decode": 4.0})
    assert figures.to_record()["stage_share"]["decode"] == 1.0


def test_fifty_loads_and_unloads_keep_memory_flat():
    """Two real models that never fit together, so that each load unloads the other."""
    pool = ModelPool(Opener("cpu", 1, 0.01, (MODELS,)), budget_bytes=1)
    packages = [str(MODELS / "digits" / name) for name in ("onnx-fp32", "onnx-int8")]
    for package in packages * 5:
        use(pool, package, backend="onnx")
    before = resident_bytes()

    for package in packages * 25:
        use(pool, package, backend="onnx")

    assert len(pool.names()) == 1
    assert resident_bytes() - before < 0.05 * before
    pool.close()


def test_what_a_model_costs_is_at_least_its_weights():
    grown = iter([100, 50])
    opener = Opener("cpu", 1, 0.01, (MODELS,), used_bytes=lambda: next(grown))

    loaded = opener.open(opener.plan(str(MODELS / "digits/onnx-fp32"), {}, tuple))

    assert loaded.cost_bytes == (MODELS / "digits/onnx-fp32/model.onnx").stat().st_size
    loaded.close()


def test_a_model_begins_with_the_batch_size_that_the_fleet_has_learned():
    asked = []

    def learned(build):
        asked.append(build)
        return 3

    opener = Opener("cpu", 1, 0.01, (MODELS,), learned_batch=learned)

    loaded = opener.open(opener.plan(str(MODELS / "digits/onnx-fp32"), {"batch_size": 8, "backend": "onnx"}, tuple))

    assert loaded.batcher.max_batch_size == 3
    assert asked == [ModelBuild(loaded.model.package.digest, "onnx", "fp32")]
    loaded.close()


def test_everything_that_a_job_may_wish_reaches_negotiation_and_session():
    asked = read_wishes(
        {
            "strategy": "measured",
            "measuring_budget_s": 5,
            "backend": ["onnx", "torch"],
            "backend_order": ["torch", "onnx"],
            "quantization": "fp32",
            "batch_size": [1, 8],
            "package_id": "digits-onnx-fp32",
            "execution_providers": [["CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"}]],
            "nms_fusion": {"max_detections": [10, 300]},
        },
        "cpu",
    )

    wished = asked.wishes
    assert (asked.strategy, asked.budget_s, asked.order) == ("measured", 5.0, ("torch", "onnx"))
    assert (wished.backend, wished.quantization, wished.batch_size) == (("onnx", "torch"), "fp32", (1, 8))
    assert (wished.device, wished.package_id) == ("cpu", "digits-onnx-fp32")
    assert wished.execution_providers == asked.session.execution_providers == ("CPUExecutionProvider",)
    assert asked.session.provider_options == {"CPUExecutionProvider": {"arena_extend_strategy": "kSameAsRequested"}}
    assert wished.nms_fusion == NmsFusion(max_detections=(10, 300))


def test_without_wishes_the_order_of_backends_decides_on_the_workers_own_device():
    asked = read_wishes({}, "cuda:0")

    assert (asked.strategy, asked.order, asked.wishes.device) == ("order", BACKEND_ORDER, "cuda:0")


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"strategy": "luck"}, "expected order or measured, found 'luck'"),
        ({"speed": "high"}, "no wish is called 'speed'"),
        ({"trust": True}, "never by a job"),
        ({"allow_local_code_packages": True}, "never by a job"),
        ({"backend": "onxx"}, "backend must be some of"),
    ],
    ids=["strategy", "unknown", "trust", "own code", "no such backend"],
)
def test_a_wish_that_cannot_be_is_refused(wishes, words):
    with pytest.raises(ParameterInvalid, match=words):
        read_wishes(wishes, "cpu")


def test_trust_is_the_workers_own():
    assert read_wishes({"backend": "torch"}, "cpu", TrustPolicy(allows_compiled=True)).wishes.trust.allows_compiled


def test_a_model_is_opened_as_its_job_wishes():
    opener = Opener("cpu", 1, 0.01, (MODELS,))
    wishes = {
        "package_id": "digits-onnx-int8",
        "backend_order": ["onnx"],
        "execution_providers": ["CPUExecutionProvider"],
    }

    loaded = opener.open(opener.plan("digits", wishes, tuple))

    chosen = loaded.model.decision.chosen
    assert (chosen.package_id, chosen.backend) == ("digits-onnx-int8", "onnx")
    loaded.close()


def test_a_package_that_the_operator_does_not_trust_is_refused_with_what_would_admit_it():
    with pytest.raises(NoRunnableBackend, match="--allow-code, NIGHTSHIFT_ALLOW_LOCAL_CODE_PACKAGES=true"):
        Opener("cpu", 1, 0.01).plan(str(EXAMPLES / "custom_package"), {}, tuple)


def test_custom_code_that_cannot_be_called_is_refused_with_what_a_job_needs():
    opener = Opener("cpu", 1, 0.01, trust=TrustPolicy(allows_local_code=True))

    plan = opener.plan(str(EXAMPLES / "custom_package"), {}, tuple)

    with pytest.raises(PackageInvalid, match=r"BrightnessModel cannot be called; a job needs __call__\(images"):
        opener.open(plan)


@pytest.mark.parametrize("strategy", ["order", "measured"])
def test_a_custom_model_takes_its_own_parameters_and_no_others(strategy):
    opener = Opener("cpu", 1, 0.01, trust=TrustPolicy(allows_local_code=True))
    wishes = {"strategy": strategy}
    loaded = opener.open(
        opener.plan(str(EXAMPLES / "custom_detector"), wishes, lambda: [np.zeros((8, 8, 3), np.uint8)])
    )

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
    loaded = [opener.open(opener.plan("digits", wishes, samples)) for _ in range(2)]

    decision = loaded[0].model.decision
    tuned = decision.chosen.measurement.setting
    assert decision.strategy == "measured"
    assert loaded[0].batcher.max_batch_size == tuned.batch
    assert len(asked) == 2
    assert loaded[1].model.decision.chosen.key == decision.chosen.key
    assert list(tmp_path.iterdir())
    for model in loaded:
        model.close()
