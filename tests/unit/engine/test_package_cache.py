"""Fetched packages on disk: whole or absent, healed when damaged, there when the provider is not."""

import errno
import logging
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from inference_engine import AutoModel, explain
from inference_engine.cache import uses
from inference_engine.cache.packages import PackageCache
from inference_engine.cache.upkeep import entries, prune, verify
from inference_engine.cache.uses import _held, last_use
from inference_engine.errors import CacheUnusable, ModelNotFound, ParameterInvalid, ProviderUnavailable
from inference_engine.testing_server import WEIGHTS_PATH

IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture
def cache(tmp_path):
    return PackageCache(tmp_path / "cache")


@pytest.fixture
def load(remote):
    def run(reference="rf://pets/1", **options):
        model = AutoModel.from_pretrained(reference, provider_options=remote(**options))
        assert len(model(IMAGE)) == 1
        return model

    return run


@pytest.fixture
def let_go(cache):
    """A function that makes this process forget that it uses packages, as its end would."""

    def run():
        for path in [path for path in _held if path.is_relative_to(cache.root)]:
            os.close(_held.pop(path))

    yield run
    run()


def damage(cache, name="weights.onnx", *, keep_time=True, cut=None):
    """Change a file of the only package; by default so that neither size nor time show it."""
    (key,) = cache.stored_keys()
    path = cache.folder_of(key) / name
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[: len(data) // 2] = bytes(len(data) // 2)
    path.write_bytes(bytes(data[:cut]))
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return key, path


def files_asked(server):
    return [request.path for request in server.requests if request.path != WEIGHTS_PATH]


def test_a_second_load_fetches_no_file(server, serve_model, load):
    serve_model()
    first = load()
    server.requests.clear()

    assert load().package.digest == first.package.digest

    assert files_asked(server) == []


def test_a_package_folder_holds_the_package_and_nothing_else(serve_model, load, cache):
    serve_model()

    load()

    (key,) = cache.stored_keys()
    names = {path.name for path in cache.folder_of(key).iterdir()}
    assert names == {"weights.onnx", "class_names.txt", "inference_config.json", "model_config.json"}
    assert list((cache.root / "partial").iterdir()) == []
    assert cache.root.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "how", [{"cut": 10}, {"keep_time": False}, {}, {"name": "class_names.txt"}], ids=["cut", "time", "hidden", "names"]
)
def test_peer_defect_1_a_damaged_file_heals_itself(server, serve_model, load, cache, how, caplog):
    serve_model()
    load()
    key, path = damage(cache, **how)
    server.requests.clear()

    with caplog.at_level(logging.WARNING):
        load()

    assert files_asked(server) == [f"/abc/{path.name}"]
    assert cache.damaged(key) == ()
    assert (cache.root / "quarantine" / key / path.name).is_file()
    assert "was damaged" in caplog.text


def test_peer_defect_1_the_damage_of_one_model_does_not_reach_another_with_the_same_files(
    server, serve_model, load, cache
):
    entry = serve_model("pets/1")
    server.add_model("birds/1", [entry])
    load("rf://pets/1")
    damage(cache)

    load("rf://birds/1")

    damaged = {cache.record(key).model_id: cache.damaged(key) for key in cache.stored_keys()}
    assert damaged == {"pets/1": ("weights.onnx",), "birds/1": ()}


def test_a_deleted_file_is_fetched_again(server, serve_model, load, cache):
    serve_model()
    load()
    (key,) = cache.stored_keys()
    (cache.folder_of(key) / "weights.onnx").unlink()
    server.requests.clear()

    load()

    assert files_asked(server) == ["/abc/weights.onnx"]


def test_a_folder_that_was_copied_is_hashed_and_not_fetched(server, serve_model, load, cache):
    serve_model()
    load()
    (key,) = cache.stored_keys()
    for path in cache.folder_of(key).iterdir():
        os.utime(path, (1, 1))
    server.requests.clear()

    load()

    assert files_asked(server) == []
    assert cache.has(key)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": []}'])
def test_a_record_that_is_damaged_costs_a_fetch_and_no_more(serve_model, load, cache, text):
    serve_model()
    load()
    (key,) = cache.stored_keys()
    (cache.root / "records" / f"{key}.json").write_text(text, encoding="utf-8")

    load()

    assert cache.damaged(key) == ()


def test_peer_defect_2_a_provider_that_is_down_is_no_matter_for_what_is_on_disk(server, serve_model, load, caplog):
    serve_model()
    load()
    server.stop()

    with caplog.at_level(logging.WARNING):
        model = load()

    assert "using what is on disk" in caplog.text
    assert any("was not asked" in warning for warning in model.package.warnings)
    assert len(explain_with(load, batch_size=2).candidates) >= 1


def explain_with(load, **wishes):
    model = load()
    return explain(model.package.weights.parent, **wishes)


def test_peer_defect_2_other_wishes_work_while_the_provider_is_down(server, serve_model, load, remote):
    serve_model()
    load()
    server.stop()

    model = AutoModel.from_pretrained("rf://pets/1", batch_size=2, provider_options=remote())

    assert len(model([IMAGE, IMAGE])) == 2


def test_offline_works_with_what_is_on_disk_and_asks_nobody(server, serve_model, load):
    other = server.onnx_package("other", {}, packageFiles=[{"fileHandle": "w.onnx", "downloadUrl": server.url + "/w"}])
    serve_model(extra=[other])
    load()
    server.requests.clear()

    model = load(offline=True)

    assert server.requests == []
    (absent,) = [c for c in model.decision.candidates if c.package_id == "other"]
    assert "not on disk" in absent.reasons[0].message


def test_offline_says_what_is_missing(server, serve_model, remote):
    serve_model()

    with pytest.raises(ModelNotFound, match="offline"):
        explain("rf://pets/1", provider_options=remote(offline=True))
    assert server.requests == []


def test_offline_and_damaged_is_refused_with_its_reason(serve_model, load, cache):
    serve_model()
    load()
    damage(cache, cut=10)

    with pytest.raises(ProviderUnavailable, match="offline"):
        load(offline=True)


def test_a_provider_that_is_down_cannot_mend_what_is_damaged(server, serve_model, load, cache):
    serve_model()
    load()
    damage(cache, cut=10)
    server.stop()

    with pytest.raises(ProviderUnavailable, match="did not answer"):
        load()


def test_a_provider_that_refuses_is_not_covered_up_by_the_cache(server, serve_model, load):
    serve_model()
    load()
    del server.models["pets/1"]

    with pytest.raises(ModelNotFound):
        load()


def test_a_new_version_of_a_package_is_fetched_beside_the_old(server, serve_model, load, cache, write_package):
    serve_model()
    load()
    entry = serve_model()
    server.add_file("/abc/class_names.txt", b"hound\ncat\n")
    entry["packageFiles"] = server.onnx_package(
        "abc", {file["fileHandle"]: f"/abc/{file['fileHandle']}" for file in entry["packageFiles"]}
    )["packageFiles"]

    assert load().package.class_names == ("hound", "cat")

    assert len(cache.stored_keys()) == 2


def test_remote_models_need_to_be_told_where_to_put_packages(remote):
    with pytest.raises(ParameterInvalid, match="cache_dir"):
        explain("rf://pets/1", provider_options=remote(cache_dir=None))


def fetch_three(server, serve_model, load, cache, **options):
    for number, name in enumerate(("a", "b", "c")):
        serve_model(f"{name}/1", name)
        load(f"rf://{name}/1", **options)
        for key in cache.stored_keys():
            if cache.record(key).package_id == name:
                os.utime(cache.use_of(key), (1000 + number, 1000 + number))


def names(cache):
    return {cache.record(key).package_id for key in cache.stored_keys()}


def test_peer_defect_26_the_least_recently_used_packages_go_first(server, serve_model, load, cache, let_go):
    fetch_three(server, serve_model, load, cache)
    let_go()
    size = entries(cache)[0].size

    removed = prune(cache, 2 * size)

    assert [entry.package_id for entry in removed] == ["a"]
    assert names(cache) == {"b", "c"}
    assert len(list((cache.root / "packages").iterdir())) == 2


def test_what_is_in_use_is_never_removed(server, serve_model, load, cache, let_go):
    fetch_three(server, serve_model, load, cache)

    assert prune(cache, 0) == []
    assert all(entry.is_in_use for entry in entries(cache))

    let_go()
    assert len(prune(cache, 0)) == 3


def test_the_cap_holds_while_packages_come(server, serve_model, load, cache, let_go):
    serve_model("a/1", "a")
    load("rf://a/1")
    let_go()
    serve_model("b/1", "b")

    load("rf://b/1", max_cache_bytes=1000)

    assert names(cache) == {"b"}


def test_using_a_package_makes_it_the_most_recent(server, serve_model, load, cache, let_go):
    fetch_three(server, serve_model, load, cache)

    load("rf://a/1")

    assert entries(cache)[0].package_id == "a"
    assert last_use(cache.use_of(entries(cache)[0].key)) > 2000


def test_emptying_takes_leftovers_along(serve_model, load, cache, let_go):
    serve_model()
    load()
    damage(cache)
    (cache.root / "partial" / "x").mkdir()
    verify(cache)
    let_go()

    prune(cache, 0)

    assert not (cache.root / "quarantine").exists()
    assert list((cache.root / "partial").iterdir()) == []


def test_verifying_names_what_is_damaged_and_sets_it_aside(serve_model, load, cache):
    serve_model()
    load()
    assert set(verify(cache).values()) == {()}
    key, path = damage(cache)

    assert verify(cache) == {key: ("weights.onnx",)}

    assert not path.exists()
    assert cache.stored_keys() == []


def test_what_an_interrupted_fetch_left_besides_is_no_part_of_the_package(serve_model, load, cache, remote):
    from inference_engine.providers import roboflow

    serve_model()
    (package,) = roboflow.find("pets/1", remote()).packages
    stranger = cache.root / "partial" / package.key / "stranger.py"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("raise SystemExit", encoding="utf-8")

    model = load()

    assert not (model.package.weights.parent / "stranger.py").exists()


def test_a_lock_that_a_killed_process_held_keeps_nobody_out(tmp_path):
    holder = (
        "import os, signal, sys, pathlib; from inference_engine.cache.packages import PackageCache\n"
        "with PackageCache(pathlib.Path(sys.argv[1]))._locked('key'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run([sys.executable, "-c", holder, str(tmp_path)], check=False)
    assert died.returncode == -signal.SIGKILL

    with PackageCache(tmp_path, lock_s=1.0)._locked("key"):
        pass


def refuse(number):
    """What a call raises where the file system says no."""

    def refused(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES], ids=lambda n: errno.errorcode[n])
def test_a_folder_that_refuses_is_an_error_of_its_own_and_the_next_try_goes_on(
    server, serve_model, load, cache, monkeypatch, number
):
    serve_model()
    with monkeypatch.context() as refusing:
        refusing.setattr(os, "fsync", refuse(number))
        with pytest.raises(CacheUnusable, match="refuses") as raised:
            load()

    assert (raised.value.code, raised.value.retryable) == ("cache_unusable", True)
    assert not names(cache)
    assert len(load()(IMAGE)) == 1


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES], ids=lambda n: errno.errorcode[n])
def test_what_lies_whole_in_a_folder_that_is_read_only_opens(serve_model, load, let_go, monkeypatch, number, caplog):
    serve_model()
    load()
    let_go()
    for owner, name in ((uses.os, "open"), (os, "fsync"), (uses.os, "utime")):
        monkeypatch.setattr(owner, name, refuse(number))

    with caplog.at_level(logging.WARNING):
        model = load()

    assert len(model(IMAGE)) == 1
    assert "not kept for worse days" in caplog.text
