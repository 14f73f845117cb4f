"""What packages with their own code and providers build upon: files, sessions, batches, downloads."""

import hashlib

import numpy as np
import onnxruntime
import pytest

from inference_engine.artifacts import open_artifact
from inference_engine.backends.parts.chunks import (
    generate_batch_chunks,
    run_in_batches,
    run_onnx_session_with_batch_size_limit,
)
from inference_engine.errors import (
    DownloadRefused,
    FileDamaged,
    ModelNotFound,
    NoRunnableBackend,
    PackageInvalid,
    ParameterInvalid,
    ProviderUnavailable,
    SessionFailed,
)
from inference_engine.file_downloads import download_files_to_directory
from inference_engine.finding import get_model_from_provider
from inference_engine.package_contents import get_model_package_contents
from inference_engine.remote_packages import FileHash, RemoteFile
from inference_engine.testing import ScriptedSession
from inference_engine.transport import Limits

LIMITS = Limits(wait_s=0.01, max_wait_s=0.05, connect_s=5, read_s=10, attempts=3)
HEAD = np.arange(24, dtype=np.float32).reshape(6, 4)


def counted(count):
    """A batch in which every image is told from the others."""
    return {"images": np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 3, 2, 2), np.float32)}


def test_files_of_a_package_are_given_by_name(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.onnx").write_bytes(b"")

    assert get_model_package_contents(tmp_path, ["parts/a.onnx"]) == {"parts/a.onnx": tmp_path / "parts" / "a.onnx"}


def test_all_missing_files_are_named_at_once(tmp_path):
    with pytest.raises(PackageInvalid, match=r"lacks a\.onnx, b\.json"):
        get_model_package_contents(tmp_path, ["a.onnx", "b.json"])


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "", "a\0b"])
def test_a_name_that_leaves_the_package_is_refused(tmp_path, name):
    with pytest.raises(ParameterInvalid, match="inside the package"):
        get_model_package_contents(tmp_path, [name])


@pytest.mark.parametrize("backend", [None, "onnx", "openvino"])
def test_a_bare_file_is_opened_as_a_session(write_onnx, backend):
    session = open_artifact(write_onnx(HEAD), input_hw=(32, 32), backend_name=backend)

    outputs = session.run({"images": np.zeros((2, 3, 32, 32), np.float32)})

    np.testing.assert_array_equal(outputs["output0"], np.stack([HEAD, HEAD]))
    session.close()


@pytest.mark.parametrize(
    ("name", "changes", "error", "told"),
    [
        ("model.onnx", {"backend_name": "torch"}, ParameterInvalid, "not onnx"),
        ("model.onnx", {"backend_name": "abacus"}, ParameterInvalid, "only hf, onnx"),
        ("model.bin", {}, ParameterInvalid, "ends in .onnx"),
        ("absent.onnx", {}, PackageInvalid, "no such file"),
        ("model.plan", {}, NoRunnableBackend, "tensorrt is not installed"),
        ("broken.onnx", {}, PackageInvalid, "not an ONNX model"),
    ],
)
def test_a_file_that_cannot_be_opened_is_our_error(write_onnx, tmp_path, name, changes, error, told):
    write_onnx(HEAD)
    for other in ("model.bin", "model.plan", "broken.onnx"):
        (tmp_path / other).write_bytes(b"nothing")

    with pytest.raises(error, match=told):
        open_artifact(tmp_path / name, input_hw=(32, 32), **changes)


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (4, [4]), (5, [4, 1]), (12, [4, 4, 4])])
def test_a_batch_is_cut_into_chunks_in_order(count, sizes):
    chunks = list(generate_batch_chunks(counted(count), 4))

    assert [len(chunk["images"]) for chunk in chunks] == sizes
    np.testing.assert_array_equal(np.concatenate([chunk["images"] for chunk in chunks]), counted(count)["images"])


@pytest.mark.parametrize("fewest", [1, 3, 4])
@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_any_number_of_images_runs_in_batches_that_the_session_takes(count, fewest):
    session = ScriptedSession(lambda image: image.mean(keepdims=True), input_hw=(2, 2))

    outputs = run_in_batches(session.run, counted(count), min_batch_size=fewest, max_batch_size=4)

    assert outputs["output0"].reshape(-1).tolist() == list(range(count))
    assert all(fewest <= size <= 4 for size in session.batch_sizes)


def test_an_onnx_session_runs_more_images_than_its_limit(write_onnx):
    session = onnxruntime.InferenceSession(str(write_onnx(HEAD, batch=4)), providers=["CPUExecutionProvider"])
    images = {"images": np.zeros((6, 3, 32, 32), np.float32)}

    outputs = run_onnx_session_with_batch_size_limit(session, images, 4, 4)

    assert outputs["output0"].shape == (6, 6, 4)
    with pytest.raises(SessionFailed, match="onnxruntime, batch of 6"):
        run_onnx_session_with_batch_size_limit(session, images)


@pytest.mark.parametrize(("fewest", "most"), [(0, 4), (1, 0), (5, 4), (True, 4), (1, 2.5)])
def test_sizes_that_cannot_be_are_refused(fewest, most):
    with pytest.raises(ParameterInvalid):
        run_in_batches(dict, counted(2), min_batch_size=fewest, max_batch_size=most)


def test_an_output_without_one_entry_an_image_is_refused():
    with pytest.raises(SessionFailed, match="one entry for each of 2 images"):
        run_in_batches(lambda _: {"mean": np.zeros(1)}, counted(2), max_batch_size=4)


def hashed(server, name, data, **changes):
    server.add_file(f"/files/{name}", data)
    fields = {
        "name": name,
        "source": f"{server.url}/files/{name}",
        "hash": FileHash("sha256", hashlib.sha256(data).hexdigest()),
    }
    return RemoteFile(**fields | changes)


def test_files_are_fetched_verified_and_not_asked_for_again(server, tmp_path):
    files = [hashed(server, "a.bin", b"a" * 9000), hashed(server, "parts/b.bin", b"b" * 10)]

    first = download_files_to_directory(tmp_path / "model", files, limits=LIMITS)
    again = download_files_to_directory(tmp_path / "model", files, limits=LIMITS)

    assert first == again == {name: tmp_path / "model" / name for name in ("a.bin", "parts/b.bin")}
    assert first["a.bin"].read_bytes() == b"a" * 9000
    assert len(server.asked("/files/a.bin")) == 1
    assert {path.name for path in (tmp_path / "model").rglob("*")} == {"a.bin", "parts", "b.bin"}


def test_the_peers_triples_are_taken(server, tmp_path):
    server.add_file("/files/a.bin", b"abc")
    triple = ("a.bin", f"{server.url}/files/a.bin", hashlib.md5(b"abc", usedforsecurity=False).hexdigest().upper())

    assert download_files_to_directory(tmp_path, [triple], limits=LIMITS)["a.bin"].read_bytes() == b"abc"


def test_what_an_interrupted_call_left_is_continued(server, tmp_path):
    data = bytes(range(256)) * 4000
    file = hashed(server, "a.bin", data)
    server.add_file("/files/a.bin", data, cut_after=[300_000] * 3)

    with pytest.raises(ProviderUnavailable):
        download_files_to_directory(tmp_path, [file], limits=LIMITS)
    assert not (tmp_path / "a.bin").exists()
    server.add_file("/files/a.bin", data)
    paths = download_files_to_directory(tmp_path, [file], limits=LIMITS)

    assert paths["a.bin"].read_bytes() == data
    assert server.asked("/files/a.bin")[3].headers["range"].startswith("bytes=")


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"hash": FileHash("sha256", "0" * 64)}, FileDamaged, "the provider says"),
        ({"hash": None}, DownloadRefused, "allow_files_without_hash=True"),
        ({"source": "ftp://host/a"}, DownloadRefused, "expected an https"),
        ({"source": "http://host.example/a"}, DownloadRefused, "expected an https"),
    ],
    ids=["another hash", "no hash", "ftp", "http"],
)
def test_a_file_that_cannot_be_verified_or_reached_safely_is_not_fetched(server, tmp_path, change, error, told):
    with pytest.raises(error, match=told):
        download_files_to_directory(tmp_path, [hashed(server, "a.bin", b"abc", **change)], limits=LIMITS)

    assert not (tmp_path / "a.bin").exists()


def test_a_file_without_a_hash_is_fetched_where_that_is_allowed(server, tmp_path):
    file = hashed(server, "a.bin", b"abc", hash=None)

    paths = download_files_to_directory(tmp_path, [file], limits=LIMITS, allow_files_without_hash=True)

    assert paths["a.bin"].read_bytes() == b"abc"


@pytest.mark.parametrize(
    "files",
    [
        [("a", "https://h/a", None), ("a", "https://h/b", None)],
        [("../a", "https://h/a", None)],
        [("a", "https://h/a", "short")],
        [("a", "https://h/a")],
        [7],
        [("a", "https://h/a", 7)],
    ],
    ids=["twice", "outside", "no hash", "two", "number", "number as hash"],
)
def test_files_that_cannot_be_are_refused_before_anything_is_asked(files, tmp_path):
    with pytest.raises(ParameterInvalid):
        download_files_to_directory(tmp_path, files)


def test_a_provider_is_asked_for_a_model_by_name(serve_model, remote):
    serve_model(model_id="pets/1", package_id="abc")

    found = get_model_from_provider("pets/1", "roboflow", remote())

    assert [package.package_id for package in found.packages] == ["abc"]
    with pytest.raises(ModelNotFound):
        get_model_from_provider("pets/2", "roboflow", remote())
