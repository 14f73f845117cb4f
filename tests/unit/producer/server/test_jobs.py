"""Jobs over HTTP: submit, list, look into, steer, follow, export; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from jobstore.schema import JobSpec, WorkerRow
from jobstore.tokens import Role
from producer.server.app import create_app
from producer.server.errors import ServerError
from producer.server.limits import MAX_HEADER_BYTES
from producer.server.problems import STATUS_OF_CODE
from producer.server.rates import Rates
from producer.wire import DERIVED, NOT_ASKED, JobBody
from tests.fixtures.jobs import ALICE, failed, ok, run_to_end, take, write
from tests.fixtures.server import bearer, picture, services_on, submitted


def events_of(text: str) -> list[tuple[str, dict]]:
    messages = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return [(message["event"], json.loads(message["data"])) for message in messages]


def test_the_same_key_gives_the_same_job_again(http, tmp_path):
    body = {"model": "digits", "sources": [picture(tmp_path)], "hardware": ["cpu"]}
    first, second = (http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "night-7"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["job_id"] == second.json()["job_id"]
    assert first.headers["location"] == f"/v1/jobs/{first.json()['job_id']}"


@pytest.mark.parametrize(
    "change", [{"params": {"confidence": 0.5}}, {"limit": 1}, {"items": [{"uri": "{b}"}]}], ids=str
)
def test_the_same_key_with_another_request_is_a_conflict(http, tmp_path, change):
    body = {"model": "digits", "sources": [picture(tmp_path)], "hardware": ["cpu"]}
    http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "night-7"})
    other = json.loads(json.dumps({**body, **change}).replace("{b}", picture(tmp_path, "b.png")))
    answer = http.post("/v1/jobs", json=other, headers={"Idempotency-Key": "night-7"})
    assert (answer.status_code, answer.json()["code"]) == (409, "client_token_reused")
    assert len(http.get("/v1/jobs").json()["data"]) == 1


def test_the_same_key_with_another_deadline_is_the_same_request(http, tmp_path):
    body = {"model": "digits", "sources": [picture(tmp_path)], "hardware": ["cpu"]}
    answers = [
        http.post("/v1/jobs", json={**body, "deadline": moment}, headers={"Idempotency-Key": "night-7"})
        for moment in (2e9, 2e9 + 60)
    ]
    assert [answer.status_code for answer in answers] == [201, 200]


def test_items_keep_their_metadata_and_come_after_the_sources(http, tmp_path):
    named = {"uri": picture(tmp_path, "b.png"), "metadata": {"camera": 7}}
    job_id = submitted(http, tmp_path, items=[named])
    items = http.get(f"/v1/jobs/{job_id}/items").json()["data"]
    assert [Path(item["uri"]).name for item in items] == ["a.png", "b.png"]
    assert items[1]["metadata"] == {"camera": 7}
    assert items[0]["state"] is None


def test_every_wish_of_a_job_can_be_asked_for():
    names = set(JobSpec.__dataclass_fields__) - NOT_ASKED
    assert names <= set(JobBody.__struct_fields__)


def test_pages_of_jobs_follow_each_other_without_a_gap(http, tmp_path):
    made = [submitted(http, tmp_path, name=f"night {number}") for number in range(5)]
    listed, query = [], {"limit": 2}
    while True:
        page = http.get("/v1/jobs", params=query).json()
        listed += [job["job_id"] for job in page["data"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert listed == made[::-1]


@pytest.mark.parametrize(
    ("query", "found"),
    [({"q": "YARD"}, 1), ({"q": "%"}, 0), ({"state": "running"}, 2), ({"state": ["failed", "paused"]}, 0),
     ({"since": 1}, 2), ({"since": 1e10}, 0)],
    ids=["text", "a percent sign is itself", "state", "states", "since", "since later"],
)  # fmt: skip
def test_jobs_are_filtered(http, tmp_path, query, found):
    submitted(http, tmp_path, name="yard cameras")
    submitted(http, tmp_path, name="harbour")
    assert len(http.get("/v1/jobs", params=query).json()["data"]) == found


def test_items_are_listed_by_state_and_cause(http, services, tmp_path):
    job_id = submitted(http, tmp_path, items=[{"uri": picture(tmp_path, f"{n}.png")} for n in range(3)], shard_size=4)
    services.store.relay.forget_hints()
    lease = take(services.store, services.store.release(1)[0])
    write(services.store, lease, [ok(0), failed(1, "not_an_image"), failed(2, "image_truncated")])
    where = f"/v1/jobs/{job_id}/items"
    assert [item["idx"] for item in http.get(where, params={"state": "failed"}).json()["data"]] == [1, 2]
    assert [item["idx"] for item in http.get(where, params={"cause": "image_truncated"}).json()["data"]] == [2]
    assert [item["idx"] for item in http.get(where, params={"state": ["ok", "pending"]}).json()["data"]] == [0, 3]
    page = http.get(where, params={"limit": 3}).json()
    assert [item["idx"] for item in http.get(where, params={"cursor": page["next"]}).json()["data"]] == [3]


def test_results_are_lines_of_json(http, services, tmp_path):
    job_id = submitted(http, tmp_path, items=[{"uri": picture(tmp_path, "b.png")}])
    services.store.relay.forget_hints()
    run_to_end(services.store)
    answer = http.get(f"/v1/jobs/{job_id}/results")
    assert answer.headers["content-type"].startswith("application/jsonl")
    assert [json.loads(line)["idx"] for line in answer.text.splitlines()] == [0, 1]


def test_events_end_with_the_job_and_go_on_where_a_reader_was_cut_off(http, tmp_path):
    job_id = submitted(http, tmp_path)
    http.post(f"/v1/jobs/{job_id}:cancel")
    answer = http.get(f"/v1/jobs/{job_id}/events")
    told = events_of(answer.text)
    kinds = [data.get("kind") for kind, data in told if kind == "event"]
    assert kinds == ["submitted", "cancelled"]
    assert [kind for kind, _ in told][-2:] == ["progress", "end"]
    ids = [line.removeprefix("id: ") for line in answer.text.splitlines() if line.startswith("id: ")]
    later = events_of(http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": ids[0]}).text)
    assert [data["kind"] for kind, data in later if kind == "event"] == ["cancelled"]
    assert http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": ids[-1]}).status_code == 204


def test_a_job_that_is_in_no_state_for_it_is_not_changed(http, tmp_path):
    job_id = submitted(http, tmp_path)
    changed = [http.post(f"/v1/jobs/{job_id}:{verb}").json()["is_changed"] for verb in ("pause", "pause", "resume")]
    assert changed == [True, False, True]
    assert http.post(f"/v1/jobs/{job_id}:priority", json={"priority": 5}).json()["job"]["priority"] == 5


def test_an_answer_about_a_job_has_what_its_counters_come_to(http, tmp_path):
    job = http.get(f"/v1/jobs/{submitted(http, tmp_path)}").json()
    assert set(DERIVED) <= set(job)
    assert (job["pending"], job["waiting"]) == (1, "no worker serves cpu")


def test_failed_items_run_again(http, services, tmp_path):
    job_id = submitted(http, tmp_path)
    services.store.relay.forget_hints()
    lease = take(services.store, services.store.release(1)[0])
    write(services.store, lease, [failed(0)], finished=True)
    answer = http.post(f"/v1/jobs/{job_id}:retry", json={"causes": ["not_an_image"]}).json()
    assert (answer["is_changed"], answer["job"]["pending"]) == (True, 1)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("/etc", "source_denied"),
        ("{photos}/../data", "source_denied"),
        ("{photos}/link.png", "source_denied"),
        ("file:///etc/hostname.png", "source_denied"),
        ("photos", "source_denied"),
        ("~/photos", "source_denied"),
        ("http://127.0.0.1/a.png", "source_denied"),
        ("http://169.254.169.254/a.png", "source_denied"),
        ("{photos}/none", "source_not_found"),
    ],
    ids=["outside", "dots", "a link outside", "a file URI", "relative", "a home", "this machine", "metadata", "absent"],
)
def test_a_source_that_may_not_be_read_is_refused(http, tmp_path, source, code):
    picture(tmp_path)
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (tmp_path / "photos" / "link.png").symlink_to(secret)
    named = source.replace("{photos}", str(tmp_path / "photos"))
    for body in ({"sources": [named]}, {"items": [{"uri": named}]}):
        answer = http.post("/v1/jobs", json={"model": "digits", "hardware": ["cpu"], **body})
        if code == "source_not_found" and "items" in body:
            continue  # an item is the workers' to find
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


def test_a_folder_gives_nothing_that_its_links_lead_to(http, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    picture(tmp_path)
    (tmp_path / "photos" / "link.png").symlink_to(secret)
    answer = http.post("/v1/jobs", json={"model": "d", "sources": [str(tmp_path / "photos")], "hardware": ["cpu"]})
    assert answer.json().get("code") == "source_denied" or answer.json()["total"] == 1


@pytest.mark.parametrize("name", ["a.exe", "a", "../../a.sh", "a.png.html"], ids=str)
def test_an_upload_that_is_no_picture_is_refused(http, name):
    answer = http.post("/v1/uploads", files={"files": (name, b"x")})
    assert (answer.status_code, answer.json()["code"]) == (422, "source_unsupported")


def test_an_uploads_name_is_no_path(http, services):
    kept = http.post("/v1/uploads", files={"files": ("../../../evil.png", b"pixels")}).json()["data"][0]
    assert kept["name"] == "evil.png"
    folder = services.options.data_dir / "uploads" / "default"
    assert [str(path) for path in folder.iterdir()] == [kept["uri"]]
    assert kept["uri"].endswith(f"{kept['sha256']}.png")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b'{"model": "m", "params": {"a": ' + b"[" * 100_000, {"Content-Type": "application/json"}, 400),
        (b'{"model": "m", "mode": "m"}', {"Content-Type": "application/json"}, 422),
        (b'{"model": ""}', {"Content-Type": "application/json"}, 422),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b" " * 2_000, {"Content-Type": "application/json"}, 413),
        (iter([b" " * 600, b" " * 600]), {"Content-Type": "application/json"}, 413),
        (b"{}", {"X-Many": "x" * MAX_HEADER_BYTES}, 431),
    ],
    ids=["no JSON", "deep", "an unknown field", "an empty text", "no JSON by its type",
         "too large", "too large in chunks", "large headers"],
)  # fmt: skip
def test_a_body_that_cannot_be_is_a_problem(sqlite_store, tmp_path, content, headers, status):
    limit = 1_000 if status == 413 else 2**20
    app = create_app(services_on(sqlite_store, tmp_path, max_body_bytes=limit))
    with TestClient(app, headers=bearer(sqlite_store)) as http:
        answer = http.post("/v1/jobs", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status


def test_a_parameter_that_no_route_has_is_refused(http):
    answer = http.get("/v1/jobs", params={"sttae": "failed"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query/sttae")


def test_unknown_paths_and_methods_are_problems(http):
    assert http.get("/v2/jobs").json()["code"] == "not_found"
    answer = http.delete("/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_a_defect_says_nothing_of_itself(sqlite_store, tmp_path):
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the server")

    services = services_on(sqlite_store, tmp_path)
    object.__setattr__(services, "explain", broken)
    with TestClient(create_app(services), headers=bearer(sqlite_store)) as http:
        answer = http.get("/v1/models/digits/explain")
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_a_model_is_explained_for_the_machines_of_a_class_and_the_answer_says_which(http, sqlite_store):
    row = WorkerRow(ALICE, "secret-host", 7, "cpu-amx", "cpu", serves=("cpu-amx", "cpu"))
    sqlite_store.fleet.heartbeat(row, {"schema_version": 1, "machine": {"cpu_name": "Xeon"}})
    live = http.get("/v1/models/digits/explain?hardware=cpu")
    sqlite_store.fleet.worker_stopped(ALICE)
    last, anywhere = (http.get(f"/v1/models/digits/explain?hardware={name}").json() for name in ("cpu", "auto"))

    assert (live.json()["machine"]["basis"], live.json()["machine"]["worker_id"]) == ("live", ALICE)
    assert live.json()["machine"]["report"]["machine"] == {"cpu_name": "Xeon"}
    assert "secret-host" not in live.text
    assert (last["machine"]["basis"], last["machine"]["age_s"] >= 0) == ("last", True)
    assert anywhere["machine"]["basis"] == "here"


def test_a_class_that_no_worker_told_is_assumed_only_where_that_is_asked_for(http):
    refused = http.get("/v1/models/digits/explain?hardware=gpu-sm90")
    assumed = http.get("/v1/models/digits/explain?hardware=gpu-sm90&assume=true")

    assert (refused.status_code, refused.json()["code"]) == (404, "machine_unknown")
    assert (assumed.status_code, assumed.json()["machine"]["basis"]) == (200, "assumed")


def test_who_asks_too_often_waits(sqlite_store, tmp_path):
    app = create_app(services_on(sqlite_store, tmp_path, requests_per_s=0.01, burst=3))
    with TestClient(app, headers=bearer(sqlite_store)) as http:
        codes = [http.get("/v1/stats").status_code for _ in range(4)]
        answer = http.get("/v1/stats")
    assert codes == [200, 200, 200, 429]
    assert int(answer.headers["retry-after"]) in range(1, 101)


def test_a_bucket_fills_again_and_is_each_askers_own():
    now = [0.0]
    rates = Rates(per_s=2.0, burst=2, clock=lambda: now[0])
    assert [rates.wait_s("a") for _ in range(3)] == [None, None, 1]
    assert rates.wait_s("b") is None
    now[0] = 0.5
    assert [rates.wait_s("a") for _ in range(2)] == [None, 1]


def test_a_server_is_ready_only_with_its_schema(sqlite_url, tmp_path):
    from jobstore.store import JobStore

    with JobStore.open(sqlite_url) as empty, TestClient(create_app(services_on(empty, tmp_path))) as http:
        assert http.get("/healthz").status_code == 200
        answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


def test_pages_and_answers_carry_the_headers_that_hold_browsers_back(http):
    headers = http.get("/healthz").headers
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_operators_see_every_queue_and_others_their_own(services, tmp_path):
    with TestClient(create_app(services)) as http:
        http.headers.update(bearer(services.store, Role.SUBMITTER, "yard"))
        submitted(http, tmp_path)
        http.headers.update(bearer(services.store, Role.READER, "harbour"))
        assert http.get("/v1/queues").json()["data"] == []
        http.headers.update(bearer(services.store, Role.OPERATOR, "harbour"))
        assert [row["queue"] for row in http.get("/v1/queues").json()["data"]] == ["infer.cpu.digits"]
        assert http.get("/v1/autoscale/cpu").json()["backlog_items"] == 1


def test_the_same_answers_come_from_postgresql(store, tmp_path):
    with TestClient(create_app(services_on(store, tmp_path)), headers=bearer(store)) as http:
        job_id = submitted(http, tmp_path, name="yard")
        assert http.get("/v1/jobs", params={"q": "yard"}).json()["data"][0]["job_id"] == job_id
        assert http.get(f"/v1/jobs/{job_id}/items").json()["data"][0]["idx"] == 0
        assert http.get("/v1/jobs/a%00b").status_code == 404
        assert http.get("/v1/jobs", params={"q": "a\0b"}).status_code == 422
        assert http.post(f"/v1/jobs/{job_id}:cancel").json()["is_changed"]
        assert events_of(http.get(f"/v1/jobs/{job_id}/events").text)[-1] == ("end", {"state": "cancelled"})


@pytest.mark.parametrize("kind", ServerError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_refusal_of_the_server_has_a_status(kind):
    assert 400 <= STATUS_OF_CODE[kind.code] < 600
