import os
import socket
from pathlib import Path

import pytest

from workers.media import MEDIA_CODES, FileReader, MediaError, MediaLimits


def code_of(uri, limits=None):
    with pytest.raises(MediaError) as caught:
        FileReader(limits or MediaLimits()).read(str(uri))
    assert caught.value.code in MEDIA_CODES
    return caught.value.code


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a photo ä.jpg"
    path.write_bytes(b"\xff\xd8" + os.urandom(5000))
    return path


def test_a_path_and_its_file_uri_give_the_same_bytes(photo):
    reader = FileReader()

    assert reader.read(str(photo)) == reader.read(photo.as_uri()) == photo.read_bytes()


def test_localhost_is_this_machine(photo):
    assert FileReader().read(photo.as_uri().replace("file://", "file://localhost")) == photo.read_bytes()


def test_a_name_that_is_no_utf8_is_read_by_its_uri(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")

    assert FileReader().read(f"file://{tmp_path}/%FF.jpg") == b"x"


def test_an_empty_file_is_no_bytes(tmp_path):
    (tmp_path / "empty.jpg").touch()

    assert FileReader().read(str(tmp_path / "empty.jpg")) == b""


@pytest.mark.parametrize("name", ["gone.jpg", "a photo ä.jpg/inside.jpg", "zero\0byte.jpg"])
def test_a_path_without_a_file_is_not_found(photo, name):
    assert code_of(f"{photo.parent}/{name}") == "not_found"


def test_a_folder_is_not_a_file(tmp_path):
    assert code_of(tmp_path) == "not_a_file"


def test_a_pipe_without_a_writer_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")

    assert code_of(tmp_path / "pipe.jpg") == "not_a_file"


def test_a_device_is_not_a_file():
    assert code_of("/dev/zero") == "not_a_file"


def test_a_socket_is_not_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.jpg")
        assert code_of(tmp_path / "s.jpg") == "not_a_file"


def test_more_bytes_than_the_limit_are_refused_before_reading(tmp_path):
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    assert code_of(path) == "file_too_large"


def test_a_file_that_never_ends_is_cut_off_at_the_limit():
    # Files of /proc say that they have no bytes.
    assert code_of("/proc/self/environ", MediaLimits(max_file_bytes=1)) == "file_too_large"


@pytest.mark.parametrize("uri", ["https://host/a.jpg", "s3://bucket/a.jpg", "photos/a.jpg", "", "file://nas/a.jpg"])
def test_other_schemes_hosts_and_relative_paths_are_refused(uri):
    assert code_of(uri) == "unsupported_scheme"


@pytest.mark.parametrize(
    ("number", "code"), [(13, "permission_denied"), (1, "permission_denied"), (5, "read_failed"), (24, "read_failed")]
)
def test_the_systems_refusals_become_codes(photo, monkeypatch, number, code):
    # The tests may run as root, to whom nothing is denied, and a disk error cannot be asked for.
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)

    assert code_of(photo) == code


def test_only_errors_of_reading_and_late_or_broken_answers_may_work_later():
    retryable = [code for code in MEDIA_CODES if MediaError(code, "").retryable]

    assert retryable == ["read_failed", "fetch_timeout", "fetch_failed"]


def test_a_code_outside_the_list_is_a_programming_error():
    with pytest.raises(ValueError, match="is not one of"):
        MediaError("oops", "")


def test_reading_leaves_no_descriptor_open(photo):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        FileReader().read(str(photo))
        code_of("/dev/null")

    assert len(list(Path("/proc/self/fd").iterdir())) == before
