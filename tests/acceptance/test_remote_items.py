"""Real workers label what lies in a bucket and on a web server, and nothing is lost where those fail."""

from __future__ import annotations

import json
from collections import Counter

import boto3
import pytest

from fetching.policy import FetchPolicy
from jobstore.schema import ItemRef, JobSpec, JobState
from producer.exporting import export_job
from producer.sources import expand
from tests.fixtures.flawed_s3 import put_objects
from tests.fixtures.fleet import DIGITS, kill_9
from tests.fixtures.videos import write_video
from videos.options import Clip

pytestmark = pytest.mark.acceptance

COUNT = 200


def submit(fleet, items, **options):
    return fleet.producer.submit(JobSpec(model=str(DIGITS), **{"shard_size": 16, "use_cache": False, **options}), items)


def codes(fleet, job_id):
    return Counter(row.error.code for row in fleet.store.results(job_id) if row.error is not None)


def test_a_bucket_that_is_slow_fails_and_breaks_off_is_labelled_from_and_to(fleet, flawed_s3, pages):
    bodies = [page.read_bytes() for page in pages]
    keys = [f"yard/{n % 7}/{n:04d}.jpg" for n in range(COUNT)]
    put_objects("photos", {key: bodies[n % len(bodies)] for n, key in enumerate(keys)})
    job_id = submit(fleet, expand("s3://photos/yard/"))
    client = boto3.client("s3")
    gone, refused, broken = keys[3], keys[50], keys[100]
    client.delete_object(Bucket="photos", Key=gone)
    for n, key in enumerate(keys):
        flawed_s3.flaws[key] = [["break"], [503, 500], ["break", 503], [], []][n % 5]
    flawed_s3.flaws |= {refused: [403] * 99, broken: ["break"] * 99, gone: []}
    flawed_s3.flaws[keys[150]] = ["drip"]

    workers = fleet.start_workers(fetch=FetchPolicy(deadline_s=8.0, connect_s=1.0, read_s=2.0))
    fleet.wait_for_some(job_id, COUNT // 4)
    kill_9(workers.pids[0])
    status = fleet.producer.wait(job_id, timeout_s=150)

    assert status.state is JobState.COMPLETED_WITH_ERRORS
    assert fleet.assert_each_item_has_one_outcome(job_id).ok == COUNT - 3
    assert codes(fleet, job_id) == {"fetch_not_found": 1, "fetch_forbidden": 1, "fetch_failed": 1}

    client.create_bucket(Bucket="labels")
    export_job(fleet.producer, job_id, ["coco", "jsonl"], "s3://labels/yard")
    found = [entry["Key"] for entry in client.list_objects_v2(Bucket="labels", Prefix="yard/")["Contents"]]
    coco = next(key for key in found if key.endswith(".json") and "manifest" not in key)
    body = json.loads(client.get_object(Bucket="labels", Key=coco)["Body"].read())
    assert "yard/manifest.json" in found
    assert len(body["images"]) == COUNT - 3


def test_workers_ask_the_policy_again_whatever_the_rows_say(fleet, evil, pages, tmp_path):
    video = tmp_path / "clip.mp4"
    write_video(video, range(0, 600, 100))
    evil.pages |= {"/page/a.jpg": pages[0].read_bytes(), "/page/clip.mp4": video.read_bytes()}
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "b.jpg").write_bytes(pages[1].read_bytes())
    (allowed / "out.jpg").symlink_to(pages[2])
    expected = {
        f"{evil.url}/page/a.jpg": "ok",
        str(allowed / "b.jpg"): "ok",
        f"{evil.url}/busy/c.jpg?times=2": "not_an_image",
        f"{evil.url}/status/d.jpg?code=404": "fetch_not_found",
        f"{evil.url}/status/d.jpg?code=403": "fetch_forbidden",
        f"{evil.url}/short/e.jpg": "fetch_failed",
        f"{evil.url}/hang/f.jpg": "fetch_timeout",
        f"{evil.url}/endless/g.jpg": "fetch_too_large",
        f"{evil.url}/gzip/h.jpg": "fetch_answer_invalid",
        f"{evil.url}/loop/i.jpg": "fetch_answer_invalid",
        f"{evil.url}/to/j.jpg?url=http://169.254.169.254/": "fetch_denied",
        f"{evil.url}/to/k.jpg?url=file:///etc/passwd": "fetch_denied",
        "http://169.254.169.254/latest/meta-data/": "fetch_denied",
        "http://2130706433:22/": "fetch_denied",
        "gopher://127.0.0.1:6379/_FLUSHALL": "fetch_denied",
        str(pages[3]): "fetch_denied",
        f"file://{pages[3]}": "fetch_denied",
        str(allowed / "out.jpg"): "fetch_denied",
        str(allowed / "../allowed/../pages"): "fetch_denied",
        "/etc/passwd": "fetch_denied",
        str(allowed / "gone.jpg"): "not_found",
    }
    policy = FetchPolicy(
        allow_private=True, allowed_ports=frozenset({evil.port}), allowed_roots=(str(allowed),), read_s=0.5, attempts=3
    )
    items = [ItemRef(uri) for uri in expected] + [ItemRef(f"{evil.url}/page/clip.mp4", clip=Clip())]
    job_id = submit(fleet, items, max_failure_rate=1.0)

    fleet.start_workers(fetch=policy, max_image_bytes=1 << 22)
    status = fleet.producer.wait(job_id, timeout_s=120)

    rows = [row for row in fleet.store.results(job_id) if not row.frame]
    found = {row.uri: row.error.code if row.error else str(row.state) for row in rows}
    assert found == expected | {f"{evil.url}/page/clip.mp4": "ok"}
    assert status.total == len(items)
