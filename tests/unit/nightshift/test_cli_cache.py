"""`nightshift cache`: what was fetched, whether it is whole, and what may go."""

import json
import os

import pytest
from click.testing import CliRunner

from inference_engine.cache.packages import PackageCache
from inference_engine.cache.uses import _held
from inference_engine.packages import file_sha256
from inference_engine.remote_packages import RemoteFile, RemotePackage
from nightshift.cli import cli
from nightshift.settings import load_settings


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of two packages of 2 KiB that nobody uses."""
    monkeypatch.setenv("NIGHTSHIFT_CACHE_DIR", str(tmp_path))
    cache = PackageCache(load_settings().package_cache_dir)
    for number, name in enumerate(("old", "new")):
        package = RemotePackage(
            name, "pets/1", "roboflow", "onnx", "yolov8", "object-detection", "fp32", (RemoteFile("weights.onnx"),)
        )
        cache.bring(package, {}, write)
        os.close(_held.pop(cache.use_of(package.key)))
        os.utime(cache.use_of(package.key), (1000 + number, 1000 + number))
    return cache


def write(file, folder):
    (folder / file.name).write_bytes(bytes(2048))
    return file_sha256(folder / file.name)


def call(*arguments):
    return CliRunner().invoke(cli, ["cache", *arguments], standalone_mode=False)


def left(cache):
    return {cache.record(key).package_id for key in cache.stored_keys()}


@pytest.mark.usefixtures("cache")
def test_ls_shows_what_was_fetched_the_latest_first():
    lines = call("ls").output.splitlines()

    assert [line.split()[2] for line in lines] == ["package", "new", "old"]
    assert "2.0 KiB" in lines[1]


@pytest.mark.usefixtures("cache")
def test_ls_is_json_for_programs():
    first, second = (json.loads(line) for line in call("ls", "--json").output.splitlines())

    assert (first["package_id"], first["size"], first["is_in_use"], second["package_id"]) == ("new", 2048, False, "old")


def test_prune_keeps_what_fits(cache):
    output = call("prune", "--max-size", "3K").output

    assert output == "removed 1 package, 2.0 KiB\n"
    assert left(cache) == {"new"}


def test_prune_without_words_keeps_to_the_setting(cache):
    assert call("prune").output == "removed 0 packages, 0 B\n"
    assert left(cache) == {"old", "new"}


def test_prune_all_removes_all(cache):
    call("prune", "--all")

    assert left(cache) == set()


@pytest.mark.usefixtures("cache")
def test_a_size_that_is_none_is_a_wrong_call():
    result = CliRunner().invoke(cli, ["cache", "prune", "--max-size", "much"])

    assert result.exit_code == 2
    assert "500M or 20G" in result.output


def test_verify_names_damaged_packages_and_leaves_with_status_1(cache):
    assert call("verify").return_value == 0
    key = next(key for key in cache.stored_keys() if cache.record(key).package_id == "old")
    (cache.folder_of(key) / "weights.onnx").write_bytes(b"damage")

    result = call("verify")

    assert result.output == "pets/1/old: damaged: weights.onnx\n2 packages hashed, 1 damaged\n"
    assert result.return_value == 1
    assert left(cache) == {"new"}


def test_an_empty_cache_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_CACHE_DIR", str(tmp_path / "absent"))

    assert call("ls", "--json").output == ""
    assert call("verify").output == "0 packages hashed, 0 damaged\n"
    assert call("prune", "--all").output == "removed 0 packages, 0 B\n"


def test_keys_come_from_the_providers_own_variables_and_are_not_shown(monkeypatch):
    monkeypatch.setenv("ROBOFLOW_API_KEY", "rf_secret")
    monkeypatch.setenv("HF_TOKEN", "")

    options = load_settings(offline=True).provider_options

    assert options.api_keys == {"roboflow": "rf_secret"}
    assert options.offline
    assert "rf_secret" not in repr(options) + CliRunner().invoke(cli, ["config"]).output
