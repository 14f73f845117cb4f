"""Job files on the command line: the same file run here, handed over, scheduled and run now."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from jobstore.aftercare import Webhook
from jobstore.store import JobStore
from nightshift.settings import load_settings
from tests.fixtures.cli import nightshift
from tests.fixtures.hooks import receiving
from tests.fixtures.jobs import add


@pytest.fixture
def job(photos: Path, tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(
        f"name: yard\nsource: {photos.name}\nmodel: {{id: digits, backend: onnx}}\n"
        'schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}\noutput: {uri: labels, formats: [jsonl]}\n'
    )
    return path


def test_a_job_file_is_run_exported_and_told_here(environment, job, tmp_path):
    with receiving() as receiver:
        tell_of_another_job(Path(environment["NIGHTSHIFT_DATA_DIR"]), receiver.url)
        job.write_text(f"{job.read_text()}notify: [{{webhook: '{receiver.url}', on: [finished]}}]\n")
        allowed = {**environment, "NIGHTSHIFT_WEBHOOKS_ALLOW_PRIVATE": "true"}

        status, out, err = nightshift(allowed, "run", "--file", str(job), "--json")

    assert status == 0, err
    report = json.loads(out)
    assert (report["name"], report["ok"]) == ("yard", 3)
    assert len((tmp_path / "labels/results.jsonl").read_text().splitlines()) == 3
    ((_, body),) = receiver.got
    assert json.loads(body)["job"]["id"] == report["job_id"]


def tell_of_another_job(data_dir: Path, url: str) -> None:
    """Leave a message about another job that waits for who keeps house."""
    data_dir.mkdir()
    with JobStore.open(load_settings(data_dir=data_dir).store_url) as store:
        store.create_schema()
        store.cancel(add(store, 1, webhooks=(Webhook(url),)))


def test_a_schedule_is_applied_listed_run_and_removed(environment, job):
    applied = json.loads(nightshift(environment, "schedule", "apply", "-f", str(job), "--json")[1])
    listed = nightshift(environment, "schedule", "ls")[1]
    run = json.loads(nightshift(environment, "schedule", "run", "yard", "--json")[1])
    shown = json.loads(nightshift(environment, "schedule", "show", "yard", "--json")[1])
    jobs = [json.loads(line) for line in nightshift(environment, "jobs", "--json")[1].splitlines()]
    removed = nightshift(environment, "schedule", "rm", "yard")
    gone = nightshift(environment, "schedule", "show", "yard")

    assert (applied["applied"], applied["in_words"]) == ("created", "At 02:30 every day (Europe/Berlin)")
    assert "At 02:30 every day" in listed
    assert run["state"] == "submitted"
    assert [each["job_id"] for each in jobs] == [run["job_id"]] == [shown["runs"][0]["job_id"]]
    assert (removed[0], gone[0]) == (0, 1)
    assert "no schedule is called 'yard'" in gone[2]


def test_submit_takes_the_file_alone(environment, job):
    status, out, err = nightshift(environment, "submit", "-f", str(job))
    beside = nightshift(environment, "submit", "-f", str(job), "--conf", "0.5")
    nothing = nightshift(environment, "submit")

    assert status == 0, err
    assert len(out.split()) == 1
    assert (beside[0], nothing[0]) == (2, 2)
    assert "--file says all of the job" in beside[2]
    assert "missing argument 'SOURCE...'" in nothing[2]


def test_a_wrong_file_names_its_line(environment, job):
    job.write_text(job.read_text() + "hardwere: cpu\n")

    status, _, err = nightshift(environment, "schedule", "apply", "-f", str(job))

    assert status == 2
    assert "job.yaml, line 6: unknown key 'hardwere'; did you mean 'hardware'?" in err


def test_the_printed_schema_fits_the_file(environment):
    schema = json.loads(nightshift(environment, "schema", "job")[1])

    jsonschema.validate({"source": "/photos", "model": "digits"}, schema)


def test_notify_test_says_what_the_receiver_answered(environment):
    allowed = {**environment, "NIGHTSHIFT_WEBHOOKS_ALLOW_PRIVATE": "true", "HOOK_SECRET": "a phrase"}
    with receiving() as receiver:
        taken = nightshift(allowed, "notify", "test", receiver.url, "--secret-env", "HOOK_SECRET", "--json")
        refused = nightshift(environment, "notify", "test", receiver.url)

    assert json.loads(taken[1])["is_taken"] is True
    assert "webhook-signature" in receiver.got[0][0]
    assert len(receiver.got) == 1
    assert (refused[0], "this machine itself" in refused[2]) == (1, True)
