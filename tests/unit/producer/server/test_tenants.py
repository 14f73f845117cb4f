"""No route tells a tenant anything of another's: every route of the application stands in one table."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from jobstore.aftercare import Output
from jobstore.tokens import Role
from producer.server.app import ROUTERS, create_app
from tests.fixtures.server import bearer, picture, services_on

#: What only the victim's rows hold; no answer to anybody else may have any of it.
MARK = "victims"
#: What a route answers to another tenant's token that is otherwise allowed to ask.
HIDDEN, OWN_ONLY, OPEN = 404, 200, 0
EXPORT = {"formats": ["jsonl"]}
#: (method, path) -> (what it answers, its body). Routes that list give the caller's own rows, of which there are none;
#: those for operators tell of machines, and are refused to others; open ones tell of no tenant.
ROUTES = {
    ("POST", "/v1/jobs"): (422, {"model": "digits", "items": [{"uri": "{upload}"}]}),
    ("GET", "/v1/jobs"): (OWN_ONLY, None),
    ("GET", "/v1/jobs/{job_id}"): (HIDDEN, None),
    ("POST", "/v1/jobs/{job_id}:cancel"): (HIDDEN, None),
    ("POST", "/v1/jobs/{job_id}:pause"): (HIDDEN, None),
    ("POST", "/v1/jobs/{job_id}:resume"): (HIDDEN, None),
    ("POST", "/v1/jobs/{job_id}:retry"): (HIDDEN, None),
    ("POST", "/v1/jobs/{job_id}:priority"): (HIDDEN, {"priority": 1}),
    ("POST", "/v1/drafts"): (422, {}),
    ("POST", "/v1/jobs/{job_id}:append"): (HIDDEN, {"items": [{"uri": "{upload}"}], "part_token": "1"}),
    ("POST", "/v1/jobs/{job_id}:seal"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/items"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/decisions"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/failures"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/results"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/events"): (HIDDEN, None),
    ("POST", "/v1/jobs/{job_id}/exports"): (HIDDEN, EXPORT),
    ("GET", "/v1/jobs/{job_id}/exports"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/exports/{export_id}"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/exports/{export_id}/download"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/exports/{export_id}/files/{path:path}"): (HIDDEN, None),
    ("POST", "/v1/uploads"): (415, {}),
    ("PUT", "/v1/schedules/{name}"): (422, {"schedule": {"cron": "0 2 * * *"}, "source": "/etc", "model": "digits"}),
    ("GET", "/v1/schedules"): (OWN_ONLY, None),
    ("GET", "/v1/schedules/{name}"): (HIDDEN, None),
    ("DELETE", "/v1/schedules/{name}"): (HIDDEN, None),
    ("POST", "/v1/schedules/{name}:run"): (HIDDEN, None),
    ("POST", "/v1/schedules/{name}:pause"): (HIDDEN, None),
    ("POST", "/v1/schedules/{name}:resume"): (HIDDEN, None),
    ("GET", "/v1/models"): (OPEN, None),
    ("GET", "/v1/models/{model:path}/explain"): (OPEN, None),
    ("GET", "/v1/workers"): (403, None),
    ("POST", "/v1/workers/{worker_id}:drain"): (403, None),
    ("GET", "/v1/queues"): (OWN_ONLY, None),
    ("GET", "/v1/autoscale/{hardware}"): (403, None),
    ("GET", "/v1/stats"): (OWN_ONLY, None),
    ("GET", "/healthz"): (OPEN, None),
    ("GET", "/readyz"): (OPEN, None),
    ("GET", "/metrics"): (403, None),
    ("POST", "/login"): (OPEN, None),
    ("POST", "/logout"): (OPEN, None),
    ("GET", "/"): (OPEN, None),
    ("GET", "/login"): (OPEN, None),
    ("GET", "/static/{file}"): (OPEN, None),
    ("GET", "/jobs"): (OWN_ONLY, None),
    ("GET", "/jobs/{job_id}"): (HIDDEN, None),
    ("GET", "/jobs/{job_id}/live"): (HIDDEN, None),
    ("GET", "/jobs/{job_id}/downloads"): (HIDDEN, None),
    ("GET", "/jobs/{job_id}/items/{idx}"): (HIDDEN, None),
    ("GET", "/jobs/{job_id}/items/{idx}/picture"): (HIDDEN, None),
    ("POST", "/jobs/{job_id}/priority"): (HIDDEN, {"priority": "1"}),
    ("POST", "/jobs/{job_id}/retry"): (HIDDEN, {"cause": ""}),
    ("POST", "/jobs/{job_id}/exports"): (HIDDEN, {"formats": "jsonl"}),
    ("POST", "/jobs/{job_id}/{act}"): (HIDDEN, {}),
    ("GET", "/fleet"): (403, None),
    ("POST", "/fleet/drain"): (403, {"worker": "w"}),
    ("GET", "/queues"): (OWN_ONLY, None),
    ("GET", "/models"): (OPEN, None),
    ("GET", "/schedules"): (OWN_ONLY, None),
    ("POST", "/schedules/{act}"): (HIDDEN, {"name": "every night"}),
    ("GET", "/compare"): (OWN_ONLY, None),
}
#: Asked without a token at all.
NO_TOKEN = {
    ("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/login"),
    ("GET", "/"), ("GET", "/login"), ("GET", "/static/{file}"),
}  # fmt: skip


def routes_of_the_application():
    return [
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]


@dataclass(frozen=True)
class Victim:
    """What another tenant has: ids and paths that an attacker somehow knows."""

    job_id: str
    export_id: str
    upload: str
    token: str

    def fill(self, text: str) -> str:
        known = {
            "{job_id}": self.job_id, "{export_id}": self.export_id, "{path:path}": "manifest.json",
            "{upload}": self.upload, "{model:path}": "digits", "{hardware}": "cpu", "{worker_id}": "w",
            "{name}": MARK, "{idx}": "0", "{act}": "pause", "{file}": "pages.css",
        }  # fmt: skip
        for name, value in known.items():
            text = text.replace(name, value)
        return text


@pytest.fixture
def scene(sqlite_store, tmp_path):
    """A victim with a job, an export that is done and an upload; an attacker with a token of another tenant."""
    app = create_app(services_on(sqlite_store, tmp_path))
    headers = bearer(sqlite_store, Role.ADMIN, MARK)
    with TestClient(app, headers=headers) as mine:
        nightly = {
            "schedule": {"cron": "30 2 * * *"},
            "source": {"uri": str(tmp_path / "photos")},
            "model": {"id": MARK},
        }
        assert mine.put(f"/v1/schedules/{MARK}", json=nightly).status_code == 201
        upload = mine.post("/v1/uploads", files={"files": (f"{MARK}.png", b"bytes")}).json()["data"][0]["uri"]
        body = {"model": MARK, "name": MARK, "sources": [upload, picture(tmp_path, f"{MARK}.png")], "hardware": ["cpu"]}
        job_id = mine.post("/v1/jobs", json=body).json()["job_id"]
        nightly = {"schedule": {"cron": "0 2 * * *"}, "source": upload, "model": "digits", "tags": {"mark": MARK}}
        assert mine.put("/v1/schedules/yard", json=nightly).status_code == 201
    dest = tmp_path / "data" / "exports" / MARK / "one"
    dest.mkdir(parents=True)
    (dest / "manifest.json").write_text(MARK)
    export_id = sqlite_store.exports.ask(job_id, Output(str(dest), ("jsonl",)))
    claimed = sqlite_store.exports.claim("maker", 60)
    sqlite_store.exports.done(claimed, ({"format": "jsonl", "items": 1},))
    victim = Victim(job_id, export_id, upload, headers["Authorization"].removeprefix("Bearer "))
    with TestClient(app) as client:
        yield client, victim, sqlite_store


def ask(client, victim, method, path, headers):
    expected, body = ROUTES[method, path]
    filled = {"items": [{"uri": victim.upload}]} if "items" in (body or {}) else {}
    sent = (
        None if body is None else {"json" if path.startswith("/v1") else "data": {**body, **filled}}
    )  # pages send forms
    return expected, client.request(method, victim.fill(path), headers=headers, follow_redirects=False, **(sent or {}))


def test_every_route_stands_in_the_table():
    assert sorted(routes_of_the_application()) == sorted(ROUTES)


@pytest.mark.parametrize("role", [Role.READER, Role.SUBMITTER])
def test_another_tenants_token_finds_nothing(scene, role):
    client, victim, store = scene
    before = store.status(victim.job_id)
    headers = bearer(store, role, "strangers")
    for method, path in ROUTES:
        expected, answer = ask(client, victim, method, path, headers)
        words = f"{method} {path}: {answer.status_code} {answer.text}"
        is_refused = role is Role.READER and method != "GET" and answer.status_code == 403
        assert expected == OPEN or is_refused or answer.status_code == expected, words
        told = answer.text.replace(victim.upload, "").replace(f"{MARK!r}", "")  # what the attacker sent himself
        assert MARK not in told, words
        assert answer.status_code == 404 or victim.job_id not in told, words
    after = store.status(victim.job_id)
    assert (after.state, after.priority) == (before.state, before.priority)


def test_an_operator_of_another_tenant_finds_no_job(scene):
    client, victim, store = scene
    headers = bearer(store, Role.ADMIN, "strangers")
    for method, path in ROUTES:
        if "{job_id}" in path:
            assert ask(client, victim, method, path, headers)[1].status_code == 404, path


def test_the_victim_finds_all_of_it(scene):
    client, victim, _ = scene
    headers = {"Authorization": f"Bearer {victim.token}"}
    for method, path in ROUTES:
        # The upload's bytes are no picture that could be shown; the root leads to the jobs.
        if method == "GET" and not path.endswith(("/events", "/picture")) and path != "/":
            assert ask(client, victim, method, path, headers)[1].status_code == 200, path


def test_what_is_hidden_and_what_is_not_there_answer_alike(scene):
    client, victim, store = scene
    headers = bearer(store, Role.SUBMITTER, "strangers")
    hidden = client.get(f"/v1/jobs/{victim.job_id}", headers=headers).json()
    absent_id = victim.job_id[:-4] + ("0000" if not victim.job_id.endswith("0000") else "1111")
    absent = client.get(f"/v1/jobs/{absent_id}", headers=headers).json()
    assert {**hidden, "detail": hidden["detail"].replace(victim.job_id, "")} == {
        **absent, "detail": absent["detail"].replace(absent_id, ""),
    }  # fmt: skip


def test_without_a_token_only_probes_and_the_login_answer(scene):
    client, victim, _ = scene
    for method, path in ROUTES:
        answer = ask(client, victim, method, path, {})[1]
        is_led_away = answer.status_code == 303 and answer.headers["location"].startswith("/login?")
        is_refused = answer.status_code == 401 or is_led_away
        assert is_refused != ((method, path) in NO_TOKEN - {("POST", "/login")}), path
        assert MARK not in answer.text.replace(victim.upload, "")


def test_a_token_is_in_no_row_no_log_and_no_answer(scene, tmp_path, caplog):
    client, victim, store = scene
    caplog.set_level(logging.DEBUG)
    headers = {"Authorization": f"Bearer {victim.token}"}
    texts = [
        ask(client, victim, method, path, headers)[1].text for method, path in ROUTES if not path.endswith("events")
    ]
    wrong = [
        client.get("/v1/jobs", headers={"Authorization": f"Bearer {victim.token}x"}),
        client.post("/v1/jobs", headers=headers, content=victim.token),
        client.post("/v1/jobs", headers={**headers, "Idempotency-Key": victim.token * 9}, json={}),
    ]
    texts += [answer.text for answer in wrong] + [repr(row) for row in store.tokens.list()] + [caplog.text]
    assert all(victim.token not in text for text in texts)
    assert victim.token.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))


def test_another_tenants_upload_is_no_source(scene, tmp_path):
    client, victim, store = scene
    body = {"model": "digits", "sources": [victim.upload], "hardware": ["cpu"]}
    answer = client.post("/v1/jobs", json=body, headers=bearer(store, Role.SUBMITTER, "strangers"))
    assert (answer.status_code, answer.json()["code"]) == (422, "source_denied")
