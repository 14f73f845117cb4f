"""The Roboflow provider against a server that speaks its contract, faults included."""

import hashlib

import numpy as np
import pytest

from inference_engine import AutoModel, explain
from inference_engine.errors import (
    AccessPaused,
    AnswerInvalid,
    DownloadRefused,
    Forbidden,
    ModelNotFound,
    NoRunnableBackend,
    PaymentRequired,
    ProviderError,
    ProviderUnavailable,
    Unauthorized,
)
from inference_engine.providers import roboflow
from inference_engine.testing_server import WEIGHTS_PATH

KEY = "rf_secret_0123456789"
IMAGE = np.zeros((8, 8, 3), np.uint8)


def paths(server):
    return [request.path for request in server.requests]


def test_a_model_is_chosen_by_its_metadata_and_only_then_fetched(server, serve_model, remote):
    big = server.onnx_package(
        "big", {}, packageFiles=[{"fileHandle": "weights.onnx", "downloadUrl": server.url + "/big"}]
    )
    big["packageManifest"] = big["packageManifest"] | {"quantization": "int8"}
    serve_model(extra=[big])

    decision = explain("rf://pets/1", provider_options=remote())
    assert decision.chosen.package_id == "abc"
    assert paths(server) == [WEIGHTS_PATH]
    model = AutoModel.from_pretrained("rf://pets/1", provider_options=remote())

    assert len(model(IMAGE)) == 1
    assert (model.package.model_id, model.package.package_id) == ("pets/1", "abc")
    assert "/big" not in paths(server)


def test_a_plain_id_goes_to_the_provider_that_was_named(serve_model, remote):
    serve_model("pets/1")

    assert explain("pets/1", provider_options=remote(weights_provider="roboflow")).model_id == "pets/1"
    with pytest.raises(ModelNotFound):
        explain("pets/1", provider_options=remote())


def test_peer_defect_23_a_folder_of_the_working_directory_never_stands_in_for_an_id(
    serve_model, remote, write_package, tmp_path, monkeypatch
):
    serve_model("toy/1")
    write_package("toy/1", package_id="shadow")
    monkeypatch.chdir(tmp_path)

    model = AutoModel.from_pretrained("toy/1", provider_options=remote(weights_provider="roboflow"))

    assert model.package.package_id == "abc"


def test_the_key_goes_to_the_metadata_and_never_to_a_file(server, serve_model, remote):
    serve_model()
    server.keys = {KEY}

    AutoModel.from_pretrained("rf://pets/1", provider_options=remote(api_keys={"roboflow": KEY}))

    sent = {request.path: request.headers.get("authorization") for request in server.requests}
    assert sent.pop(WEIGHTS_PATH) == f"Bearer {KEY}"
    assert len(sent) == 3
    assert set(sent.values()) == {None}


def test_public_models_are_asked_for_without_a_key(server, serve_model, remote):
    serve_model()

    explain("rf://pets/1", provider_options=remote())

    assert "authorization" not in server.requests[0].headers


def test_a_redirect_of_the_metadata_is_not_followed(server, serve_model, remote):
    serve_model()
    server.faults[WEIGHTS_PATH] = [(302, {"Location": f"{server.url}/elsewhere"})]

    with pytest.raises(ProviderError, match="302"):
        explain("rf://pets/1", provider_options=remote(api_keys={"roboflow": KEY}))

    assert paths(server) == [WEIGHTS_PATH]


def test_peer_defect_24_no_key_and_no_signed_address_is_in_any_file(server, serve_model, remote, tmp_path):
    entry = serve_model()
    for file in entry["packageFiles"]:
        file["downloadUrl"] += "?X-Amz-Signature=signed_0123456789"
    server.keys = {KEY}

    AutoModel.from_pretrained("rf://pets/1", provider_options=remote(api_keys={"roboflow": KEY}))

    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    traces = (KEY, "signed_0123456789", hashlib.sha256(KEY.encode()).hexdigest())
    assert len(files) > 5
    assert not [path for path in files for trace in traces if trace.encode() in path.read_bytes() + str(path).encode()]
    assert KEY not in repr(remote(api_keys={"roboflow": KEY}))


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Unauthorized), (402, PaymentRequired), (403, Forbidden), (404, ModelNotFound), (423, AccessPaused)],
)
def test_each_refusal_is_an_error_of_its_own_and_not_tried_again(server, serve_model, remote, status, error):
    serve_model()
    server.faults[WEIGHTS_PATH] = [(status, {})]

    with pytest.raises(error, match=str(status)):
        explain("rf://pets/1", provider_options=remote())

    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_peer_defect_9_metadata_is_asked_for_again_after_a_passing_status(server, serve_model, remote, status):
    serve_model()
    server.faults[WEIGHTS_PATH] = [(status, {"Retry-After": "0"})]

    assert explain("rf://pets/1", provider_options=remote()).chosen

    assert len(server.requests) == 2


def test_peer_defect_26_twelve_pages_are_read_to_the_end(server, serve_model, remote):
    packages = [server.onnx_package(f"p{number}", {}, packageFiles=[file(server)]) for number in range(11)]
    serve_model(extra=packages)
    server.page_size = 1

    decision = explain("rf://pets/1", provider_options=remote())

    assert len({candidate.package_id for candidate in decision.candidates}) == 12
    assert [request.query.get("startAfter") for request in server.requests] == [None, *map(str, range(1, 12))]


def test_pages_that_go_in_a_circle_are_refused(server, serve_model, remote):
    serve_model()
    facts, packages = server.models["pets/1"]
    server.models["pets/1"] = (facts | {"nextPage": "0"}, packages)

    with pytest.raises(AnswerInvalid, match="no end"):
        explain("rf://pets/1", provider_options=remote())


def file(server):
    return {"fileHandle": "weights.onnx", "downloadUrl": f"{server.url}/x", "md5Hash": "0" * 32}


MANIFEST = {"type": "onnx-model-package-v1", "dynamicBatchSize": True, "staticBatchSize": None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "external-model-package-v9"}, "external-model-package-v9"),
        ({"packageManifest": {"type": "mediapipe-model-package-v1"}}, "mediapipe-model-package-v1"),
        ({"packageManifest": None}, "manifest type None"),
        ({"packageManifest": MANIFEST | {"staticBatchSize": 4}}, "contradict"),
        ({"packageManifest": MANIFEST | {"dynamicBatchSize": False}}, "contradict"),
        ({"packageManifest": MANIFEST | {"dynamicBatchSize": False, "staticBatchSize": 0}}, "staticBatchSize"),
        ({"packageManifest": MANIFEST | {"type": "trt-model-package-v1", "minBatchSize": 4}}, "min <= opt <= max"),
        ({"packageManifest": MANIFEST | {"quantization": "int3"}}, "int3"),
        ({"packageFiles": []}, "files"),
        ({"packageFiles": "weights.onnx"}, "packageFiles"),
        ({"packageFiles": [{"fileHandle": "../weights.onnx", "downloadUrl": "https://h/x"}]}, "file name"),
        ({"packageFiles": [{"fileHandle": "weights.onnx"}]}, "downloadUrl"),
        ({"packageFiles": [{"fileHandle": "w", "downloadUrl": "https://h/x", "md5Hash": "short"}]}, "md5"),
        ({"packageId": "../bad"}, "packageId"),
        ({"modelFeatures": [1]}, "modelFeatures"),
    ],
)
def test_a_package_we_cannot_read_is_a_rejected_candidate_and_the_others_run(
    server, serve_model, remote, change, words
):
    bad = server.onnx_package("bad", {}, packageFiles=[file(server)]) | change
    serve_model(extra=[bad, "nonsense"])

    decision = explain("rf://pets/1", provider_options=remote())

    assert decision.chosen.package_id == "abc"
    rejected = [c.reasons[0] for c in decision.candidates if c.reasons and c.reasons[0].code == "package_invalid"]
    assert len(rejected) == 2
    assert any(words in reason.message for reason in rejected)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"modelMetadata": []}'])
def test_an_answer_of_another_form_is_said_to_be_one(server, remote, body):
    options = remote(hosts={"roboflow": server.url + "/other"})
    server.add_file("/other" + WEIGHTS_PATH, body)

    with pytest.raises(AnswerInvalid):
        roboflow.find("pets/1", options)


TRT = {
    "type": "trt-model-package-v1",
    "dynamicBatchSize": True,
    "minBatchSize": 1,
    "optBatchSize": 8,
    "maxBatchSize": 16,
    "quantization": "fp16",
    "trtVersion": "10.3.0",
    "cudaDeviceCC": "8.6",
}


@pytest.mark.parametrize(
    ("manifest", "kind", "batch"),
    [
        (TRT, "trt", (None, 16)),
        ({"type": "torch-model-package-v1", "dynamicBatchSize": False, "staticBatchSize": 2}, "torch", (2, 2)),
        ({"type": "torch-script-model-package-v1", "dynamicBatchSize": True}, "torch-script", (None, 64)),
        ({"type": "hf-model-package-v1", "quantization": "bf16"}, "hf", (None, 64)),
    ],
)
def test_each_type_of_manifest_becomes_metadata_before_anything_is_fetched(server, remote, manifest, kind, batch):
    server.add_model("pets/1", [server.onnx_package("p", {}, packageManifest=manifest, packageFiles=[file(server)])])

    (package,) = roboflow.find("pets/1", remote()).packages

    assert (package.kind, (package.static_batch_size, package.max_batch_size)) == (kind, batch)
    assert package.manifest == manifest
    assert package.quantization == manifest.get("quantization", "unknown")


def test_an_architecture_we_do_not_know_is_rejected_before_anything_is_fetched(server, serve_model, remote):
    entry = serve_model()
    server.add_model("pets/1", [entry], modelArchitecture="oracle")

    with pytest.raises(NoRunnableBackend, match="architecture 'oracle'"):
        AutoModel.from_pretrained("rf://pets/1", provider_options=remote())

    assert paths(server) == [WEIGHTS_PATH]


def test_a_file_without_a_hash_is_refused_unless_allowed(serve_model, remote):
    entry = serve_model()
    del entry["packageFiles"][0]["md5Hash"]

    with pytest.raises(DownloadRefused, match="allow_files_without_hash"):
        AutoModel.from_pretrained("rf://pets/1", provider_options=remote())

    assert AutoModel.from_pretrained("rf://pets/1", provider_options=remote(allow_files_without_hash=True))


def test_a_file_that_stays_wrong_is_fetched_twice_and_then_refused(server, serve_model, remote):
    entry = serve_model()
    entry["packageFiles"][0]["md5Hash"] = "0" * 32

    with pytest.raises(NoRunnableBackend, match="the provider says"):
        AutoModel.from_pretrained("rf://pets/1", provider_options=remote())

    assert len(server.asked("/abc/weights.onnx")) == 2


def test_a_provider_that_is_down_with_nothing_on_disk_is_unavailable(server, remote):
    server.stop()

    with pytest.raises(ProviderUnavailable, match="does not answer"):
        explain("rf://pets/1", provider_options=remote())


@pytest.mark.parametrize("model_id", ["", "a b", "../x", "x?y=1", "a/b/c/d/e", "é"])
def test_what_is_no_id_is_not_asked_for(server, remote, model_id):
    with pytest.raises(ModelNotFound):
        roboflow.find(model_id, remote())

    assert not server.requests
