"""What the pages answer: headers, refusals, pictures, and what a page costs when a job is large."""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from jobstore.aftercare import Webhook
from jobstore.outbox import DeliveryState
from jobstore.schema import ItemRef, JobSpec, JobState, WorkerId, WorkerRow
from jobstore.store import JobStore
from jobstore.tokens import Role
from producer.server.app import create_app
from producer.server.auth import COOKIE
from tests.fixtures.gateways import a_decision
from tests.fixtures.jobs import add, failed, lease_next, ok, queue_of, take, write
from tests.fixtures.server import HTML, bearer, services_on

EVIL = "<script>alert(1)</script>\"'&"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir(exist_ok=True)
    return folder


def job_of(store: JobStore, *uris: str, **spec: object):
    job_id = store.add_job(JobSpec("digits", canary_items=0, **spec), (ItemRef(uri) for uri in uris), queue_of)
    lease = lease_next(store)
    write(store, lease, [ok(item.idx) for item in lease.items], finished=True)
    return job_id


def photo(folder, name="a.jpg", hw=(300, 800)):
    path = folder / name
    cv2.imwrite(str(path), np.full((*hw, 3), 90, np.uint8))
    return str(path)


def test_nothing_from_elsewhere_may_load_run_or_frame_a_page(visitor):
    answer = visitor.get("/jobs")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"


def test_texts_of_jobs_are_never_markup(visitor, sqlite_store, photos):
    uri = photo(photos, "x<img src=y>.jpg")
    job_id = sqlite_store.add_job(
        JobSpec(EVIL, name=EVIL, tags={EVIL: EVIL}, canary_items=0), [ItemRef(uri, {EVIL: EVIL})], queue_of
    )
    lease = lease_next(sqlite_store)
    write(sqlite_store, lease, [failed(0, "not_an_image", EVIL)], finished=True)

    for path in ("/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/live", f"/jobs/{job_id}/items/0", f"/jobs?search={EVIL}",
                 "/compare?a=<script>&b=", f"/jobs/{EVIL}", f"/jobs/{job_id}?only={EVIL}&did={EVIL}"):  # fmt: skip
        text = visitor.get(path).text
        assert "<script>alert" not in text, path
        assert "<img src=y" not in text, path


def test_who_is_not_signed_in_is_led_there_and_told_nothing(visitor, sqlite_store):
    job_id = add(sqlite_store, 4)
    visitor.cookies.clear()

    answer = visitor.get(f"/jobs/{job_id}")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next=%2Fjobs%2F{job_id}")
    assert visitor.post(f"/jobs/{job_id}/cancel").status_code == 401


@pytest.mark.parametrize("sent", [{}, {"csrf": "0" * 64}], ids=["no word", "a wrong word"])
def test_a_form_without_this_visitors_secret_word_changes_nothing(visitor, sqlite_store, sent):
    job_id = add(sqlite_store, 4, canary_items=0)

    assert visitor.post(f"/jobs/{job_id}/cancel", data=sent).status_code == 403
    assert sqlite_store.state(job_id) is JobState.RUNNING
    assert visitor.post(f"/jobs/{job_id}/cancel", data={"csrf": visitor.csrf}).status_code == 303
    assert sqlite_store.state(job_id) is JobState.CANCELLED


def test_messages_stand_on_the_page_and_one_that_nobody_took_is_sent_again_by_a_form(visitor, sqlite_store):
    hooks = tuple(Webhook(f"https://{name}.example/secret") for name in ("a", "b"))
    job_id = add(sqlite_store, 4, canary_items=0, webhooks=hooks)
    assert "Messages</h2>" not in visitor.get(f"/jobs/{job_id}").text
    sqlite_store.cancel(job_id)
    taken, refused = sqlite_store.outbox.claim(2, 60)
    sqlite_store.outbox.delivered(taken, 204)
    sqlite_store.outbox.failed(refused, 500, EVIL, None)
    page = visitor.get(f"/jobs/{job_id}").text
    assert page.count("Send again</button>") == 1
    assert "https://a.example" in page
    assert "secret" not in page
    assert EVIL not in page
    sent = {"delivery": refused.delivery_id}
    where = f"/jobs/{job_id}/webhooks"

    assert visitor.post(where, data=sent).status_code == 403
    assert [each.state for each in sqlite_store.outbox.list(states=(DeliveryState.PENDING,))] == []
    answer = visitor.post(where, data={**sent, "csrf": visitor.csrf})

    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job_id}?did=resend")
    assert "The message is sent now." in visitor.get(answer.headers["location"]).text
    assert sqlite_store.outbox.claim(2, 60)[0].delivery_id == refused.delivery_id
    for text in (visitor.get(f"/jobs/{job_id}").text, visitor.get(where).text):
        assert "Send again" not in text
    assert visitor.post(where, data={"delivery": "none", "csrf": visitor.csrf}).status_code == 404


def test_readers_are_shown_messages_and_no_button(sqlite_store, tmp_path, photos):
    job_id = add(sqlite_store, 4, webhooks=(Webhook("https://a.example/"),))
    sqlite_store.cancel(job_id)
    sqlite_store.outbox.failed(sqlite_store.outbox.claim(1, 60)[0], 500, "no", None)
    headers = {**HTML, **bearer(sqlite_store, Role.READER)}
    with TestClient(create_app(services_on(sqlite_store, tmp_path)), headers=headers) as reader:
        text = reader.get(f"/jobs/{job_id}").text
    assert "https://a.example" in text
    assert "Send again" not in text


def test_the_word_of_a_page_is_that_of_its_visitor(visitor, sqlite_store):
    job_id = add(sqlite_store, 4, canary_items=0)

    assert f'name="csrf" value="{visitor.csrf}"' in visitor.get(f"/jobs/{job_id}").text


def test_a_reader_sees_no_buttons(visitor, sqlite_store):
    job_id = add(sqlite_store, 4, canary_items=0)
    visitor.cookies.set(COOKIE, bearer(sqlite_store, Role.READER)["Authorization"].removeprefix("Bearer "))

    page = visitor.get(f"/jobs/{job_id}").text

    assert "Progress" in page
    assert 'method="post" action="/jobs' not in page


def test_a_comparison_with_another_tenants_job_finds_none(visitor, sqlite_store):
    mine, theirs = add(sqlite_store, 4), add(sqlite_store, 4, tenant="others", name="secret")

    answer = visitor.get(f"/compare?a={mine}&b={theirs}")

    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_a_model_that_only_jobs_know_is_listed_with_what_their_workers_decided(visitor, sqlite_store):
    mine = add(sqlite_store, 4, model="/data/yard.onnx")
    add(sqlite_store, 4, model="/data/secret.onnx", tenant="others")
    sqlite_store.add_decision(a_decision(mine))

    text = visitor.get("/models").text

    assert "yard.onnx" in text
    assert "digits-onnx by onnx fp32 on cpu" in text
    assert "secret" not in text


def test_models_are_judged_for_the_machines_that_workers_told(visitor, sqlite_store):
    empty = visitor.get("/models").text
    xeon = {"schema_version": 1, "machine": {"cpu_name": "Xeon", "cpu_count": 8}}
    h200 = {"schema_version": 1, "machine": {"gpus": [{"name": "NVIDIA H200"}]}}
    told = (("worker-one", "cpu", xeon), ("worker-two", "gpu-sm90", h200), ("worker-old", "gpu-sm80", None))
    for name, hardware, machine in told:
        sqlite_store.fleet.heartbeat(WorkerRow(WorkerId(name), "secret-host", 7, hardware, "cpu"), machine)
    sqlite_store.fleet.worker_stopped(WorkerId("worker-two"))

    text = visitor.get("/models").text

    assert "No worker has told yet what machine it runs on" in empty
    assert "Xeon with 8 cores, as worker er-one reports it" in text
    assert "NVIDIA H200, as reported by worker er-two, last heard of" in text
    assert "No worker of this class has told what machine it runs on." in text
    assert "secret-host" not in text


def test_large_jobs_are_compared_where_nobody_waits_for_a_page(visitor, sqlite_store):
    large, small = add(sqlite_store, 10_001), add(sqlite_store, 4)

    text = visitor.get(f"/compare?a={large}&b={small}").text

    assert f"nightshift compare {large} {small} -o report" in text


def test_a_picture_is_made_small_and_kept_by_the_browser(visitor, sqlite_store, photos):
    job_id = job_of(sqlite_store, photo(photos, hw=(600, 2000)))

    answer = visitor.get(f"/jobs/{job_id}/items/0/picture")

    image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (168, 560, 3)
    assert answer.headers["cache-control"].startswith("private")
    again = visitor.get(f"/jobs/{job_id}/items/0/picture", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_item_that_waits_has_its_picture_too(visitor, sqlite_store, photos):
    job_id = sqlite_store.add_job(JobSpec("digits"), [ItemRef(photo(photos))], queue_of)

    assert visitor.get(f"/jobs/{job_id}/items/0/picture").status_code == 200
    assert "no outcome yet" in visitor.get(f"/jobs/{job_id}/items/0").text


def bomb(folder):
    """A PNG of a few bytes that says it has 2.5 thousand million pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    path = folder / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))
    return str(path)


def text_file(folder):
    path = folder / "passwords.png"
    path.write_text("root:x:0:0:secret")
    return str(path)


def link_outside(folder):
    outside = folder.parent / "outside.jpg"
    Path(photo(folder, "tmp.jpg")).replace(outside)
    (folder / "link.jpg").symlink_to(outside)
    return str(folder / "link.jpg")


def pipe(folder):
    os.mkfifo(folder / "pipe.jpg")
    return str(folder / "pipe.jpg")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (bomb, "pixels"), (text_file, "no picture"), (link_outside, "may not read"), (pipe, "may not read"),
        (lambda folder: str(folder / "gone.jpg"), "cannot be read"), (lambda _: "/etc/passwd", "may not read"),
        (lambda _: "http://10.0.0.7/a.jpg", "private"), (lambda _: "file:///etc/passwd", "may not read"),
    ],
    ids=["bomb", "text", "link", "pipe", "gone", "passwd", "web", "file url"],
)  # fmt: skip
def test_only_pictures_of_the_allowed_folders_leave_the_server(visitor, sqlite_store, photos, make, words):
    job_id = job_of(sqlite_store, make(photos))

    answer = visitor.get(f"/jobs/{job_id}/items/0/picture")

    assert answer.status_code == 404
    assert words in answer.text
    assert "secret" not in answer.text


def test_files_that_pages_load_are_named_by_their_content(visitor):
    page = visitor.get("/jobs").text
    address = page.partition('rel="stylesheet" href="')[2].partition('"')[0]

    answer = visitor.get(address)

    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert visitor.get("/static/../auth.py").status_code == 404


def test_a_page_that_breaks_says_so_in_words_and_tells_no_secret(visitor, sqlite_store):
    assert visitor.get("/jobs/nothing-like-this").status_code == 404
    answer = visitor.get("/jobs?before=abc")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert "before" in answer.text


FEW, MANY = 500, 8_000


@pytest.fixture
def large(sqlite_store):
    """Two jobs that ended, one sixteen times as large, each with two failures among its last items."""
    jobs = {}
    for items in (FEW, MANY):
        jobs[items] = sqlite_store.add_job(
            JobSpec("digits", shard_size=items, canary_items=0),
            (ItemRef(f"/p/{n}.jpg") for n in range(items)),
            queue_of,
        )
        while hints := sqlite_store.release(1):
            lease = take(sqlite_store, hints[0])
            outcomes = [failed(item.idx) if item.idx >= items - 2 else ok(item.idx) for item in lease.items]
            write(sqlite_store, lease, outcomes, finished=True)
        assert sqlite_store.status(jobs[items]).is_ended
    return jobs


def steps(store: JobStore, act) -> int:
    """Steps of SQLite's machine that an act takes, in hundreds: each row that is read is some of them."""
    counted = 0

    def count():
        nonlocal counted
        counted += 1

    def watch(connection, *_):
        connection.set_progress_handler(count, 100)

    engine = store._db._reader
    event.listen(engine, "checkout", watch)
    try:
        act()
    finally:
        event.remove(engine, "checkout", watch)
    return counted


@pytest.mark.parametrize("path", ["/jobs", "/jobs/{}", "/jobs/{}/live", "/jobs/{}/items/7", "/queues"])
def test_what_a_page_reads_does_not_grow_with_the_items_of_a_job(visitor, sqlite_store, large, path):
    visitor.get(path.format(large[FEW]))

    few = steps(sqlite_store, lambda: visitor.get(path.format(large[FEW])))
    many = steps(sqlite_store, lambda: visitor.get(path.format(large[MANY])))

    assert few > 0
    assert many <= few * 1.2 + 5


def test_failures_by_cause_are_read_by_their_own_index(sqlite_store, large):
    asked = []
    event.listen(sqlite_store._db._reader, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))

    (group,) = sqlite_store.failures(large[MANY])

    statement, values = next((text, values) for text, values in asked if "error_code" in text)
    with sqlite3.connect(str(sqlite_store._db._reader.url.database)) as connection:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values))
    connection.close()
    assert (group.count, group.indices) == (2, (MANY - 2, MANY - 1))
    assert "ix_outcomes_failed" in plan
    assert "SCAN outcomes" not in plan


def test_glances_of_a_job_at_work_come_from_its_shards_in_hand(sqlite_store):
    job_id = add(sqlite_store, 12, canary_items=0)
    assert sqlite_store.glances.pace(job_id).items_per_second is None
    lease = lease_next(sqlite_store)
    write(sqlite_store, lease, [ok(lease.items[0].idx), ok(lease.items[1].idx)])

    pace = sqlite_store.glances.pace(job_id)

    assert (pace.shards, pace.workers) == (1, 1)
    assert 0 < pace.items_per_second <= 2
    write(sqlite_store, lease, [ok(item.idx) for item in lease.items[2:]], finished=True)
    assert sqlite_store.glances.events(job_id, 2) == sqlite_store.events(job_id)[:-3:-1]
    assert sqlite_store.glances.result(job_id, 3).idx == 3
    assert sqlite_store.glances.result(job_id, 99) is None
