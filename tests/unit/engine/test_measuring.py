"""Strategy `measured`, on packages of constant answers: who is compared, refused, chosen and remembered."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference_engine import AutoModel
from inference_engine.errors import NoRunnableBackend, ParameterInvalid
from inference_engine.loading import decide, measured_options, open_decided
from inference_engine.machine import probe_machine
from inference_engine.measuring import measure, resolve
from inference_engine.negotiation import Wishes
from inference_engine.resolution_cache import ResolutionCache, machine_fingerprint, resolution_key
from inference_engine.sessions import SessionOptions
from inference_engine.tuning import Limits

#: Two boxes of class 0 and 1 at (8, 8) and (24, 24), 8 pixels wide; rows as YOLOv8 has them.
HEAD = np.array([[8, 24, 0], [8, 24, 0], [8, 8, 0], [8, 8, 0], [0.9, 0, 0], [0, 0.8, 0]], np.float32)
ELSEWHERE = np.array([[20, 5, 0], [4, 24, 0], [8, 8, 0], [8, 8, 0], [0.9, 0, 0], [0, 0.8, 0]], np.float32)
PICTURES = [np.full((32, 32, 3), shade, np.uint8) for shade in (0, 90, 200)]
LIMITS = Limits(2, 2)


@pytest.fixture
def decided(write_package, tmp_path):
    """A function that writes packages of one model and decides by order."""

    def write(wishes=None, **packages):
        for name, changes in packages.items():
            write_package(f"pets/{name}", **({"head": HEAD} | changes))
        return decide(str(tmp_path / "pets"), wishes or Wishes())

    return write


def measured(decision, limits=LIMITS, images=PICTURES):
    """Short slices, and time enough for all to have their turn whatever else this machine does."""
    return measure(decision, images, 120.0, limits, slice_s=0.01)


def codes(decision, package_id):
    return {reason.code for c in decision.candidates if c.package_id == package_id for reason in c.reasons}


def test_the_fastest_that_agrees_is_chosen_and_all_have_their_figures(decided):
    found = measured(decided(full={}))

    runnable = [c for c in found.candidates if c.verdict != "rejected" and c.backend in ("onnx", "openvino")]
    speeds = [c.measurement.images_per_s for c in runnable]
    assert found.strategy == "measured"
    assert {c.backend for c in runnable} == {"onnx", "openvino"}
    assert found.chosen is found.candidates[0]
    assert speeds == sorted(speeds, reverse=True)
    assert [r.code for c in runnable[1:] for r in c.reasons] == ["slower"] * (len(runnable) - 1)
    for candidate in runnable:
        curve = {point.setting: point.images_per_s for point in candidate.measurement.curve}
        assert curve[candidate.measurement.setting] == max(curve.values()) == candidate.measurement.images_per_s
        assert {(setting.streams, setting.threads) for setting in curve} == {(1, 2), (2, 1)}
        is_reference = candidate.key == found.measured.reference
        assert is_reference or candidate.measurement.agreement.agrees


def test_a_candidate_that_disagrees_is_refused_with_the_figures(decided):
    decision = decided(full={}, small={"quantization": "int8", "head": ELSEWHERE})

    found = measured(decision)

    small = [c for c in found.candidates if c.package_id == "small"]
    assert found.chosen.package_id == "full"
    assert {c.verdict for c in small} == {"rejected"}
    assert codes(found, "small") == {"outputs_disagree"}
    assert {c.measurement.agreement.share for c in small} == {0.0}
    assert "0.0% of 12 boxes" in small[0].reasons[0].message


def test_the_reference_is_of_full_precision_whatever_comes_first(decided):
    decision = decided(a={"quantization": "int8"}, z={})

    found = measured(decision)

    assert found.measured.reference[0::3] == ("z", "fp32")
    assert codes(found, "a") <= {"slower"}


def test_a_lower_precision_is_not_taken_where_nothing_was_found_to_judge_it_by(decided):
    decision = decided(full={"head": np.zeros((6, 4))}, small={"quantization": "int8", "head": np.zeros((6, 4))})

    found = measured(decision)

    assert found.chosen.quantization == "fp32"
    assert codes(found, "small") == {"outputs_not_compared"}


def test_a_lower_precision_that_was_asked_for_needs_no_evidence(decided):
    decision = decided(Wishes(quantization="int8"), small={"quantization": "int8", "head": np.zeros((6, 4))})

    found = measured(decision)

    assert found.chosen.quantization == "int8"
    assert codes(found, "small") <= {"slower"}


def test_outputs_that_cannot_be_right_are_a_reason_and_never_the_reference(decided, write_package):
    decision = decided(a={}, b={})
    # Behind the reader's back, which refuses weights that are not finite.
    write_package("pets/a", head=np.full((6, 4), np.nan))

    found = measured(decision)

    assert found.chosen.package_id == "b"
    assert codes(found, "a") == {"run_failed"}


def test_a_model_that_is_unsure_of_the_pictures_is_compared_at_a_lower_confidence(decided):
    faint = HEAD * np.array([[1], [1], [1], [1], [0.1], [0.1]], np.float32)

    decision = decided(full={"head": faint}, small={"quantization": "int8", "head": faint})

    found = measured(decision, images=None)

    compared = [c.measurement.agreement.compared for c in found.candidates if c.package_id == "small"]
    assert found.measured.source == "generated"
    assert compared
    assert min(compared) >= 16


def test_what_does_not_open_is_refused_and_the_next_one_is_the_reference(decided, tmp_path):
    decided(a={}, b={})
    decision = decide(str(tmp_path / "pets"), Wishes())
    (tmp_path / "pets" / "a" / "model.onnx").write_bytes(b"no model")

    found = measured(decision)

    assert found.chosen.package_id == "b"
    assert codes(found, "a") == {"open_failed"}


def test_when_the_time_is_over_the_reference_alone_is_measured(decided):
    found = measure(decided(full={}), PICTURES, 0.0, LIMITS)

    assert found.chosen.key == found.measured.reference
    assert not found.measured.is_complete
    assert codes(found, "full") == {"not_measured"}


def test_a_lower_precision_that_was_not_measured_never_steps_in(decided):
    machine = replace(probe_machine(), cpu_features=("avx512_bf16",))
    decided(full={})
    decision = decide(str(decided().packages["full"].weights.parent), Wishes(), machine=machine)
    found = measure(decision, PICTURES, 0.0, LIMITS)

    tried = []
    while found.chosen:
        tried.append(found.chosen.quantization)
        found = found.without(found.chosen, replace(found.candidates[-1].reasons[0], code="open_failed"))

    assert set(tried) == {"fp32"}


def test_wishes_hold_while_measuring(decided):
    found = measured(decided(Wishes(backend="onnx", batch_size=3), full={}))

    settings = [point.setting for point in found.chosen.measurement.curve]
    assert found.chosen.backend == "onnx"
    assert {setting.batch for setting in settings} == {3}
    assert codes(found, "full") == {"backend_not_wanted"}


def test_a_measured_decision_opens_as_it_was_measured(decided):
    found = measured(decided(full={}), Limits(2, 1))
    setting = found.chosen.measurement.setting

    model = open_decided(found)

    assert measured_options(found.chosen, SessionOptions()) == SessionOptions(threads=setting.threads, concurrency=1)
    assert (model.session.concurrency, model.batch_size) == (setting.streams, setting.batch)
    assert [len(prediction) for prediction in model(PICTURES)] == [2, 2, 2]


def test_the_record_of_a_measured_decision_is_json(decided):
    found = measured(decided(full={}))

    record = json.loads(json.dumps(found.to_record(), allow_nan=False))

    assert record["strategy"] == "measured"
    assert record["measured"]["images"] == 3
    assert record["candidates"][0]["measurement"]["images_per_s"] > 0


def test_one_line_measures_opens_and_remembers(decided, tmp_path):
    decided(full={})
    ask = {"strategy": "measured", "samples": PICTURES, "budget_s": 12.0, "cache_dir": tmp_path / "cache"}

    first = AutoModel.from_pretrained(tmp_path / "pets", **ask)
    again = AutoModel.from_pretrained(tmp_path / "pets", **ask)

    assert not first.decision.measured.is_remembered
    assert again.decision.measured.is_remembered
    assert again.decision.candidates == first.decision.candidates
    assert len(again(PICTURES[0])[0]) == 2


def test_an_unknown_strategy_and_samples_without_measuring_are_refused(decided, tmp_path):
    decided(full={})

    with pytest.raises(ParameterInvalid, match="order, measured"):
        AutoModel.from_pretrained(tmp_path / "pets", strategy="fastest")
    with pytest.raises(ParameterInvalid, match="samples"):
        AutoModel.from_pretrained(tmp_path / "pets", samples=PICTURES)


def test_nothing_that_runs_is_still_the_table_of_reasons(decided, tmp_path):
    decided(full={"backend_type": "coreml"})

    with pytest.raises(NoRunnableBackend, match="unknown_kind"):
        AutoModel.from_pretrained(tmp_path / "pets", strategy="measured")


class Clock:
    now = 1e9

    def __call__(self):
        return self.now


@pytest.fixture
def remembered(decided, tmp_path):
    """A cache with one answer, its clock, its key and the decision that was asked about."""
    decision, clock = decided(full={}), Clock()
    cache = ResolutionCache(tmp_path / "cache", expiry_s=100, clock=clock)
    machine = probe_machine()
    found = measured(decision)
    cache.write(resolution_key(decision, machine, LIMITS, "given"), found)
    return cache, clock, resolution_key(decision, machine, LIMITS, "given"), decision, found


def test_an_answer_comes_back_whole(remembered):
    cache, _, key, decision, found = remembered

    back = cache.read(key, decision)

    assert back == replace(found, measured=replace(found.measured, is_remembered=True))
    assert back.packages == decision.packages


def test_an_answer_is_forgotten_when_it_is_old_or_from_the_future(remembered):
    cache, clock, key, decision, _ = remembered

    clock.now += 101
    old = cache.read(key, decision)
    clock.now -= 202

    assert old is None
    assert cache.read(key, decision) is None


def _entry(change):
    def damage(path):
        entry = json.loads(path.read_text(encoding="utf-8"))
        change(entry)
        path.write_text(json.dumps(entry), encoding="utf-8")

    return damage


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a list": lambda path: path.write_text("[]"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "another schema": _entry(lambda e: e.update(schema_version=0)),
    "another key": _entry(lambda e: e.update(key="0" * 64)),
    "no candidates": _entry(lambda e: e.update(candidates=[])),
    "no chosen one": _entry(lambda e: e["candidates"][0].update(verdict="runnable")),
    "another verdict": _entry(lambda e: e["candidates"][0].update(verdict="perhaps")),
    "a field too many": _entry(lambda e: e["candidates"][0].update(api_key="x")),
    "a candidate that is not there": _entry(lambda e: e["candidates"][0].update(package_id="other")),
    "half a measurement": _entry(lambda e: e["candidates"][0]["measurement"].pop("curve")),
    "no measurement": _entry(lambda e: e.pop("measured")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_answer_is_no_answer_and_is_written_anew(remembered, damage):
    cache, _, key, decision, found = remembered
    damage(cache.folder / f"{key}.json")

    assert cache.read(key, decision) is None
    cache.write(key, found)
    assert cache.read(key, decision) is not None


def test_an_answer_cannot_bring_back_what_is_rejected_today(remembered):
    cache, _, key, decision, found = remembered
    today = decision.without(
        next(c for c in decision.candidates if c.key == found.chosen.key),
        replace(decision.candidates[1].reasons[0], code="broken_runtime"),
    )

    assert cache.read(key, today) is None


def test_no_half_written_file_stays_and_no_path_is_in_the_answer(remembered, tmp_path):
    cache, _, key, _, _ = remembered

    assert [path.name for path in cache.folder.iterdir()] == [f"{key}.json"]
    assert str(tmp_path) not in (cache.folder / f"{key}.json").read_text(encoding="utf-8")


def test_a_measurement_that_was_cut_short_is_not_remembered(decided, tmp_path):
    cache = ResolutionCache(tmp_path / "cache")

    resolve(decided(full={}), probe_machine(), PICTURES, budget_s=0.0, limits=LIMITS, cache=cache)

    assert not cache.folder.exists()


def test_the_key_hangs_on_all_that_matters(decided):
    machine, decision = probe_machine(), decided(full={})
    package = decision.packages["full"]
    other = {
        "as it is": (decision, machine, LIMITS, "given"),
        "package": (
            replace(decision, packages={"full": replace(package, digest="1" * 64)}),
            machine,
            LIMITS,
            "given",
        ),
        "wishes": (replace(decision, wishes=Wishes(quantization="fp32")), machine, LIMITS, "given"),
        "order": (replace(decision, order=("onnx",)), machine, LIMITS, "given"),
        "runtime": (decision, replace(machine, packages={"openvino": "1"}), LIMITS, "given"),
        "machine": (decision, replace(machine, cpu_name="another"), LIMITS, "given"),
        "limits": (decision, machine, Limits(2, 1), "given"),
        "samples": (decision, machine, LIMITS, "generated"),
        "options": (decision, machine, LIMITS, "given", SessionOptions(execution_providers=("CPUExecutionProvider",))),
    }

    keys = {name: resolution_key(*question) for name, question in other.items()}

    assert len(set(keys.values())) == len(keys)
    moved = replace(decision, packages={"full": replace(package, weights=Path("elsewhere.onnx"))})
    assert resolution_key(moved, machine, LIMITS, "given") == keys["as it is"]


def test_some_megabytes_of_memory_make_no_other_machine():
    machine = replace(probe_machine(), memory_bytes=(8 << 30) + (100 << 20))

    assert machine_fingerprint(machine) == machine_fingerprint(replace(machine, memory_bytes=(8 << 30) + 1))
    assert machine_fingerprint(machine) != machine_fingerprint(replace(machine, memory_bytes=16 << 30))
