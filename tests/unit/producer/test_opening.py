"""Where `Producer()` finds what answers: arguments, the environment, `nightshift.toml`, the data folder."""

from __future__ import annotations

import pytest

from jobstore.errors import SchemaOutdated
from jobstore.store import JobStore
from nightshift.settings import load_settings
from nightshift.stack import open_client
from producer import Producer
from producer.direct import Direct
from producer.errors import ExplainUnavailable, NobodyWorksWarning, SettingInvalid
from producer.gateway import Basis
from producer.machine import find_machine
from producer.remote import Remote


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working folder and a user without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("API_URL", "API_TOKEN", "DATABASE_URL", "BROKER_URL", "DATA_DIR"):
        monkeypatch.delenv(f"NIGHTSHIFT_{name}", raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


def test_without_settings_the_data_folder_is_made_and_is_that_of_the_command_line(here):
    (here / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with Producer() as producer, pytest.warns(NobodyWorksWarning, match="nightshift up"):
        job = producer.submit("digits", here / "a.jpg")

    assert (here / "XDG_DATA_HOME/nightshift/nightshift.db").is_file()
    with open_client(load_settings()) as stack:
        assert [each.job_id for each in stack.gateway.jobs()] == [job.id]


@pytest.mark.parametrize(
    "lines",
    [
        "",
        "data_dir = 'elsewhere'",
        "database_url = 'postgresql://host/name'\nbroker_url = 'redis://host/0'",
        "api_url = 'http://host:8000'\napi_token = 'secret'",
    ],
    ids=["nothing", "folder", "fleet", "server"],
)
def test_producers_and_the_command_line_read_the_same_settings(here, lines):
    (here / "nightshift.toml").write_text(lines)

    machine, settings = find_machine(), load_settings()

    names = ("data_dir", "api_url", "api_token", "database_url", "broker_url", "store_url")
    assert [getattr(machine, name) for name in names] == [getattr(settings, name) for name in names]
    assert "secret" not in repr(machine)


def test_the_environment_names_a_server_and_an_argument_wins(monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_API_URL", "http://fleet:8000")
    monkeypatch.setenv("NIGHTSHIFT_API_TOKEN", "fleets")

    tokens = []
    for producer in (Producer(), Producer("http://other:8000"), Producer("http://other:8000", token="others")):  # noqa: S106
        with producer:
            assert isinstance(producer.gateway, Remote)
            headers = producer.gateway._caller._client.headers
            tokens.append((producer.gateway._caller.name, headers.get("authorization")))

    assert tokens == [
        ("http://fleet:8000", "Bearer fleets"), ("http://other:8000", None), ("http://other:8000", "Bearer others"),
    ]  # fmt: skip


def test_a_database_of_another_version_is_left_alone(here, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_DATABASE_URL", f"sqlite:///{here}/fleet.db")

    with pytest.raises(SchemaOutdated, match="nightshift db upgrade"):
        Producer()


def test_a_fleets_store_is_opened_as_it_is(here, monkeypatch):
    url = f"sqlite:///{here}/fleet.db"
    with JobStore.open(url) as store:
        store.create_schema()
    monkeypatch.setenv("NIGHTSHIFT_DATABASE_URL", url)
    monkeypatch.setenv("NIGHTSHIFT_BROKER_URL", "redis://127.0.0.1:1/0")

    with Producer() as producer:
        assert isinstance(producer.gateway, Direct)
        assert not producer.gateway.is_silent()


def test_a_settings_file_that_cannot_be_read_is_named(here):
    (here / "nightshift.toml").write_text("data_dir = ")

    with pytest.raises(SettingInvalid, match=r"nightshift\.toml cannot be read"):
        Producer()


def test_without_the_engine_a_model_cannot_be_explained(monkeypatch):
    monkeypatch.setattr("producer.explaining.entry_points", lambda **_: ())

    with Producer() as producer, pytest.raises(ExplainUnavailable, match="ask a server"):
        producer.explain("digits")


def test_what_nightshift_registers_explains_a_model(registered_engine):
    with Producer() as producer:
        explanation = producer.explain("digits")

    assert (explanation.task, explanation.machine.basis) == ("object-detection", Basis.HERE)
    assert explanation.machine.report["machine"]["cpu_count"] > 0
    assert explanation.chosen["backend"] in {candidate["backend"] for candidate in explanation.candidates}


def test_a_webhook_and_the_cache_are_asked_for_in_the_store_itself(here):
    with Producer() as producer:
        spec = producer.spec("digits", {"webhook": "https://hooks.example/x", "use_cache": False, "hardware": "cpu"})

    assert ([hook.url for hook in spec.webhooks], spec.use_cache) == (["https://hooks.example/x"], False)
