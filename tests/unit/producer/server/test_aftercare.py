"""Who is told of a job, and what is written at its end: asked for in the request, and looked after over HTTP."""

from __future__ import annotations

import io
import json
import os
import zipfile

import pytest

from jobstore.aftercare import USUAL_EVENTS, Webhook
from jobstore.outbox import DeliveryState
from jobstore.tokens import Role
from producer.gate_work import Watchman
from tests.fixtures.jobs import lease_next, ok, run_to_end, write
from tests.fixtures.server import bearer, picture, submitted
from tests.unit.producer.server.test_exports import maker

URL = "https://hooks.example/services/T0/secret"


def test_a_request_can_say_what_a_job_file_can(http, services, tmp_path):
    for name in ("new.jpg", "old.jpg", "new.gif"):
        picture(tmp_path, name)
    os.utime(tmp_path / "photos" / "old.jpg", (1, 1))
    job_id = submitted(
        http, tmp_path, sources=[f"{tmp_path}/pho{{date:t}}os"], include=["*.jpg", "*.gif"], exclude=["*.gif"],
        since="24h", webhooks=[{"url": URL, "secret_env": "YARD_HOOK", "on": ["job.finished"]}],
        output={"formats": ["jsonl"], "min_confidence": 0.5, "dest": "s3://labels/yard"},
    )  # fmt: skip
    (item,) = http.get(f"/v1/jobs/{job_id}/items").json()["data"]
    assert item["uri"].endswith("new.jpg")
    services.store.relay.forget_hints()
    run_to_end(services.store)
    (message,) = services.store.outbox.list()
    (export,) = services.store.exports.of_job(job_id)
    assert (message.url, message.secret_env, message.event) == (URL, "YARD_HOOK", "job.finished")
    assert export.output.dest == "s3://labels/yard"
    assert (export.output.formats, export.output.options) == (("jsonl",), {"min_confidence": 0.5})


def test_a_draft_takes_them_too(http, services, tmp_path):
    body = {"model": "digits", "hardware": ["cpu"], "webhooks": [{"url": URL}], "output": {}}
    job_id = http.post("/v1/drafts", json=body).json()["job_id"]
    part = {"items": [{"uri": picture(tmp_path)}], "part_token": "1"}
    assert http.post(f"/v1/jobs/{job_id}:append", json=part).status_code == 200
    http.post(f"/v1/jobs/{job_id}:seal")
    services.store.relay.forget_hints()
    run_to_end(services.store)
    assert [each.url for each in services.store.outbox.list()] == [URL]
    assert maker(services, services.options.data_dir).make_due() == 1
    (export,) = http.get(f"/v1/jobs/{job_id}/exports").json()["data"]
    with zipfile.ZipFile(io.BytesIO(http.get(export["download"]).content)) as archive:
        assert "manifest.json" in archive.namelist()


def test_a_webhook_without_words_is_told_of_the_usual(http, services, tmp_path):
    submitted(http, tmp_path, webhooks=[{"url": URL}])
    services.store.relay.forget_hints()
    run_to_end(services.store)
    assert [each.event for each in services.store.outbox.list()] == ["job.finished"]
    assert Webhook(URL).on == USUAL_EVENTS


def test_a_job_unlike_the_good_run_before_it_says_so_and_its_receiver_is_told(http, services, tmp_path):
    wanted = {"name": "yard", "gates": {"min_images": 1, "speed_share": None}, "webhooks": [{"url": URL}]}
    watchman = Watchman(services.store, "judge")
    judged = []
    for objects in (1, 0):
        job_id = submitted(http, tmp_path, **wanted)
        services.store.relay.forget_hints()
        write(services.store, lease_next(services.store), [ok(0, objects)], finished=True)
        assert watchman.judge_due() == 1
        judged.append(http.get(f"/v1/jobs/{job_id}").json())
    assert [each["gates"] for each in judged] == ["passed", "failed"]
    assert judged[0]["gates_message"] is None
    assert "100.0% of the pictures have nothing in them" in judged[1]["gates_message"]
    gates = http.get(f"/v1/jobs/{job_id}/gates").json()
    assert (gates["state"], gates["figures"]["empty"], gates["limits"]["objects_change"]) == ("failed", 1, 0.5)
    assert [each["gate"] for each in gates["findings"] if not each["passed"]] == ["empty_rate", "objects_per_image"]
    reader = bearer(services.store, Role.READER)
    assert http.post(f"/v1/jobs/{job_id}/gates:accept", headers=reader).status_code == 403
    accepted = http.post(f"/v1/jobs/{job_id}/gates:accept").json()
    assert (accepted["is_changed"], accepted["job"]["gates"]) == (True, "accepted")
    told = {each.event: json.loads(each.body) for each in services.store.outbox.list(job_id=job_id)}
    assert set(told) == {"job.finished", "job.gates_failed"}
    assert "empty_rate" in told["job.gates_failed"]["gates"]["failed"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"webhooks": [{"url": "ftp://hooks.example"}]}, "request_invalid"),
        ({"webhooks": [{"url": "https://user:secret@hooks.example/"}]}, "request_invalid"),
        ({"webhooks": [{"url": URL + "\n"}]}, "invalid_job"),
        ({"webhooks": [{"url": f"{URL} b"}]}, "request_invalid"),
        ({"webhooks": [{"url": URL, "on": []}]}, "request_invalid"),
        ({"webhooks": [{"url": URL, "on": ["job.begun"]}]}, "request_invalid"),
        ({"webhooks": [{"url": URL, "secret_env": "AWS_SECRET_ACCESS_KEY"}]}, "request_invalid"),
        ({"webhooks": [{"url": URL, "secret": "abc"}]}, "request_invalid"),
        ({"webhooks": [{"url": URL}] * 9}, "request_invalid"),
        ({"webhooks": [{"url": URL, "secret_env": "HARBOUR_HOOK"}]}, "fetch_denied"),
        ({"output": {"formats": ["word"]}}, "format_unknown"),
        ({"output": {"format": ["coco"]}}, "request_invalid"),
        ({"output": {"min_confidence": 2}}, "request_invalid"),
        ({"output": {"dest": "/etc"}}, "destination_denied"),
        ({"gates": {"speed": 1}}, "request_invalid"),
        ({"gates": {"speed_share": 1.5}}, "request_invalid"),
        ({"gates": {"min_images": 0}}, "request_invalid"),
        ({"since": "yesterday"}, "source_invalid"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_job(http, services, tmp_path, fields, code):
    headers = bearer(services.store, tenant="yard")
    body = {"model": "digits", "hardware": ["cpu"], "sources": [picture(tmp_path)], **fields}
    answers = [http.post("/v1/jobs", json=body, headers=headers)]
    if "since" not in fields:
        body.pop("sources")
        answers.append(http.post("/v1/drafts", json=body, headers=headers))
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert "secret@" not in answer.text
    assert http.get("/v1/jobs", headers=headers).json()["data"] == []


@pytest.fixture
def given_up(http, services, tmp_path):
    """A job whose two messages nobody took: the job's id."""
    job_id = submitted(http, tmp_path, webhooks=[{"url": URL}, {"url": f"{URL}/2"}])
    submitted(http, tmp_path, name="tells nobody")
    http.post(f"/v1/jobs/{job_id}:cancel")
    for delivery in services.store.outbox.claim(2, 60):
        services.store.outbox.failed(delivery, 500, "the receiver answered 500", None)
    return job_id


def test_messages_are_listed_page_by_page_without_the_secrets_of_their_addresses(http, services, given_up):
    one = http.get("/v1/webhooks", params={"limit": 1}).json()
    other = http.get("/v1/webhooks", params={"limit": 1, "cursor": one["next"]}).json()
    listed = http.get(f"/v1/jobs/{given_up}/webhooks").json()["data"]
    assert [*one["data"], *other["data"]] == listed
    assert {(each["receiver"], each["state"], each["last_status"], each["next_at"]) for each in listed} == {
        ("https://hooks.example", "given_up", 500, None)
    }
    assert "secret" not in http.get("/v1/webhooks").text
    assert http.get("/v1/webhooks", params={"state": "delivered"}).json()["data"] == []
    assert http.get("/v1/webhooks", headers=bearer(services.store, tenant="yard")).json()["data"] == []


def test_a_message_that_nobody_took_is_sent_again_and_one_that_was_taken_is_not(http, services, given_up):
    first = http.get(f"/v1/jobs/{given_up}/webhooks").json()["data"][0]["delivery_id"]
    again = f"/v1/webhooks/{first}:retry"
    assert http.post(again, headers=bearer(services.store, Role.READER)).status_code == 403
    assert http.post(again, headers=bearer(services.store, tenant="yard")).json()["code"] == "delivery_not_found"
    assert http.post(again).json() == {"delivery_id": first, "is_changed": True}
    (claimed,) = services.store.outbox.claim(9, 60)
    assert (claimed.delivery_id, claimed.tries) == (first, 2)
    services.store.outbox.delivered(claimed, 200)
    assert http.post(again).json()["is_changed"] is False
    assert services.store.outbox.counts() == {DeliveryState.DELIVERED: 1, DeliveryState.GIVEN_UP: 1}
