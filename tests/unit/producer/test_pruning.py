"""Old uploads and downloads go; what a job, a schedule or an export to be made needs stays, however old it is."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import boto3
import pytest

from jobstore.aftercare import Output
from jobstore.schema import ItemRef, JobSpec, OutcomeState
from producer.errors import PruneFailed
from producer.jobfile import parse_job
from producer.kept_uploads import UploadBucket, UploadFolder
from producer.pruning import Pruned, Pruner
from producer.server.uploads import keep
from producer.shelf import Shelf
from tests.fixtures.jobs import queue_of, run_to_end

DAY_S = 86_400.0


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "server"


@pytest.fixture(params=["folder", "bucket"])
def kept(request, folder, tmp_path):
    """Give a function that uploads a text of the tenant `yard` and gives its URI; and what is still there."""
    if request.param == "folder":
        return Kept(str(folder / "uploads" / "yard"), folder, "")
    request.getfixturevalue("bucket")
    return Kept("s3://labels/in/yard", folder, "s3://labels/in")


class Kept:
    def __init__(self, place, folder, bucket):
        self.place, self.folder, self.bucket = place, folder, bucket

    def upload(self, tmp_path, text, name="a.png"):
        (tmp_path / "sent").write_text(text)
        with (tmp_path / "sent").open("rb") as content:
            return keep(self.place, name, content).uri

    def is_there(self, uri):
        if not self.bucket:
            return os.path.exists(uri)  # noqa: PTH110
        found = boto3.resource("s3").Bucket("labels").objects.all()
        return uri in {f"s3://labels/{each.key}" for each in found}

    def pruner(self, store, later_s=10 * DAY_S, uploads_kept_s=DAY_S, exports_kept_s=None):
        clock = lambda: time.time() + later_s  # noqa: E731
        return Pruner(store, self.folder, self.bucket, uploads_kept_s, exports_kept_s, clock)


def job_of(store, *uris, **spec):
    return store.add_job(JobSpec("digits", canary_items=0, **spec), (ItemRef(uri) for uri in uris), queue_of)


def test_what_no_job_needs_goes_when_it_is_old(kept, sqlite_store, tmp_path):
    uri = kept.upload(tmp_path, "old")
    assert kept.pruner(sqlite_store, later_s=0.9 * DAY_S).prune() == Pruned()
    assert kept.pruner(sqlite_store).prune(is_trial=True) == Pruned(uploads=1, size_bytes=3)
    assert kept.is_there(uri)
    assert kept.pruner(sqlite_store).prune() == Pruned(uploads=1, size_bytes=3)
    assert not kept.is_there(uri)


def test_without_a_time_all_is_kept(kept, sqlite_store, tmp_path):
    uri = kept.upload(tmp_path, "old")
    assert kept.pruner(sqlite_store, uploads_kept_s=None).prune() == Pruned()
    assert kept.is_there(uri)


def test_a_job_keeps_what_it_needs_until_it_has_ended(kept, sqlite_store, tmp_path):
    needed, other = kept.upload(tmp_path, "needed"), kept.upload(tmp_path, "other")
    job_of(sqlite_store, needed)
    assert kept.pruner(sqlite_store).prune() == Pruned(uploads=1, size_bytes=5, needed=1)
    assert (kept.is_there(needed), kept.is_there(other)) == (True, False)
    sqlite_store.relay.forget_hints()
    run_to_end(sqlite_store)
    assert kept.pruner(sqlite_store).prune().uploads == 1
    assert not kept.is_there(needed)


@pytest.mark.parametrize("how", ["submitted", "appended", "scheduled", "retried"])
def test_what_is_begun_between_the_look_and_the_removal_keeps_its_uploads(
    kept, sqlite_store, tmp_path, monkeypatch, how
):
    needed, other = kept.upload(tmp_path, "needed"), kept.upload(tmp_path, "other")
    draft, ended = sqlite_store.drafts.create(JobSpec("digits")), job_of(sqlite_store, needed)
    sqlite_store.cancel(ended)
    job = {"name": "yard", "schedule": {"cron": "0 2 * * *"}, "source": needed, "model": "digits"}
    begin = {
        "submitted": lambda: job_of(sqlite_store, needed),
        "appended": lambda: sqlite_store.drafts.append(draft, [ItemRef(needed)], part_token="1"),  # noqa: S106
        "scheduled": lambda: sqlite_store.schedules.apply(parse_job(job).schedule_spec("yard")),
        "retried": lambda: sqlite_store.retry(ended, states={OutcomeState.SKIPPED}),
    }[how]
    alone = sqlite_store.upkeep.alone
    monkeypatch.setattr(sqlite_store.upkeep, "alone", lambda work: begin() and alone(work))
    assert kept.pruner(sqlite_store).prune() == Pruned(uploads=1, size_bytes=5, needed=1)
    assert (kept.is_there(needed), kept.is_there(other)) == (True, False)


def test_uploads_stay_while_others_submit_without_a_pause(kept, sqlite_store, tmp_path, monkeypatch):
    uri = kept.upload(tmp_path, "old")
    monkeypatch.setattr(sqlite_store.upkeep, "alone", lambda _: None)
    assert kept.pruner(sqlite_store).prune() == Pruned(needed=1)
    assert kept.is_there(uri)


@pytest.mark.parametrize("state", ["draft", "paused"])
def test_a_job_that_does_not_run_yet_keeps_it_too(kept, sqlite_store, tmp_path, state):
    uri = kept.upload(tmp_path, "needed")
    if state == "draft":
        job_id = sqlite_store.drafts.create(JobSpec("digits"))
        sqlite_store.drafts.append(job_id, [ItemRef(uri)], part_token="1")  # noqa: S106 (no password)
    else:
        sqlite_store.pause(job_of(sqlite_store, uri))
    assert kept.pruner(sqlite_store).prune() == Pruned(needed=1)
    assert kept.is_there(uri)


def test_an_export_that_is_to_be_made_keeps_the_pictures_of_its_job(kept, sqlite_store, tmp_path):
    uri = kept.upload(tmp_path, "needed")
    job_id = job_of(sqlite_store, uri)
    run_to_end(sqlite_store)
    sqlite_store.exports.ask(job_id, Output("/out", ("yolo",), {"with_images": True}))
    assert kept.pruner(sqlite_store).prune() == Pruned(needed=1)
    sqlite_store.exports.failed(sqlite_store.exports.claim("maker", 60), "no room", None)
    assert kept.pruner(sqlite_store).prune().uploads == 1


@pytest.mark.parametrize(
    "named", ["{uri}", "{place}/", "{place}/*.png", "{place}", "{place}/{{date:%Y}}/", "{place}/x"]
)
def test_a_schedule_keeps_what_it_names(kept, sqlite_store, tmp_path, named):
    uri = kept.upload(tmp_path, "needed")
    source = named.format(uri=uri, place=kept.place)
    job = {"name": "yard", "schedule": {"cron": "0 2 * * *"}, "source": source, "model": "digits"}
    sqlite_store.schedules.apply(parse_job(job).schedule_spec("yard"))
    is_named = not named.endswith("x")
    assert kept.pruner(sqlite_store).prune() == (Pruned(needed=1) if is_named else Pruned(uploads=1, size_bytes=6))
    assert kept.is_there(uri) == is_named


def test_other_names_of_the_same_file_keep_it(folder, sqlite_store, tmp_path):
    kept = Kept(str(folder / "uploads" / "yard"), folder, "")
    uri = kept.upload(tmp_path, "needed")
    job_of(sqlite_store, f"file://{uri.replace('.png', '%2Epng')}")
    assert kept.pruner(sqlite_store).prune() == Pruned(needed=1)


def test_what_is_sent_again_while_it_is_looked_for_stays(folder, sqlite_store, tmp_path):
    kept = Kept(str(folder / "uploads" / "yard"), folder, "")
    uri = kept.upload(tmp_path, "twice")
    place = UploadFolder(folder / "uploads")
    listed = list(place.listing())
    os.utime(uri, (1, 1))
    place.remove(listed)
    assert kept.is_there(uri)
    place.remove(list(place.listing()))
    assert not kept.is_there(uri)
    place.remove(listed)  # gone is well


def test_what_is_sent_again_to_a_bucket_stays_too(bucket, folder, tmp_path):
    kept = Kept("s3://labels/in/yard", folder, "s3://labels/in")
    uri = kept.upload(tmp_path, "twice")
    place = UploadBucket(kept.bucket)
    (listed,) = place.listing()
    place.remove([replace(listed, modified=listed.modified - 60)])
    assert kept.is_there(uri)
    place.remove([replace(listed, modified=listed.modified + 0.4)])  # some listings know more than seconds
    assert not kept.is_there(uri)
    place.remove([listed])


def test_files_that_are_no_uploads_of_a_server_stay(folder, sqlite_store, bucket, tmp_path):
    others = ["notes.txt", "yard/labels.json", "yard/mine.png", f"yard/{'a' * 64}.exe", f"yard/deep/{'a' * 64}.png"]
    for name in others:
        path = folder / "uploads" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        bucket.put_object(Key=f"in/{name}", Body=b"mine")
    (folder / "uploads" / "yard" / f"{'b' * 64}.png").symlink_to(tmp_path / "sent")
    bucket.put_object(Key=f"inside/yard/{'a' * 64}.png", Body=b"mine")
    (folder / "uploads" / "yard" / ".x_1y.part").write_text("cut off")
    assert Kept("", folder, "s3://labels/in").pruner(sqlite_store).prune() == Pruned(uploads=1, size_bytes=7)
    assert len(list(bucket.objects.all())) == len(others) + 1
    assert sum(path.is_file() for path in folder.rglob("*")) == len(others)


def test_a_bucket_is_looked_through_by_one_process_at_a_time(sqlite_store, bucket, folder, tmp_path):
    kept = Kept("s3://labels/in/yard", folder, "s3://labels/in")
    first, second = kept.upload(tmp_path, "first"), None
    assert kept.pruner(sqlite_store).prune_due() == 1
    second = kept.upload(tmp_path, "second")
    assert kept.pruner(sqlite_store).prune_due() == 0
    assert (kept.is_there(first), kept.is_there(second)) == (False, True)


def test_a_bucket_that_refuses_is_an_error_of_ours(s3_server, sqlite_store, folder):
    with pytest.raises(PruneFailed, match="s3://nobody/in cannot be listed"):
        Kept("", folder, "s3://nobody/in").pruner(sqlite_store).prune()


@pytest.fixture
def exported(sqlite_store, folder):
    """Give a function that makes an export of a job, which the server keeps, and gives its id and its paths."""
    shelf = Shelf.open(folder)

    def export(state):
        job_id = job_of(sqlite_store, "/a.png", tenant="yard")
        export_id = sqlite_store.exports.ask(job_id, Output(shelf.dest, ("jsonl",)))
        place, archive = shelf.place("yard", export_id), shelf.archive("yard", export_id)
        (place / "deep").mkdir(parents=True)
        (place / "deep" / "results.jsonl").write_text("12345")
        archive.write_text("123")
        if state != "pending":
            claimed = sqlite_store.exports.claim("maker", 60, shelf.dest)
            sqlite_store.exports.done(claimed, ()) if state == "done" else None
        if state == "forgotten":
            sqlite_store.exports.done(claimed, ())
            sqlite_store.exports.prune(-1)
        return export_id, (place, archive)

    return export


@pytest.mark.parametrize("state", ["done", "forgotten"])
def test_downloads_go_when_they_are_old_and_their_rows_with_them(exported, sqlite_store, folder, state):
    export_id, paths = exported(state)
    pruner = Pruner(sqlite_store, folder, exports_kept_s=DAY_S)
    assert pruner.prune() == Pruned()
    old = Pruner(sqlite_store, folder, exports_kept_s=-1.0)
    assert old.prune(is_trial=True) == Pruned(exports=1, size_bytes=8)
    assert all(path.exists() for path in paths)
    assert old.prune() == Pruned(exports=1, size_bytes=8)
    assert not any(path.exists() for path in paths)
    assert sqlite_store.exports.ages([export_id]) == {}


@pytest.mark.parametrize("state", ["pending", "running"])
def test_a_download_that_is_being_made_stays(exported, sqlite_store, folder, state):
    export_id, paths = exported(state)
    assert Pruner(sqlite_store, folder, exports_kept_s=-1.0).prune() == Pruned()
    assert all(path.exists() for path in paths)
    sqlite_store.exports.forget(export_id)
    assert sqlite_store.exports.ages([export_id]) == {export_id: None}
