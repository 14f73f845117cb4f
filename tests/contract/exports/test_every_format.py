"""What holds for each format: complete or absent, whatever happens, and the same bytes for the same rows."""

import hashlib
import itertools
import os
import signal
import subprocess
import sys

import pytest

from producer.errors import ExportFailed, FormatUnknown
from producer.exports import find_format, known_formats
from producer.exports.records import Kind
from tests.contract.exports.conftest import write
from tests.contract.exports.dying import killed_export
from tests.contract.exports.predictions import with_kind

pytestmark = pytest.mark.parametrize("name", known_formats())


@pytest.fixture
def rows(rows, name):
    """Records that the format takes: boxes, where it can."""
    takes = find_format(name).takes
    return rows if Kind.BOXES in takes else with_kind(rows, min(takes))


@pytest.fixture
def exported(job, rows, decisions):
    return job, rows, decisions


def snapshot(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def break_off(rows, *, reading, after):
    """Rows that end in an error the n-th time that they are read: exports look at them more than once."""
    times = itertools.count()

    def read():
        if next(times) < reading:
            yield from rows
            return
        yield from rows[:after]
        raise RuntimeError("the database went away")

    return read


def test_the_summary_names_every_file_that_was_written(tmp_path, job, rows, decisions, name):
    summary = write(name, job, rows, decisions, tmp_path / "out")

    assert summary.format == name
    assert summary.items >= 6
    assert {str(path.relative_to(tmp_path / "out")) for path in summary.every_file()} == set(snapshot(tmp_path / "out"))
    assert summary.files[0].is_relative_to(summary.path)
    assert summary.files[0].is_file()


@pytest.mark.parametrize(("which", "after"), [("first", 0), ("first", 2), ("last", 0), ("last", 2)])
def test_rows_that_end_in_an_error_leave_nothing(tmp_path, exported, name, which, after):
    job, rows, decisions = exported
    reading = 0 if which == "first" else count_readings(tmp_path, *exported, name) - 1

    with pytest.raises(RuntimeError, match="went away"):
        write(name, job, break_off(rows, reading=reading, after=after), decisions, tmp_path / "out")

    assert snapshot(tmp_path) == snapshot_of_photos(tmp_path)


def test_an_earlier_export_survives_a_failed_one(tmp_path, job, rows, decisions, name):
    out = tmp_path / "out"
    readings = count_readings(tmp_path, job, rows, decisions, name)
    write(name, job, rows, decisions, out)
    before = snapshot(out)

    with pytest.raises(RuntimeError, match="went away"):
        write(name, job, break_off(rows, reading=readings - 1, after=1), decisions, out)

    assert snapshot(out) == before


def test_a_second_export_replaces_the_first_and_gives_the_same_bytes(tmp_path, job, rows, decisions, name):
    out = tmp_path / "out"
    write(name, job, rows, decisions, out)
    before = snapshot(out)

    write(name, job, rows, decisions, out)

    assert snapshot(out) == before


@pytest.mark.parametrize("point", ["row 3", "row 11", "fsync 0", "rename 0"])
def test_an_export_that_was_killed_shows_nothing_and_repeated_gives_the_same_bytes(
    tmp_path, job, rows, decisions, name, point
):
    out = tmp_path / "out"
    where, left = point.split()
    if where == "rename" and not write(name, job, rows, decisions, tmp_path / "twin").path.is_dir():
        where = "replace"  # a file takes its place by another call

    status = killed_export(name, (job, rows, decisions), out, where, int(left))

    is_short = status == 0 and where == "row"  # read less often than that
    assert status == -signal.SIGKILL or is_short
    if not is_short:
        assert [path for path in snapshot(out) if ".part" not in path] == []
    write(name, job, rows, decisions, out)
    undisturbed = tmp_path / "undisturbed"
    write(name, job, rows, decisions, undisturbed)
    assert snapshot(out) == snapshot(undisturbed)


def test_a_full_disk_is_a_typed_error_and_leaves_nothing(tmp_path, job, rows, decisions, name, monkeypatch):
    def refuse(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(ExportFailed, match="No space left"):
        write(name, job, rows, decisions, tmp_path / "out")

    assert snapshot(tmp_path) == snapshot_of_photos(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_a_typed_error(tmp_path, job, rows, decisions, name):
    (tmp_path / "out").write_text("mine")

    with pytest.raises(ExportFailed):
        write(name, job, rows, decisions, tmp_path / "out")

    assert (tmp_path / "out").read_text() == "mine"


def test_what_a_killed_export_left_behind_is_removed_by_the_next(tmp_path, job, rows, decisions, name, dead_pid):
    out = tmp_path / "out"
    summary = write(name, job, rows, decisions, out)
    host = os.uname().nodename
    leftover = summary.path.with_name(f".{summary.path.name}.{host}.{dead_pid}.00000000.part")
    leftover.touch()

    write(name, job, rows, decisions, out)

    assert not leftover.exists()


def test_a_job_without_results_gives_an_empty_export(tmp_path, job, decisions, name):
    summary = write(name, job, [], decisions, tmp_path / "out")

    assert (summary.items, summary.objects) == (0, 0)
    assert summary.files[0].exists()


def test_pictures_of_the_same_name_in_two_folders_stay_apart(tmp_path, job, rows, decisions, name):
    twins = [row for row in rows if row.uri.endswith("0000.jpg")]

    summary = write(name, job, twins, decisions, tmp_path / "out")

    assert (summary.items, summary.problems) == (2, ())
    text = b"".join(path.read_bytes() + str(path).encode() for path in summary.every_file()).decode(errors="replace")
    assert "gate/0000" in text
    assert "yard" in text


def test_an_unknown_format_is_refused_with_the_list(name):
    with pytest.raises(FormatUnknown, match=name):
        find_format("yolo9000")


def count_readings(tmp_path, job, rows, decisions, name):
    """How often the format reads the rows."""
    times = []

    def read():
        times.append(1)
        yield from rows

    write(name, job, read, decisions, tmp_path / "photos" / "counted")
    import shutil

    shutil.rmtree(tmp_path / "photos" / "counted")
    return len(times)


def snapshot_of_photos(tmp_path):
    return {f"photos/{name}": digest for name, digest in snapshot(tmp_path / "photos").items()}


@pytest.fixture
def dead_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid
