"""What holds for each format: complete or absent, whatever happens, and the same bytes for the same rows."""

import hashlib
import os

import pytest

from producer.errors import ExportFailed, FormatUnknown
from producer.exports import exporter, known_formats

pytestmark = pytest.mark.parametrize("name", known_formats())


def snapshot(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_summary_names_every_file_that_was_written(tmp_path, job, rows, decisions, name):
    summary = exporter(name)(job, iter(rows), decisions, tmp_path / "out")

    assert summary.format == name
    assert {str(path.relative_to(tmp_path / "out")) for path in summary.files} == set(snapshot(tmp_path / "out"))
    assert summary.files[0].is_relative_to(summary.path)


def test_rows_that_end_in_an_error_leave_nothing(tmp_path, job, rows, decisions, name):
    def break_off():
        yield from rows[:2]
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError, match="went away"):
        exporter(name)(job, break_off(), decisions, tmp_path / "out")

    assert snapshot(tmp_path) == snapshot_of_photos(tmp_path)


def test_an_earlier_export_survives_a_failed_one(tmp_path, job, rows, decisions, name):
    out = tmp_path / "out"
    exporter(name)(job, rows, decisions, out)
    before = snapshot(out)

    def break_off():
        yield rows[0]
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError, match="went away"):
        exporter(name)(job, break_off(), decisions, out)

    assert snapshot(out) == before


def test_a_second_export_replaces_the_first_and_gives_the_same_bytes(tmp_path, job, rows, decisions, name):
    out = tmp_path / "out"
    exporter(name)(job, rows, decisions, out)
    before = snapshot(out)

    exporter(name)(job, rows, decisions, out)

    assert snapshot(out) == before


def test_a_full_disk_is_a_typed_error_and_leaves_nothing(tmp_path, job, rows, decisions, name, monkeypatch):
    def refuse(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(ExportFailed, match="No space left"):
        exporter(name)(job, rows, decisions, tmp_path / "out")

    assert snapshot(tmp_path) == snapshot_of_photos(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_a_typed_error(tmp_path, job, rows, decisions, name):
    (tmp_path / "out").write_text("mine")

    with pytest.raises(ExportFailed):
        exporter(name)(job, rows, decisions, tmp_path / "out")

    assert (tmp_path / "out").read_text() == "mine"


def test_what_a_killed_export_left_behind_is_removed_by_the_next(tmp_path, job, rows, decisions, name, dead_pid):
    out = tmp_path / "out"
    summary = exporter(name)(job, rows, decisions, out)
    host = os.uname().nodename
    leftover = summary.path.with_name(f".{summary.path.name}.{host}.{dead_pid}.00000000.part")
    leftover.touch()

    exporter(name)(job, rows, decisions, out)

    assert not leftover.exists()


def test_a_job_without_results_gives_an_empty_export(tmp_path, job, decisions, name):
    summary = exporter(name)(job, [], decisions, tmp_path / "out")

    assert (summary.items, summary.objects) == (0, 0)
    assert summary.files[0].exists()


def test_an_unknown_format_is_refused_with_the_list(name):
    with pytest.raises(FormatUnknown, match=name):
        exporter("yolo9000")


def snapshot_of_photos(tmp_path):
    return {f"photos/{name}": digest for name, digest in snapshot(tmp_path / "photos").items()}


@pytest.fixture
def dead_pid():
    import subprocess
    import sys

    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid
