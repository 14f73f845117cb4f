"""Pictures of other machines on pages: fetched under the server's rules, and never a way to anything else."""

from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from fetching.policy import FetchPolicy
from jobstore.schema import ItemRef, JobSpec, Outcome, OutcomeState
from jobstore.tokens import Role
from producer.exports.pictures import PictureFailed
from producer.server.app import create_app
from producer.server.auth import COOKIE
from producer.server.pages.remote import DEADLINE_S, MAX_BYTES, RemotePictures, strict
from producer.server.pages.thumbnails import Subject, thumbnail
from tests.fixtures.jobs import lease_next, queue_of, write
from tests.fixtures.server import bearer, services_on

RECORD = {"image_hw": [300, 800], "xyxy": [[1, 2, 30, 40]], "class_id": [0], "class_name": ["dog"], "confidence": [0.9]}
PHOTO = cv2.imencode(".jpg", np.full((300, 800, 3), 90, np.uint8))[1].tobytes()


@pytest.fixture
def visit(sqlite_store, tmp_path, evil):
    """Give a function that opens a browser of a reader, at a server with some rules; by default it may ask `evil`."""
    evil.pages["/page/a.jpg"] = PHOTO
    opened = []

    def visit_(**rules):
        allowed = {"allow_private": True, "allowed_ports": frozenset({evil.port})}
        services = services_on(sqlite_store, tmp_path, fetch=FetchPolicy(**{**allowed, **rules}))
        app = create_app(services)
        opened.append(app.state.remote)
        client = TestClient(app, headers={"Accept": "text/html"}, follow_redirects=False)
        token = bearer(sqlite_store, Role.READER)["Authorization"].removeprefix("Bearer ")
        client.cookies.set(COOKIE, token)
        return client

    yield visit_
    for remote in opened:
        remote.close()


@pytest.fixture
def labelled(sqlite_store):
    """Give a function that makes a job of URIs, each with one object, and gives its address."""

    def add(*uris):
        job_id = sqlite_store.add_job(JobSpec("digits", canary_items=0), map(ItemRef, uris), queue_of)
        lease = lease_next(sqlite_store)
        write(sqlite_store, lease, [Outcome(i.idx, OutcomeState.OK, record=RECORD) for i in lease.items], finished=True)
        return f"/jobs/{job_id}"

    return add


def test_a_picture_of_the_web_is_made_small_and_fetched_once(visit, labelled, evil):
    job, visitor = labelled(f"{evil.url}/page/a.jpg"), visit()

    assert "/items/0/picture?" in visitor.get(job).text
    assert "/items/0/picture?" in visitor.get(f"{job}/items/0").text
    first, again = (visitor.get(f"{job}/items/0/picture") for _ in range(2))

    assert first.headers["content-type"] == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(first.content, np.uint8), cv2.IMREAD_COLOR).shape == (210, 560, 3)
    assert again.content == first.content
    assert evil.hits == ["/page/a.jpg"]


def test_a_picture_of_a_bucket_is_shown(visit, labelled, bucket):
    bucket.put_object(Key="yard/a.jpg", Body=PHOTO)
    job = labelled("s3://labels/yard/a.jpg")

    assert visit().get(f"{job}/items/0/picture").status_code == 200


@pytest.mark.parametrize(
    "rules",
    [{"allow_private": False}, {"allowed_hosts": ("*.example.org",)}, {"schemes": frozenset({"file", "s3"})}],
    ids=["private", "host", "scheme"],
)
def test_what_the_rules_refuse_is_not_asked_for_and_told_by_its_address(visit, labelled, evil, rules):
    job, visitor = labelled(f"{evil.url}/page/a.jpg"), visit(**rules)

    page, answer = visitor.get(job).text, visitor.get(f"{job}/items/0/picture")

    assert "lies elsewhere" in page
    assert "/items/0/picture" not in page
    assert answer.status_code == 404
    assert evil.hits == []


@pytest.mark.parametrize(
    ("place", "rules", "words"),
    [
        ("ok", {}, "no picture"),
        ("ok", {"max_bytes": 1000}, "1000"),
        ("endless", {"max_bytes": 1 << 20}, "bytes"),
        ("drip", {"deadline_s": 0.3}, "the time for this item is over"),
        ("to?url=http://169.254.169.254/latest/meta-data", {}, "169.254.169.254"),
        ("to?url=file:///etc/passwd", {}, "redirects"),
        ("status?code=403", {}, "403"),
    ],
    ids=["no picture", "large", "endless", "slow", "metadata", "file", "forbidden"],
)
def test_what_comes_back_wrong_is_no_picture_and_says_why(visit, labelled, evil, place, rules, words):
    job = labelled(f"{evil.url}/{place}")

    answer = visit(**rules).get(f"{job}/items/0/picture")

    assert answer.status_code == 404
    assert words in answer.text


def test_the_frames_of_a_video_elsewhere_are_not_fetched(evil):
    remote = RemotePictures(FetchPolicy(allow_private=True, allowed_ports=frozenset({evil.port})))

    with pytest.raises(PictureFailed, match="video"):
        thumbnail(None, remote, Subject(f"{evil.url}/page/a.jpg", frame=3), "small")

    assert evil.hits == []


def test_pages_wait_and_take_less_than_workers_and_never_more():
    usual, narrow = FetchPolicy(), FetchPolicy(max_bytes=10, deadline_s=1.0, connect_s=0.1, read_s=0.2, attempts=1)

    assert (strict(usual).max_bytes, strict(usual).deadline_s) == (MAX_BYTES, DEADLINE_S)
    assert strict(narrow) == narrow
    limits = {"max_bytes", "deadline_s", "connect_s", "read_s", "attempts"}
    rules = [field.name for field in fields(usual) if field.name not in limits]
    assert [getattr(strict(usual), name) for name in rules] == [getattr(usual, name) for name in rules]


def test_kept_pictures_take_a_bounded_room_and_the_least_wanted_goes_first():
    remote, made = RemotePictures(FetchPolicy(), kept_bytes=25), []

    def ask(tag):
        return remote.once(tag, lambda: made.append(tag) or bytes(10))

    for tag in ("a", "b", "a", "c", "a", "b"):
        ask(tag)

    assert made == ["a", "b", "c", "b"]


def test_a_picture_that_did_not_come_is_asked_for_again(visit, labelled, evil):
    job, visitor = labelled(f"{evil.url}/busy"), visit()

    answers = [visitor.get(f"{job}/items/0/picture").text for _ in range(2)]

    assert "503" in answers[0]
    assert "no picture" in answers[1]
