"""The hub's provider against a small hub on this machine."""

import hashlib
import json

import numpy as np
import pytest

from inference_engine import AutoModel, explain
from inference_engine.errors import Forbidden, ModelNotFound, ProviderUnavailable
from inference_engine.providers import huggingface

COMMIT = "c0ffee" * 6 + "0000"
KEY = "hf_secret_0123456789"


def blob_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@pytest.fixture
def publish(server):
    """A function that serves a repository: its listing at a revision, its files at the commit only."""

    def run(files, repository="org/pets", revision="main"):
        siblings = []
        for name, data in files.items():
            server.add_file(f"/{repository}/resolve/{COMMIT}/{name}", data)
            sibling = {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
            if name.endswith((".onnx", ".safetensors")):
                sibling["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(sibling)
        listing = {"id": repository, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
        path = f"/api/models/{repository}/revision/{revision}"
        server.add_file(path, json.dumps(listing).encode(), content_type="application/json")
        return path

    return run


@pytest.fixture
def hub(server, remote):
    def make(**changes):
        return remote(**{"hosts": {"huggingface": server.url}, "api_keys": {"huggingface": KEY}} | changes)

    return make


def test_a_package_of_ours_on_the_hub_runs_at_the_commit_that_its_revision_means(server, publish, hub, write_package):
    files = {f"onnx/{path.name}": path.read_bytes() for path in write_package("x/onnx").iterdir()}
    publish({**files, "README.md": b"# pets"}, revision="v1")

    model = AutoModel.from_pretrained("hf://org/pets@v1", provider_options=hub())

    assert len(model(np.zeros((8, 8, 3), np.uint8))) == 1
    fetched = [request for request in server.requests if "/resolve/" in request.path]
    assert {request.path.split("/")[4] for request in fetched} == {COMMIT}
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


def test_every_file_of_a_repository_has_a_hash(publish, hub):
    config = json.dumps({"model_type": "vit", "torch_dtype": "float16", "architectures": ["ViTForImageClassification"]})
    publish(
        {
            "config.json": config.encode(),
            "model.safetensors": b"1234",
            "pytorch_model.bin": b"pickle",
            "README.md": b"",
            ".gitattributes": b"",
            "an image.png": b"",
        }
    )

    (package,) = huggingface.find("org/pets", hub()).packages

    assert (package.kind, package.architecture, package.quantization) == ("hf", "vit", "fp16")
    assert {file.name: file.hash.algorithm for file in package.files} == {
        "config.json": "git-sha1",
        "model.safetensors": "sha256",
    }
    assert package.manifest["commit"] == COMMIT


def test_without_a_key_none_is_sent(server, publish, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    publish({"config.json": b"{}"})

    huggingface.find("org/pets", hub(api_keys={}))

    assert not [request for request in server.requests if "authorization" in request.headers]


def test_a_repository_without_a_model_is_not_found(publish, hub):
    publish({"README.md": b"# nothing"})

    with pytest.raises(ModelNotFound, match=r"config\.json"):
        huggingface.find("org/pets", hub())


@pytest.mark.parametrize(("status", "error"), [(404, ModelNotFound), (403, Forbidden)])
def test_the_hubs_refusals_are_errors_of_ours(server, publish, hub, status, error):
    path = publish({"config.json": b"{}"})
    server.faults[path] = [(status, {})] * 9

    with pytest.raises(error, match=str(status)):
        huggingface.find("org/pets", hub())


def test_a_hub_that_is_down_is_unavailable(server, hub):
    server.stop()

    with pytest.raises(ProviderUnavailable):
        explain("hf://org/pets", provider_options=hub())


@pytest.mark.parametrize("model_id", ["", "pets", "org/pets/x", "org/pets@", "../x@1", "org/pets@a b"])
def test_what_is_no_repository_is_not_asked_for(server, hub, model_id):
    with pytest.raises(ModelNotFound, match="org/name"):
        huggingface.find(model_id, hub())

    assert not server.requests


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [("org/pets", ("org/pets", "main")), ("org/pets@refs/pr/1", ("org/pets", "refs/pr/1"))],
)
def test_a_revision_follows_the_at(model_id, expected):
    assert huggingface.split(model_id) == expected
