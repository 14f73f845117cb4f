import os
from pathlib import Path

import pytest

from fetching.policy import FetchPolicy
from producer.errors import SourceEmpty, SourceInvalid, SourceNotFound, SourceUnreadable, SourceUnsupported
from producer.sources import SourceOptions, SourceReport, expand
from tests.fixtures.videos import write_video
from videos.options import Clip, VideoOptions


@pytest.fixture
def photos(tmp_path):
    for name in (
        "b.jpg",
        "a.JPG",
        "yard/0001.png",
        "gate/0001.png",
        "gate/notes.txt",
        "gate/clip.mp4",
        "gate/phone.heic",
        "gate/deep/er/z.webp",
        ".cache/thumb.jpg",
        ".hidden.jpg",
    ):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def names(sources, root, **options):
    return [os.path.relpath(item.uri, root) for item in expand(sources, SourceOptions(**options))]


def test_a_folder_gives_its_pictures_and_videos_in_one_order_without_hidden_files(photos):
    assert names(photos, photos) == [
        "a.JPG", "b.jpg", "gate/0001.png", "gate/clip.mp4", "gate/deep/er/z.webp", "yard/0001.png",
    ]  # fmt: skip


def test_what_a_folder_holds_beside_pictures_is_counted(photos):
    report = SourceReport()

    assert len(list(expand(str(photos), report=report))) == 6

    assert (report.taken, report.skipped, report.videos, report.parts) == (6, 2, 1, 1)
    assert report.by_suffix == {".txt": 1, ".heic": 1}
    assert len(report.examples) == 2
    assert report.describe() == "passed over 2 files: 1 .txt, 1 .heic"


def test_relative_sources_become_absolute(photos, monkeypatch):
    monkeypatch.chdir(photos)

    assert [item.uri for item in expand(["b.jpg"])] == [str(photos / "b.jpg")]


def test_sources_come_in_the_order_given(photos):
    assert names([photos / "yard", photos / "b.jpg"], photos) == ["yard/0001.png", "b.jpg"]


def test_a_limit_ends_the_stream_over_all_sources(photos):
    assert len(names([photos, photos], photos, limit=7)) == 7


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", ["b.jpg"]),
        ("**/*.png", ["gate/0001.png", "yard/0001.png"]),
        ("**/0001.*", ["gate/0001.png", "yard/0001.png"]),
        ("**/**/*.webp", ["gate/deep/er/z.webp"]),
        ("g*/*/**", ["gate/deep/er/z.webp"]),
        ("[ab].*", ["a.JPG", "b.jpg"]),
        (".hid*", [".hidden.jpg"]),
        ("?.JPG", ["a.JPG"]),
    ],
)
def test_a_pattern_gives_what_matches_in_one_order(photos, pattern, found):
    assert names(f"{photos}/{pattern}", photos) == found


def test_an_existing_name_with_brackets_is_no_pattern(photos):
    (photos / "a[1].jpg").touch()

    assert names(photos / "a[1].jpg", photos) == ["a[1].jpg"]


def test_links_that_form_a_loop_end(photos):
    (photos / "gate" / "back").symlink_to(photos)
    (photos / "yard" / "again").symlink_to(photos / "gate")
    report = SourceReport()

    assert len(list(expand(photos, report=report))) == 6
    assert report.links == 2


def test_a_broken_link_is_passed_over(photos):
    (photos / "gone.jpg").symlink_to("nowhere.jpg")

    assert "gone.jpg" not in names(photos, photos)


def test_a_pipe_that_is_called_a_picture_is_passed_over(photos):
    os.mkfifo(photos / "pipe.jpg")

    assert "pipe.jpg" not in names(photos, photos)


def test_a_name_that_is_no_utf8_becomes_a_uri(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.jpg")).touch()

    assert [item.uri for item in expand(tmp_path)] == [f"file://{tmp_path}/%FF.jpg"]


def test_a_file_uri_is_kept(photos):
    assert [item.uri for item in expand("file:///a/b.jpg")] == ["file:///a/b.jpg"]


def test_a_folder_without_pictures_says_what_was_looked_for(tmp_path):
    (tmp_path / "a.heic").touch()

    with pytest.raises(SourceEmpty, match=r"\.jpeg.*passed over 1 file: 1 \.heic"):
        list(expand(tmp_path))


def test_a_pattern_without_a_match_is_empty(tmp_path):
    with pytest.raises(SourceEmpty, match="nothing to label"):
        list(expand(f"{tmp_path}/*.jpg"))


@pytest.mark.parametrize("source", ["ftp://host/a.jpg", "hdfs://bucket/photos/"])
def test_a_scheme_that_no_worker_reads_is_refused(source):
    with pytest.raises(SourceUnsupported, match=source.partition(":")[0]):
        list(expand(source))


def test_a_scheme_that_workers_read_is_kept():
    options = SourceOptions(policy=FetchPolicy(schemes=frozenset({"file", "s3"})))

    assert [item.uri for item in expand(["s3://bucket/a.jpg"], options)] == ["s3://bucket/a.jpg"]


def test_a_video_is_one_item_with_the_range_that_was_asked_for(photos):
    (item,) = expand(photos / "gate" / "clip.mp4", SourceOptions(video=VideoOptions(start_s=1, end_s=3)))

    assert item.clip == Clip(1, 3)


def test_a_video_is_cut_into_parts_that_touch_and_the_last_is_open(tmp_path):
    write_video(tmp_path / "a.mp4", times_ms=range(0, 1000, 40))
    report = SourceReport()

    items = list(expand(tmp_path, SourceOptions(video=VideoOptions(segment_s=0.4)), report))

    assert [item.clip for item in items] == [Clip(0.0, 0.4), Clip(0.4, 0.8), Clip(0.8, None)]
    assert (report.taken, report.videos, report.parts) == (3, 1, 3)


def test_a_video_that_cannot_be_read_is_one_item_for_the_worker_to_say_why(photos):
    (item,) = expand(photos / "gate" / "clip.mp4", SourceOptions(video=VideoOptions(segment_s=0.4)))

    assert item.clip == Clip()


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(SourceNotFound, match="no such folder or file"):
        list(expand(tmp_path / "gone"))


def test_no_source_is_an_error():
    with pytest.raises(SourceEmpty):
        list(expand([]))


def test_a_limit_below_one_is_an_error(photos):
    with pytest.raises(SourceInvalid, match="limit is 0"):
        list(expand(photos, SourceOptions(limit=0)))


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_a_gap(photos, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "gate":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(SourceUnreadable, match="gate cannot be listed"):
        list(expand(photos))


def test_nothing_is_read_before_it_is_asked_for(photos):
    stream = expand([photos, photos / "gone"])

    assert next(stream).uri.endswith("a.JPG")


def test_a_deep_folder_does_not_exhaust_the_stack(tmp_path):
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "a.jpg").touch()

    assert len(list(expand(tmp_path))) == 1
