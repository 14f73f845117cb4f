"""Requests that nobody honest sends: each is refused by a typed problem, and costs next to nothing."""

from __future__ import annotations

import asyncio
import gzip
import threading
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from jobstore.tokens import Role
from producer.gateway import Basis, MeantMachine
from producer.server.app import create_app
from producer.server.routes.uploads import MAX_FILES
from producer.server.sse import follow
from tests.fixtures.server import bearer, picture, services_on, submitted

JSON = {"Content-Type": "application/json"}
STILL_HERE = b": still here\n\n"


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (gzip.compress(b" " * 10**6), {"Content-Encoding": "gzip"}),
        (b'{"model": "\xff"}', {}),
        (b'{"model": "a\\u0000b", "items": [{"uri": "/a.png"}]}', {}),
        (b'{"model": "\\ud800", "items": [{"uri": "/a.png"}]}', {}),
        (b'{"model": "m", "priority": 1e999}', {}),
        (b'{"model": "m", "priority": NaN}', {}),
        (b'{"model": "m", "priority": 99999999999999999999999}', {}),
        (b'{"model": "m", "params": {"a": -Infinity}}', {}),
        (b'{"model": "m", "params": {"a": 1' + b"0" * 5000 + b"}}", {}),
        (b'{"model": "m"}{"model": "m"}', {}),
        (b'\xef\xbb\xbf{"model": "m"}', {}),
        (b'["model"]', {}),
        (b"", {}),
        (b'{"__class__": "os.system", "model": "m"}', {}),
        (b'{"model": "m", "tenant": "victim", "items": [{"uri": "/a.png"}]}', {}),
        (b'{"model": "m", "wishes": {"trust": true}, "items": [{"uri": "/a.png"}]}', {}),
    ],
    ids=["gzip", "no UTF-8", "NUL", "half a surrogate pair", "infinite", "NaN", "beyond 64 bits", "minus infinity",
         "a long number", "two values", "a byte order mark", "a list", "empty", "a class", "a tenant", "trust"],
)  # fmt: skip
def test_a_body_that_is_made_to_break_something_is_a_problem_and_no_job(http, content, headers):
    answer = http.post("/v1/jobs", content=content, headers={**JSON, **headers})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert http.get("/v1/jobs").json()["data"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/%2e%2e/rendering.py", "/static/pages.css%00", "/v1/../healthz/x",
        "/v1/jobs/..%2f..%2fetc%2fpasswd", "/v1/jobs/%00", "/v1/jobs/" + "a" * 3000, "/v1/jobs/%ff",
        "/v1/models/..%2f..%2fetc%2fpasswd/explain", "/v1/models/%2fetc%2fpasswd/explain", "/jobs/%3Cscript%3E",
        "/.env", "/.git/config", "/server-status", "/docs", "/redoc",
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere_gives_nothing(http, path):
    answer = http.get(path)
    assert answer.status_code in (404, 422), answer.text
    assert "root:" not in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "OPTIONS", "PATCH", "GETT"])
def test_a_method_that_no_route_has_is_refused_and_no_other_site_is_let_in(http, method):
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = http.request(method, "/v1/jobs", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST"
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_method_in_a_header_is_no_method(http, tmp_path):
    job_id = submitted(http, tmp_path)
    answer = http.get(f"/v1/jobs/{job_id}", headers={"X-HTTP-Method-Override": "DELETE", "X-Original-URL": "/metrics"})
    assert answer.json()["state"] == "running"


def test_a_token_in_an_address_is_none(services):
    token = bearer(services.store, Role.ADMIN)["Authorization"].partition(" ")[2]
    with TestClient(create_app(services)) as http:
        for query in ({"token": token}, {"access_token": token}, {"authorization": f"Bearer {token}"}):
            answer = http.get("/jobs", params=query, follow_redirects=False)
            assert answer.status_code == 303
            assert http.get("/v1/stats", params=query).status_code in (401, 422)


def test_an_address_that_guesses_tokens_is_slowed_down(sqlite_store, tmp_path):
    app = create_app(services_on(sqlite_store, tmp_path, requests_per_s=0.01, burst=3))
    with TestClient(app) as http:
        codes = [http.get("/v1/stats", headers={"Authorization": f"Bearer guess{n}"}).status_code for n in range(5)]
        signed = http.post("/login", data={"token": "guess"})
        honest = http.get("/v1/stats", headers=bearer(sqlite_store))
    assert codes == [401, 401, 401, 429, 429]
    assert (signed.status_code, honest.status_code) == (429, 200)


def test_pages_count_as_requests_too(sqlite_store, tmp_path):
    app = create_app(services_on(sqlite_store, tmp_path, requests_per_s=0.01, burst=2))
    with TestClient(app, headers=bearer(sqlite_store)) as http:
        answers = [http.get(path) for path in ("/jobs", "/queues", "/models")]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


def test_one_key_at_once_makes_one_job_and_each_tenant_has_its_own_keys(services, tmp_path):
    body = {"model": "digits", "sources": [picture(tmp_path)], "hardware": ["cpu"]}
    app, found = create_app(services), []
    headers = {**bearer(services.store), "Idempotency-Key": "night"}
    other = {**bearer(services.store, tenant="yard"), "Idempotency-Key": "night"}

    def submit(given):
        with TestClient(app, headers=given) as http:
            answer = http.post("/v1/jobs", json=body)
            found.append((given is other, answer.status_code, answer.json()["job_id"]))

    threads = [threading.Thread(target=submit, args=(given,)) for given in [headers] * 5 + [other]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for _, status, _ in found} <= {200, 201}
    assert len({job_id for is_other, _, job_id in found if not is_other}) == 1
    assert len({job_id for _, _, job_id in found}) == 2


def test_an_upload_has_limits_of_bytes_and_of_files(sqlite_store, tmp_path):
    app = create_app(services_on(sqlite_store, tmp_path, max_upload_bytes=1_000_000))
    with TestClient(app, headers=bearer(sqlite_store)) as http:
        large = http.post("/v1/uploads", files={"files": ("a.png", b"x" * 1_000_001)})
        many = http.post("/v1/uploads", files=[("files", (f"{n}.png", b"x")) for n in range(MAX_FILES + 1)])
        none = http.post("/v1/uploads", data={"files": "a.png"}, headers={"Content-Type": "multipart/form-data"})
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    assert [many.status_code, none.status_code] == [400, 400]
    uploads = tmp_path / "data" / "uploads"
    assert not uploads.exists() or not [path for path in uploads.rglob("*") if path.is_file()]


def test_a_name_on_a_page_is_text_and_no_markup(http, tmp_path):
    name = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    job_id = submitted(http, tmp_path, name=name, tags={name: name})
    for path in ("/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/items/0", "/compare", "/queues"):
        text = http.get(path, params={"search": name} if path == "/jobs" else {}).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text


def test_explain_heeds_the_wishes_of_the_request(services):
    asked = []

    def explain(*given):
        asked.append(given)
        return services.explain(*given)

    wished = '{"backend": ["onnx"], "batch_size": 8}'
    heeding = replace(services, explain=explain)
    with TestClient(create_app(heeding), headers=bearer(services.store, Role.READER)) as http:
        assert http.get("/v1/models/digits/explain", params={"wishes": wished}).status_code == 200
        for wrong in ("onnx", "[]", '{"backends": "onnx"}', '{"trust": true}', "{", "[" * 4000):
            answer = http.get("/v1/models/digits/explain", params={"wishes": wrong})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_job"), wrong
    assert asked == [("digits", MeantMachine(Basis.HERE, "auto"), {"backend": ["onnx"], "batch_size": 8})]


def test_a_stream_that_has_no_news_says_that_it_is_there(sqlite_store, tmp_path):
    services = services_on(sqlite_store, tmp_path, look_s=0.01, keep_alive_s=0.03)
    with TestClient(create_app(services), headers=bearer(sqlite_store)) as http:
        job_id = submitted(http, tmp_path)

    async def read() -> list[bytes]:
        told = []
        async for message in follow(services, job_id, None):
            told.append(message)
            if told.count(STILL_HERE) == 2:
                services.producer.cancel(job_id)
        return told

    told = asyncio.run(read())
    assert told[0].count(b"event: ") == 2  # what was told before, and the job's figures
    assert told[1:3] == [STILL_HERE, STILL_HERE]
    assert told[-1].endswith(b'event: end\ndata: {"state":"cancelled"}\n\n')
