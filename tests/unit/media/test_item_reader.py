"""The reader that workers have: files and remote items under one policy. Its servers are real."""

import pytest

from fetching.fetcher import Fetcher
from fetching.policy import FetchPolicy
from tests.fixtures.evil_http import BODY
from workers.media import ItemReader, MediaError, MediaLimits


@pytest.fixture
def make_reader(evil):
    fetchers = []

    def make(max_file_bytes=1 << 20, **policy):
        allowed = {"allow_private": True, "allowed_ports": frozenset({evil.port}), "attempts": 1}
        fetchers.append(Fetcher(FetchPolicy(**allowed | policy)))
        return ItemReader(fetchers[-1], MediaLimits(max_file_bytes))

    yield make
    for fetcher in fetchers:
        fetcher.close()


def code_of(call, *arguments):
    with pytest.raises(MediaError) as caught:
        call(*arguments)
    return caught.value.code


def test_a_web_address_gives_its_bytes_and_a_video_a_file(evil, make_reader):
    reader = make_reader()

    assert reader.read(f"{evil.url}/ok") == BODY
    with reader.open(f"{evil.url}/ok") as file:
        assert file.seekable()
        assert file.read() == BODY


def test_a_picture_has_the_limit_of_pictures_and_a_video_its_own(evil, make_reader):
    reader = make_reader(max_file_bytes=100, max_download_bytes=len(BODY))

    assert code_of(reader.read, f"{evil.url}/ok") == "fetch_too_large"
    reader.open(f"{evil.url}/ok").close()
    assert code_of(reader.open, f"{evil.url}/endless") == "fetch_too_large"


def test_a_video_that_comes_slowly_gives_signs_of_life(evil, make_reader):
    beats = []

    assert code_of(make_reader(download_deadline_s=0.5).open, f"{evil.url}/drip", lambda: beats.append(1)) == (
        "fetch_timeout"
    )
    assert len(beats) > 1


def test_files_are_read_inside_of_the_roots_only(tmp_path, make_reader):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"in")
    (tmp_path / "b.jpg").write_bytes(b"out")
    reader = make_reader(allowed_roots=(str(tmp_path / "in"),))

    assert reader.read(str(tmp_path / "in/a.jpg")) == b"in"
    assert code_of(reader.read, str(tmp_path / "b.jpg")) == "fetch_denied"
    assert code_of(reader.open, f"file://{tmp_path}/in/../b.jpg") == "fetch_denied"
    assert code_of(reader.read, str(tmp_path / "in/gone.jpg")) == "not_found"


def test_a_worker_may_read_no_files_at_all(tmp_path, make_reader):
    (tmp_path / "a.jpg").write_bytes(b"x")
    reader = make_reader(schemes=frozenset({"http"}))

    assert code_of(reader.read, str(tmp_path / "a.jpg")) == "fetch_denied"
    assert code_of(reader.open, f"file://{tmp_path}/a.jpg") == "fetch_denied"


def test_an_address_with_a_key_is_not_repeated_in_the_error(make_reader):
    with pytest.raises(MediaError) as caught:
        make_reader().read("https://example.org/a.jpg?token=hush-hush")
    assert "hush" not in str(caught.value)
