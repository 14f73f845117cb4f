"""Schedules over HTTP: the same operations, each tenant by itself, nothing that the caller could not submit."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from jobstore.tokens import Role
from producer.server.services import Services
from tests.fixtures.server import bearer


def job(tmp_path: Path, **fields: object) -> dict[str, object]:
    cron = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    return {"schedule": cron, "source": str(tmp_path / "photos"), "model": "digits", **fields}


def test_a_schedule_is_made_changed_steered_and_forgotten(http: TestClient, tmp_path: Path) -> None:
    assert http.put("/v1/schedules/yard", json=job(tmp_path)).status_code == 201
    again = http.put("/v1/schedules/yard", json=job(tmp_path))
    assert (again.status_code, again.json()["in_words"]) == (200, "At 02:30 every day (Europe/Berlin)")
    assert http.post("/v1/schedules/yard:pause").json()["state"] == "paused"
    assert http.post("/v1/schedules/yard:resume").json()["state"] == "active"
    due = http.post("/v1/schedules/yard:run")
    (listed,) = http.get("/v1/schedules").json()["data"]
    assert (due.status_code, listed["runs"][0]["due"]) == (202, due.json()["due"])
    assert http.delete("/v1/schedules/yard").status_code == 204
    assert http.get("/v1/schedules/yard").status_code == 404


def test_another_tenants_schedule_is_not_there(http: TestClient, services: Services, tmp_path: Path) -> None:
    http.put("/v1/schedules/yard", json=job(tmp_path))
    other = bearer(services.store, tenant="other")
    assert http.get("/v1/schedules", headers=other).json()["data"] == []
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", ":run"), ("POST", ":pause"), ("POST", ":resume")]:
        assert http.request(method, f"/v1/schedules/yard{path}", headers=other).status_code == 404
    assert http.get("/v1/schedules/yard").status_code == 200


def test_a_reader_changes_nothing(http: TestClient, services: Services, tmp_path: Path) -> None:
    reader = bearer(services.store, Role.READER)
    assert http.put("/v1/schedules/yard", json=job(tmp_path), headers=reader).status_code == 403
    assert http.get("/v1/schedules", headers=reader).json()["data"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"source": "/etc"}, "/etc", id="source outside"),
        pytest.param({"source": "{photos}/{{date:../../etc}}"}, "", id="a date that leads out"),
        pytest.param({"source": "photos"}, "no absolute path", id="relative"),
        pytest.param({"model": "/etc/model.onnx"}, "", id="model outside"),
        pytest.param({"output": {"uri": "/srv"}}, "s3://bucket/prefix", id="output outside"),
        pytest.param({"modelx": 1}, "did you mean 'model'", id="key"),
        pytest.param({"schedule": {"cron": "99 * * * *"}}, "cannot be read", id="cron"),
    ],
)
def test_what_cannot_be_is_a_problem_and_not_kept(
    http: TestClient, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    if isinstance(source := change.get("source"), str):
        change = {"source": source.format(photos=tmp_path / "photos") if "{" in source else source}
    answer = http.put("/v1/schedules/yard", json=job(tmp_path, **change))
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]
    assert http.get("/v1/schedules").json()["data"] == []


def test_a_tenant_signs_with_its_own_secrets_only(http: TestClient, services: Services, tmp_path: Path) -> None:
    other = bearer(services.store, tenant="acme")
    notify = [{"webhook": "https://hooks.example/x", "secret_env": "YARD_HOOK"}]
    refused = http.put("/v1/schedules/yard", json=job(tmp_path, notify=notify), headers=other)
    own = [{"webhook": "https://hooks.example/x", "secret_env": "ACME_HOOK"}]
    taken = http.put("/v1/schedules/yard", json=job(tmp_path, notify=own), headers=other)
    assert (refused.status_code, taken.status_code) == (422, 201)
