"""Packages behind a manifest on a web server or in a bucket."""

import hashlib
import json

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from inference_engine import AutoModel, explain
from inference_engine.errors import AnswerInvalid, ModelNotFound, ParameterInvalid
from inference_engine.providers import manifest

IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def make_manifest(write_package):
    """A function that gives a manifest and the files that it names, by their paths."""

    def make(**changes):
        folder = write_package("pets/onnx-fp32")
        data = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        files = [{"name": name, "sha256": hashlib.sha256(d).hexdigest(), "size": len(d)} for name, d in data.items()]
        package = {"package_id": "onnx-fp32", "backend_type": "onnx", "quantization": "fp32", "files": files} | changes
        facts = {
            "schema_version": 1,
            "model_id": "pets",
            "model_architecture": "yolov8",
            "task_type": "object-detection",
        }
        return facts | {"packages": [package]}, {f"onnx-fp32/{name}": d for name, d in data.items()}

    return make


@pytest.fixture
def bucket(monkeypatch):
    """The address of an S3 server with an empty bucket called `models`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    address = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket="models")
    yield address
    running.stop()


def publish(server, told, files):
    server.add_file("/shelf/manifest.json", json.dumps(told).encode(), content_type="application/json")
    for path, data in files.items():
        server.add_file(f"/shelf/{path}", data)
    return f"{server.url}/shelf/manifest.json"


def test_a_model_on_a_web_server_is_found_by_its_manifest(server, make_manifest, remote):
    address = publish(server, *make_manifest())

    model = AutoModel.from_pretrained(address, provider_options=remote(api_keys={"roboflow": "key"}))

    assert len(model(IMAGE)) == 1
    assert (model.package.model_id, model.package.package_id) == ("pets", "onnx-fp32")
    assert not [request for request in server.requests if "authorization" in request.headers]


def test_a_model_in_a_bucket_is_found_by_its_manifest(bucket, make_manifest, remote, tmp_path):
    told, files = make_manifest()
    client = boto3.client("s3", endpoint_url=bucket)
    client.put_object(Bucket="models", Key="pets/manifest.json", Body=json.dumps(told).encode())
    for path, data in files.items():
        client.put_object(Bucket="models", Key=f"pets/{path}", Body=data)
    options = remote(hosts={"s3": bucket})

    model = AutoModel.from_pretrained("s3://models/pets/manifest.json", provider_options=options)

    assert len(model(IMAGE)) == 1
    texts = [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not [text for text in texts if b"X-Amz" in text]
    with pytest.raises(ModelNotFound, match="404"):
        explain("s3://models/absent/manifest.json", provider_options=options)


def test_a_package_we_cannot_read_is_a_rejected_candidate(server, make_manifest, remote):
    told, files = make_manifest()
    told["packages"] += [
        {"package_id": "bad"},
        "nonsense",
        {**told["packages"][0], "package_id": "int3", "quantization": "int3"},
    ]

    decision = explain(publish(server, told, files), provider_options=remote())

    assert decision.chosen.package_id == "onnx-fp32"
    assert {c.package_id for c in decision.candidates if c.verdict == "rejected"} >= {"bad", "2", "int3"}


@pytest.mark.parametrize("path", ["../x", "/x", "https://elsewhere/x", "a/../../x"])
def test_a_manifest_cannot_point_outside_its_folder(server, make_manifest, remote, path):
    told, files = make_manifest()
    told["packages"][0]["files"][0]["path"] = path

    (why,) = manifest.find(publish(server, told, files), remote()).broken.values()

    assert "file name" in why


@pytest.mark.parametrize(
    "change", [{"static_batch_size": "4"}, {"opset": True}, {"files": None}, {"files": [{"name": "w", "size": "9"}]}]
)
def test_a_field_of_the_wrong_type_rejects_the_package(server, make_manifest, remote, change):
    address = publish(server, *make_manifest(**change))

    found = manifest.find(address, remote())

    assert (found.packages, list(found.broken)) == ((), ["onnx-fp32"])


def test_packages_that_are_no_list_are_refused(server, make_manifest, remote):
    told, files = make_manifest()

    with pytest.raises(AnswerInvalid, match="list"):
        manifest.find(publish(server, told | {"packages": 5}, files), remote())


@pytest.mark.parametrize("version", [None, 2, "1"])
def test_a_manifest_of_another_version_is_refused(server, make_manifest, remote, version):
    told, files = make_manifest()

    with pytest.raises(AnswerInvalid, match="schema_version"):
        manifest.find(publish(server, told | {"schema_version": version}, files), remote())


@pytest.mark.parametrize("tail", ["manifest.json?key=secret", "manifest.json#x", "model.onnx", ""])
def test_an_address_with_a_query_is_refused_since_it_would_be_kept_with_results(server, remote, tail):
    with pytest.raises(ParameterInvalid) as raised:
        manifest.find(f"{server.url}/{tail}", remote())

    assert "secret" not in str(raised.value)
    assert not server.requests
