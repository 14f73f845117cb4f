"""`init`, `config path`, `completion`, `open` and `preview`."""

from __future__ import annotations

import json
import tomllib
import webbrowser

import click
import cv2
import numpy as np
import pytest

from jobstore.schema import ItemRef, JobSpec, Outcome, OutcomeState
from nightshift.settings import Settings, load_settings
from producer.jobfile import read_job_file
from tests.fixtures.gateways import boxes
from tests.fixtures.jobs import lease_next, queue_of, write


def test_init_writes_files_that_are_read_as_they_are(call, tmp_path):
    call("init", "mine")

    text = (tmp_path / "mine/nightshift.toml").read_text()
    assert tomllib.loads(text).keys() == {"worker", "fetch", "server"}
    assert "# allow_private = false" in text
    assert read_job_file(tmp_path / "mine/nightly.yaml").schedule_spec().name == "my-photos"


def test_the_settings_that_init_shows_are_the_defaults(call, tmp_path):
    call("init")
    lines = (tmp_path / "nightshift.toml").read_text().splitlines()
    said = [line.removeprefix("# ") for line in lines if line.startswith("[") or (" = " in line and "`" not in line)]
    (tmp_path / "nightshift.toml").write_text("\n".join(said))

    assert load_settings({}).model_dump() == Settings.model_construct().model_dump()


def test_init_overwrites_nothing(call, tmp_path):
    (tmp_path / "nightly.yaml").write_text("mine")

    with pytest.raises(click.UsageError, match=r"nightly\.yaml is there already"):
        call("init")

    assert (tmp_path / "nightly.yaml").read_text() == "mine"
    assert not (tmp_path / "nightshift.toml").exists()


def test_config_path_is_the_file_that_counts(call, tmp_path):
    assert call("config", "path") == ""
    call("init")
    assert call("config", "path") == f"{tmp_path}/nightshift.toml\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_asks_nightshift(call, shell):
    assert "_NIGHTSHIFT_COMPLETE" in call("completion", shell)


@pytest.fixture
def job_id(called_store, tmp_path):
    paths = [tmp_path / f"{n}.jpg" for n in range(3)]
    for path in paths:
        cv2.imwrite(str(path), np.full((100, 200, 3), 90, np.uint8))
    found = called_store.add_job(JobSpec("digits"), [ItemRef(str(path)) for path in paths], queue_of)
    outcomes = [Outcome(idx, OutcomeState.OK, record=boxes("dog")) for idx in range(3)]
    write(called_store, lease_next(called_store), outcomes, finished=True)
    return found


def test_a_preview_has_so_many_pictures(call, job_id, tmp_path):
    report = json.loads(call("preview", job_id, "-n", "2", "-o", "look", "--json"))

    assert (report["page"], report["pictures"]) == (f"{tmp_path}/look/previews/index.html", 2)
    assert len(list((tmp_path / "look").rglob("*.jpg"))) == 2


def test_open_shows_pictures_where_there_is_no_server(call, job_id, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)

    address = call("open", job_id).strip()

    assert opened == [address]
    assert address == f"file://{tmp_path}/looks/{job_id}/previews/index.html"
    assert call("open", job_id, "--print").strip() == address  # a second look replaces the first
    assert len(opened) == 1


def test_open_leads_to_the_jobs_page_on_the_server_of_the_settings(call, job_id, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_API_URL", "http://yard.example:8000/")

    assert call("open", job_id[-6:], "--print") == f"http://yard.example:8000/jobs/{job_id}\n"
