"""Machines x packages: what runs where, and exactly which codes stand against what does not."""

import pytest

from inference_engine.backends import offers
from inference_engine.negotiation import REASON_CODES, Wishes, negotiate
from inference_engine.trust import TrustPolicy
from tests.fixtures.negotiation import TABLE
from tests.fixtures.negotiation.machines import ADA, CPU, FORWARD, TWO, plan


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_each_machine_and_package_has_exactly_these_verdicts(make_package, row):
    on, package, wishes, expected = row
    wished = Wishes(**{"trust": TrustPolicy(allows_compiled=True)} | wishes)

    # OpenVINO opens ONNX packages too: the table leaves it out where it is not installed.
    offered = {name: offer for name, offer in offers(on).items() if name != "openvino" or "openvino" in on.packages}

    decision = negotiate("m", [make_package("it", **package)], offered, wished, machine=on)

    own = [c for c in decision.candidates if not c.is_lowered]
    found = {f"{c.backend} {c.device}": " ".join(sorted(r.code for r in c.reasons)) or c.verdict for c in own}
    assert found == expected
    assert {c.verdict for c in own if "lower_in_order" not in found[f"{c.backend} {c.device}"]} <= {
        "chosen",
        "rejected",
    }


def test_the_table_shows_every_code_that_judging_gives():
    shown = {code for row in TABLE.values() for codes in row[3].values() for code in codes.split()} - {"chosen"}
    measured = {"slower", "outputs_disagree", "outputs_not_compared", "run_failed", "not_measured"}

    assert shown == REASON_CODES.keys() - measured - {"package_invalid", "open_failed", "lower_precision"}
    assert len(TABLE) >= 60


def test_the_hint_names_the_gpu_that_fits(make_package):
    decision = negotiate("m", [make_package("it", **plan())], offers(TWO), machine=TWO)

    assert 'device="cuda:1" fits' in str(decision)


def test_the_order_of_wished_backends_and_precisions_is_the_order_of_candidates(make_package):
    packages = [make_package(name, quantization=name) for name in ("fp32", "int8")]
    wishes = Wishes(backend=("onnx", "openvino"), quantization=("int8", "fp32"))

    decision = negotiate("m", packages, offers(CPU), wishes, machine=CPU)

    found = [(c.backend, c.quantization) for c in decision.candidates]
    assert found == [("onnx", "int8"), ("onnx", "fp32"), ("openvino", "int8"), ("openvino", "fp32")]


def test_a_plan_of_this_version_comes_before_one_that_newer_versions_read(make_package):
    packages = [make_package("a", **plan(**FORWARD)), make_package("b", **plan())]
    wishes = Wishes(trust=TrustPolicy(allows_compiled=True))

    assert negotiate("m", packages, offers(ADA), wishes, machine=ADA).chosen.package_id == "b"
