"""Exports over HTTP: who may make them, where they may go, and a download that goes on where it was cut off."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from jobstore.export_requests import ExportState
from jobstore.schema import Outcome, OutcomeState
from producer.direct import Direct
from producer.export_work import ExportMaker
from producer.exports.archive import write_archive
from producer.server.app import create_app
from producer.shelf import Shelf
from tests.fixtures.jobs import run_to_end, take, write
from tests.fixtures.server import bearer, picture, services_on, submitted

BOX = {
    "task": "object-detection", "image_hw": [6, 8], "confidence": [0.9], "class_id": [0], "class_name": ["dog"],
    "xyxy": [[1.0, 1.0, 5.0, 5.0]],
}  # fmt: skip


def maker(services, folder: Path) -> ExportMaker:
    """Who keeps house on a machine whose data folder is this one."""
    return ExportMaker(services.store, Direct(services.store, services.doorbell), str(folder), shelf_folder=folder)


def ended(http, services, tmp_path, pictures: int) -> str:
    """The id of a job whose pictures can be looked at, and which has ended."""
    names = [f"{number}.png" for number in range(pictures)]
    for name in names:
        Image.new("RGB", (8, 6)).save(picture(tmp_path, name))
    sources = [str(tmp_path / "photos" / name) for name in names]
    job_id = submitted(http, tmp_path, sources=sources)
    services.store.relay.forget_hints()
    while hints := services.store.release(8):
        for hint in hints:
            lease = take(services.store, hint)
            write(
                services.store,
                lease,
                [Outcome(item.idx, OutcomeState.OK, record=BOX) for item in lease.items],
                finished=True,
            )
    return job_id


@pytest.fixture
def made(http, services, tmp_path):
    """An export that is done: its address, and where its files are."""
    job_id = submitted(http, tmp_path)
    services.store.relay.forget_hints()
    run_to_end(services.store)
    asked = http.post(f"/v1/jobs/{job_id}/exports", json={"formats": ["jsonl"]})
    assert (asked.status_code, asked.json()["state"]) == (202, "pending")
    assert http.get(f"{asked.headers['location']}/download").json()["code"] == "export_not_ready"
    assert maker(services, services.options.data_dir).make_due() == 1
    return asked.headers["location"], Shelf.open(services.options.data_dir).place("default", asked.json()["export_id"])


def test_an_export_is_fetched_as_an_archive_and_file_by_file(http, made):
    where, folder = made
    told = http.get(where).json()
    assert (told["state"], told["download"], told["dest"]) == (ExportState.DONE, f"{where}/download", None)
    with zipfile.ZipFile(io.BytesIO(http.get(told["download"]).content)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == files
    for name, content in files.items():
        assert http.get(f"{where}/files/{name}").content == content


def files_of(http, services, job_id, **asked):
    """Ask for an export, have it made, and give its files by name."""
    answer = http.post(f"/v1/jobs/{job_id}/exports", json=asked)
    assert answer.status_code == 202, answer.text
    assert maker(services, services.options.data_dir).make_due() == 1
    with zipfile.ZipFile(io.BytesIO(http.get(f"{answer.headers['location']}/download").content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_number_of_previews_adds_a_page_with_so_many_pictures(http, services, tmp_path):
    job_id = ended(http, services, tmp_path, pictures=5)
    files = files_of(http, services, job_id, formats=["jsonl"], previews=2)
    assert {"results.jsonl", "previews/index.html"} <= set(files)
    assert sum(name.startswith("previews/images/") for name in files) == 2
    (export,) = services.store.exports.of_job(job_id)
    assert export.output.options == {"previews": 2}


def test_outcomes_of_other_states_are_left_out(http, services, tmp_path):
    job_id = ended(http, services, tmp_path, pictures=2)
    kept = [files_of(http, services, job_id, formats=["jsonl"], states=[state]) for state in ("ok", "failed")]
    assert [len(files["results.jsonl"].splitlines()) for files in kept] == [2, 0]


@pytest.mark.parametrize("wrong", [{"previews": 0}, {"previews": 10_001}, {"states": ["done"]}])
def test_options_that_cannot_be_are_refused(http, services, tmp_path, wrong):
    answer = http.post(f"/v1/jobs/{submitted(http, tmp_path)}/exports", json={"formats": ["previews"], **wrong})
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")


@pytest.mark.parametrize(
    "path", ["out", "deep", "../../../../store.db", "%2e%2e/%2e%2e/store.db", "/etc/passwd", "no%00ne", "none"]
)
def test_a_file_that_the_export_does_not_have_is_not_found(http, made, tmp_path, path):
    where, folder = made
    (folder / "deep").mkdir()
    (folder / "out").symlink_to(tmp_path / "store.db")
    assert http.get(f"{where}/files/{path}").status_code == 404


@pytest.mark.parametrize(
    ("header", "status", "part"),
    [
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=10-999999999", 206, slice(10, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=-999999999", 206, slice(None)),
        ("bytes=999999999-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-2", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
    ],
)
def test_a_part_of_a_download_is_given_as_rfc_9110_says(http, made, header, status, part):
    whole = http.get(f"{made[0]}/download").content
    answer = http.get(f"{made[0]}/download", headers={"Range": header})
    assert answer.status_code == status
    if part is None:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"
        return
    assert answer.content == whole[part]
    assert int(answer.headers["content-length"]) == len(whole[part])
    if status == 206:
        start = whole.index(whole[part])
        assert answer.headers["content-range"] == f"bytes {start}-{start + len(whole[part]) - 1}/{len(whole)}"


def test_a_download_that_was_cut_off_goes_on_and_not_with_another_file(http, made):
    where, folder = made
    first = http.get(f"{where}/download")
    go_on = {"Range": "bytes=7-", "If-Range": first.headers["etag"]}
    rest = http.get(f"{where}/download", headers=go_on)
    assert first.content[:7] + rest.content == first.content
    (folder / "more.txt").write_text("another file")
    write_archive(folder, folder.with_name(f"{folder.name}.zip"))
    other = http.get(f"{where}/download", headers=go_on)
    assert (other.status_code, other.content == first.content) == (200, False)


def test_the_same_files_are_the_same_archive(made, tmp_path):
    _, folder = made
    first = folder.with_name(f"{folder.name}.zip").read_bytes()
    for path in folder.rglob("*"):
        path.touch()
    write_archive(folder, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == first
    assert [path.name for path in tmp_path.glob(".again*")] == []


def test_a_machine_with_another_folder_leaves_what_a_server_keeps_alone(http, services, tmp_path):
    job_id = submitted(http, tmp_path)
    kept = http.post(f"/v1/jobs/{job_id}/exports", json={"formats": ["jsonl"]}).json()["export_id"]
    sent = services.store.exports.ask(job_id, services.store.exports.get(kept).output.__class__(str(tmp_path / "out")))
    Shelf.open(tmp_path / "elsewhere")
    for folder in (tmp_path / "elsewhere", tmp_path / "nowhere"):
        maker(services, folder).make_due()
    states = {each.export_id: each.state for each in services.store.exports.of_job(job_id)}
    assert states == {kept: ExportState.PENDING, sent: ExportState.DONE}
    assert maker(services, services.options.data_dir).make_due() == 1


def test_a_server_does_not_give_what_another_one_keeps(services, made, tmp_path):
    where, _ = made
    other = services_on(services.store, tmp_path, data_dir=tmp_path / "other")
    with TestClient(create_app(other), headers=bearer(services.store)) as http:
        answer = http.get(f"{where}/download")
    assert (answer.status_code, answer.json()["code"]) == (409, "export_not_ready")
    assert "another server keeps this export" in answer.json()["detail"]


def test_two_servers_that_begin_at_once_agree_on_the_name_of_their_folder(tmp_path):
    first = Shelf.open(tmp_path)
    assert Shelf.open(tmp_path) == Shelf.find(tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == ["shelf"]


def test_no_path_of_the_server_is_in_a_row_or_an_answer(http, services, made, tmp_path):
    where, _ = made
    assert str(tmp_path) not in http.get(where).text
    assert str(tmp_path) not in services.store.exports.get(where.rpartition("/")[2]).output.dest


@pytest.mark.parametrize(
    ("allowed", "dest", "is_taken"),
    [
        (None, "s3://labels/yard", True),
        (None, "/srv/labels", False),
        ((), "s3://labels/yard", False),
        (("s3://labels",), "s3://labels", True),
        (("s3://labels",), "s3://labels/yard/", True),
        (("s3://labels",), "s3://labels-of-others/yard", False),
        (("s3://labels/{tenant}",), "s3://labels/yard", True),
        (("s3://labels/{tenant}",), "s3://labels/yard/night", True),
        (("s3://labels/{tenant}/",), "s3://labels/yards", False),
        (("s3://labels/{tenant}",), "s3://labels/harbour", False),
        (("s3://labels/{tenant}",), "s3://labels/yard/../harbour", False),
        (None, "s3://key:secret@labels/yard", False),
        (None, "s3://labels/yard?X-Amz-Signature=1", False),
        (None, "shelf:0", False),
        (None, "labels", False),
        (None, "https://labels.example/", False),
        (("{folder}/{tenant}",), "{folder}/yard/night", True),
        (("{folder}/{tenant}",), "{folder}/harbour", False),
        (("{folder}/{tenant}",), "{folder}/yard/../harbour", False),
        (("{folder}/{tenant}",), "{folder}/yard/link", False),
    ],
)
def test_exports_go_where_the_operator_allows_it_and_nowhere_else(sqlite_store, tmp_path, allowed, dest, is_taken):
    folder = tmp_path / "labels"
    (folder / "yard").mkdir(parents=True)
    (folder / "yard" / "link").symlink_to(folder / "harbour")
    named = dest.replace("{folder}", str(folder))
    where = None if allowed is None else tuple(each.replace("{folder}", str(folder)) for each in allowed)
    app = create_app(services_on(sqlite_store, tmp_path, export_destinations=where))
    with TestClient(app, headers=bearer(sqlite_store, tenant="yard")) as http:
        job_id = submitted(http, tmp_path)
        answers = [
            http.post(f"/v1/jobs/{job_id}/exports", json={"formats": ["jsonl"], "dest": named}),
            http.post("/v1/jobs", json={"model": "d", "items": [{"uri": "https://a.example/b.jpg"}],
                                        "hardware": ["cpu"], "output": {"dest": named}}),
            http.put("/v1/schedules/night", json={
                "schedule": {"cron": "0 2 * * *"}, "source": "https://a.example/b.jpg", "model": "d",
                "output": {"uri": named},
            }),
        ]  # fmt: skip
    assert [answer.is_success for answer in answers] == [is_taken] * 3, [answer.text for answer in answers]
    codes = [] if is_taken else [answer.json()["code"] for answer in answers]
    assert set(codes[:2]) <= {"destination_denied"}
    assert set(codes[2:]) <= {"destination_denied", "job_file_invalid"}  # of which the words are the job file's own
