"""Settings are read once, from the environment and a file, and nothing unknown passes."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from nightshift.errors import SettingsInvalid
from nightshift.settings import PREFIX, known_variables, load_settings, starter_models
from nightshift.worker_settings import WorkerSettings
from workers.config import WorkerConfig


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def test_nothing_configured_means_embedded_with_sqlite_in_the_data_folder(tmp_path):
    settings = load_settings()

    assert settings.is_embedded
    assert settings.store_url == f"sqlite:///{tmp_path}/data/nightshift/nightshift.db"


def test_a_broker_url_ends_embedded_mode(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_BROKER_URL", "redis://fleet:6379/0")

    assert not load_settings().is_embedded


def test_an_empty_variable_is_unset(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_BROKER_URL", "")

    assert load_settings().is_embedded


def test_passwords_in_urls_are_not_printed(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_DATABASE_URL", "postgresql://me:secret@db/x")

    assert "secret" not in repr(load_settings())


def test_an_unknown_variable_is_refused_with_the_nearest_name(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_BROKER", "redis://x")

    with pytest.raises(SettingsInvalid, match="NIGHTSHIFT_BROKER") as caught:
        load_settings()

    assert "NIGHTSHIFT_BROKER_URL" in caught.value.hint


def test_a_wrong_value_is_refused_with_both_of_its_names(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_WORKER__CONCURRENCY", "many")

    with pytest.raises(SettingsInvalid, match=r"NIGHTSHIFT_WORKER__CONCURRENCY \(worker.concurrency in .*found 'many'"):
        load_settings()


def test_the_file_in_the_working_folder_counts(tmp_path):
    (tmp_path / "nightshift.toml").write_text("log_level = 'DEBUG'\n[worker]\nconcurrency = 7\n")

    settings = load_settings()

    assert (settings.log_level, settings.worker.concurrency) == ("DEBUG", 7)


def test_the_users_file_counts_where_the_working_folder_has_none(tmp_path):
    folder = tmp_path / "config" / "nightshift"
    folder.mkdir(parents=True)
    (folder / "nightshift.toml").write_text("log_format = 'json'\n")

    assert load_settings().log_format == "json"


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    (tmp_path / "nightshift.toml").write_text("[worker]\nconcurrency = 7\nwindow = 9\n")
    monkeypatch.setenv("NIGHTSHIFT_WORKER__CONCURRENCY", "2")

    worker = load_settings().worker

    assert (worker.concurrency, worker.window) == (2, 9)


@pytest.mark.parametrize("text", ["colour = 1\n", "[worker]\nspeed = 1\n"], ids=["top", "nested"])
def test_an_unknown_line_of_the_file_is_refused(tmp_path, text):
    (tmp_path / "nightshift.toml").write_text(text)

    with pytest.raises(SettingsInvalid, match="no such setting"):
        load_settings()


def test_a_file_that_is_not_toml_is_named(tmp_path):
    (tmp_path / "nightshift.toml").write_text("log_level DEBUG\n")

    with pytest.raises(SettingsInvalid) as caught:
        load_settings()

    assert caught.value.cause.endswith("nightshift.toml")


def test_model_folders_are_separated_like_path_and_end_with_the_starter_models(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_MODEL_DIRS", os.pathsep.join(["/a", "/b"]))

    assert load_settings().all_model_dirs == (Path("/a"), Path("/b"), starter_models())


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().log_level = "DEBUG"  # type: ignore[misc]


def test_worker_settings_are_the_fields_and_defaults_of_the_worker_config():
    from_elsewhere = {"database_url", "broker_url", "model_dirs", "log_level", "log_format"}
    from_elsewhere |= {
        "cache_dir",
        "cache_max_bytes",
        "weights_provider",
        "api_keys",
        "offline",
        "models_private_hosts",
    }
    from_elsewhere |= {"trust", "allow_local_code_packages", "fetch"}
    expected = {f.name: f.default for f in dataclasses.fields(WorkerConfig) if f.name not in from_elsewhere}

    assert WorkerSettings().model_dump() == expected


def test_an_override_of_the_worker_config_wins_unless_it_is_none():
    config = load_settings().worker_config("redis://x", hardware="cpu", cpu_processes=None)

    assert (config.hardware, config.cpu_processes, config.broker_url) == ("cpu", 1, "redis://x")


def test_every_variable_has_a_description():
    assert all(known_variables().values())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", False),
        ("false", False),
        ("true", True),
        ("all", True),
        ("A" * 64, ("A" * 64,)),
        (f"{'a' * 64},{'b' * 64}", ("a" * 64, "b" * 64)),
    ],
    ids=["empty", "false", "true", "all", "one", "two"],
)
def test_trust_is_nothing_all_or_hashes(monkeypatch, text, found):
    monkeypatch.setenv("NIGHTSHIFT_TRUST", text)

    settings = load_settings()

    assert settings.trust == found
    assert settings.worker_config("redis://x").trust == found


@pytest.mark.parametrize("text", ["yes please", "a" * 63, "a" * 64 + ",b"])
def test_trust_in_what_is_no_hash_is_refused(monkeypatch, text):
    monkeypatch.setenv("NIGHTSHIFT_TRUST", text)

    with pytest.raises(SettingsInvalid, match=r"NIGHTSHIFT_TRUST .*sha256 hashes"):
        load_settings()


def test_the_file_may_list_trusted_hashes(tmp_path):
    (tmp_path / "nightshift.toml").write_text(f"trust = ['{'c' * 64}']\nallow_local_code_packages = true\n")

    config = load_settings().worker_config("redis://x")

    assert (config.trust, config.allow_local_code_packages) == (("c" * 64,), True)
