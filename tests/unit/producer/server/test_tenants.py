"""No route tells a tenant anything of another's: every route of the application stands in one table."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from jobstore.aftercare import Output
from jobstore.tokens import Role, TokenWish, digest
from producer.exports.archive import write_archive
from producer.server.app import ROUTERS, create_app
from producer.server.auth import COOKIE
from producer.shelf import Shelf
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
    ("GET", "/v1/jobs/{job_id}/gates"): (HIDDEN, None),
    ("POST", "/v1/jobs/{job_id}/gates:accept"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/results"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/events"): (HIDDEN, None),
    ("POST", "/v1/jobs/{job_id}/exports"): (HIDDEN, EXPORT),
    ("GET", "/v1/jobs/{job_id}/exports"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/exports/{export_id}"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/exports/{export_id}/download"): (HIDDEN, None),
    ("GET", "/v1/jobs/{job_id}/exports/{export_id}/files/{path:path}"): (HIDDEN, None),
    ("POST", "/v1/uploads"): (415, {}),
    ("POST", "/v1/uploads:presign"): (409, {"files": [{"name": "a.png", "size_bytes": 1}]}),
    ("GET", "/v1/webhooks"): (OWN_ONLY, None),
    ("GET", "/v1/jobs/{job_id}/webhooks"): (HIDDEN, None),
    ("POST", "/v1/webhooks/{delivery_id}:retry"): (HIDDEN, None),
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
    ("GET", "/jobs/{job_id}/gates"): (HIDDEN, None),
    ("POST", "/jobs/{job_id}/gates"): (HIDDEN, {}),
    ("GET", "/jobs/{job_id}/webhooks"): (HIDDEN, None),
    ("POST", "/jobs/{job_id}/webhooks"): (HIDDEN, {"delivery": "{delivery_id}"}),
    ("POST", "/jobs/{job_id}/{act}"): (HIDDEN, {}),
    ("GET", "/fleet"): (403, None),
    ("POST", "/fleet/drain"): (403, {"worker": "w"}),
    ("GET", "/queues"): (OWN_ONLY, None),
    ("GET", "/models"): (OPEN, None),
    ("GET", "/schedules"): (OWN_ONLY, None),
    ("POST", "/schedules/{act}"): (HIDDEN, {"name": "every night"}),
    ("GET", "/compare"): (OWN_ONLY, None),
    ("GET", "/openapi.json"): (OPEN, None),
}
#: Asked without a token at all.
NO_TOKEN = {
    ("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/login"),
    ("GET", "/"), ("GET", "/login"), ("GET", "/static/{file}"), ("GET", "/openapi.json"),
}  # fmt: skip
#: What tells an operator of other tenants' work: the names of queues, which hold those of models.
FOR_OPERATORS = {("GET", "/v1/queues"), ("GET", "/queues")}


def routes_of_the_application(app):
    """Every method and path that the application answers: its own route, and those of the routers that it includes."""
    own = [route for route in app.routes if isinstance(route, Route)]
    assert len(app.routes) == len(own) + len(ROUTERS), "the application has routes from elsewhere"
    found = [*own, *(route for router in ROUTERS for route in router.routes)]
    return [(method, route.path) for route in found for method in sorted(route.methods - {"HEAD"})]


@dataclass(frozen=True)
class Victim:
    """What another tenant has: ids and paths that an attacker somehow knows."""

    job_id: str
    export_id: str
    upload: str
    delivery_id: str
    token: str

    def fill(self, text: str) -> str:
        known = {
            "{delivery_id}": self.delivery_id, "{job_id}": self.job_id, "{export_id}": self.export_id,
            "{path:path}": "manifest.json",
            "{upload}": self.upload, "{model:path}": "digits", "{hardware}": "cpu", "{worker_id}": "w",
            "{name}": MARK, "{idx}": "0", "{act}": "pause", "{file}": "pages.css",
        }  # fmt: skip
        for name, value in known.items():
            text = text.replace(name, value)
        return text


@pytest.fixture
def scene(sqlite_store, tmp_path):
    """A victim with a job, an export that is done and an upload; an attacker with a token of another tenant."""
    app = create_app(services_on(sqlite_store, tmp_path, requests_per_s=1e6, burst=10**6))
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
        body["webhooks"] = [{"url": f"https://hooks.example/{MARK}"}]
        job_id = mine.post("/v1/jobs", json=body).json()["job_id"]
        nightly = {"schedule": {"cron": "0 2 * * *"}, "source": upload, "model": "digits", "tags": {"mark": MARK}}
        assert mine.put("/v1/schedules/yard", json=nightly).status_code == 201
    shelf = Shelf.open(tmp_path / "data")
    export_id = sqlite_store.exports.ask(job_id, Output(shelf.dest, ("jsonl",)))
    folder = shelf.place(MARK, export_id)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(MARK)
    write_archive(folder, shelf.archive(MARK, export_id))
    claimed = sqlite_store.exports.claim("maker", 60, shelf.dest)
    sqlite_store.exports.done(claimed, ({"format": "jsonl", "items": 1},))
    sqlite_store.cancel(job_id)
    (delivery,) = sqlite_store.outbox.list()
    sqlite_store.outbox.failed(sqlite_store.outbox.claim(1, 60)[0], 500, MARK, None)
    token = headers["Authorization"].removeprefix("Bearer ")
    victim = Victim(job_id, export_id, upload, delivery.delivery_id, token)
    with TestClient(app) as client:
        yield client, victim, sqlite_store


def ask(client, victim, method, path, headers):
    expected, body = ROUTES[method, path]
    filled = {"items": [{"uri": victim.upload}]} if "items" in (body or {}) else {}
    sent = (
        None if body is None else {"json" if path.startswith("/v1") else "data": {**body, **filled}}
    )  # pages send forms
    return expected, client.request(method, victim.fill(path), headers=headers, follow_redirects=False, **(sent or {}))


def test_every_route_stands_in_the_table(services):
    assert sorted(routes_of_the_application(create_app(services))) == sorted(ROUTES)


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


def credentials(store, victim):
    """Ways to come without a token that is good: name -> headers."""
    revoked = bearer(store, Role.ADMIN, MARK)
    store.tokens.revoke(store.tokens.find(revoked["Authorization"].partition(" ")[2]).token_id)
    _, expired = store.tokens.add(TokenWish("expired", MARK, Role.ADMIN, lifetime_s=1e-9))
    token = victim.token
    return {
        "none": {},
        "a wrong one": {"Authorization": f"Bearer {token[:-1]}{'a' if token[-1] != 'a' else 'b'}"},
        "a longer one": {"Authorization": f"Bearer {token}{'x' * 4000}"},
        "its hash": {"Authorization": f"Bearer {digest(token)}"},
        "another scheme": {"Authorization": f"Basic {token}"},
        "bytes that are no text": {"Authorization": b"Bearer \xff\xfe\x00"},
        "an empty one": {"Authorization": "Bearer "},
        "revoked": revoked,
        "expired": {"Authorization": f"Bearer {expired}"},
        "a wrong cookie": {"Cookie": f"{COOKIE}=nightshift_wrong"},
        "an expired cookie": {"Cookie": f"{COOKIE}={expired}"},
    }


def test_without_a_good_token_only_probes_and_the_login_answer(scene):
    client, victim, store = scene
    before = store.status(victim.job_id)
    asked = 0
    for name, headers in credentials(store, victim).items():
        for method, path in ROUTES:
            answer = ask(client, victim, method, path, headers)[1]
            words = f"{name}: {method} {path}: {answer.status_code} {answer.text}"
            is_led_away = answer.status_code == 303 and answer.headers["location"].startswith("/login?next=%2F")
            is_refused = answer.status_code == 401 or is_led_away
            assert is_refused != ((method, path) in NO_TOKEN - {("POST", "/login")}), words
            assert is_led_away <= (method == "GET" and not path.startswith("/v1")), words
            assert answer.status_code != 401 or is_page(path) or answer.headers["www-authenticate"] == "Bearer", words
            assert MARK not in answer.text.replace(victim.upload, ""), words
            assert victim.job_id not in answer.text, words
            asked += 1
    assert asked == 11 * len(ROUTES)
    assert store.status(victim.job_id).state == before.state


def is_page(path):
    return not path.startswith("/v1") and path not in ("/metrics", "/login", "/logout")


def test_queue_names_of_other_tenants_are_told_to_operators_and_to_nobody_else(scene, tmp_path):
    client, victim, store = scene
    headers = {"Authorization": f"Bearer {victim.token}"}
    body = {"model": MARK, "sources": [picture(tmp_path, "waits.png")], "hardware": ["cpu"]}
    assert client.post("/v1/jobs", json=body, headers=headers).status_code == 201
    for role in Role:
        headers = bearer(store, role, "strangers")
        told = {
            (method, path)
            for method, path in ROUTES
            if method == "GET" and MARK in ask(client, victim, method, path, headers)[1].text.replace(f"{MARK!r}", "")
        }
        assert told == (FOR_OPERATORS if role.covers(Role.OPERATOR) else set()), role


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
