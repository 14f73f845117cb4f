"""No path leads out of its folder, whatever is a link and whenever it becomes one."""

import os
import socket
from pathlib import Path

import pytest

from fetching import paths
from fetching.errors import FetchDenied
from fetching.paths import NotRegular, check_inside, open_regular


@pytest.fixture
def place(tmp_path):
    """An allowed folder with a photo, and a secret beside it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub/a.jpg").write_bytes(b"photo")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root-of-others").mkdir()
    (tmp_path / "root-of-others/b.jpg").write_bytes(b"others")
    return root


def read(path, roots):
    descriptor, size = open_regular(str(path), roots)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read()
    assert len(data) == size
    return data


def test_a_file_below_a_root_is_read(place):
    assert read(place / "sub/a.jpg", [str(place)]) == b"photo"
    assert read(place / "sub/../sub/./a.jpg", ["/nowhere", f"{place}/"]) == b"photo"


def test_without_roots_every_file_is_read(place):
    assert read(place.parent / "secret", None) == b"secret"


def test_links_that_stay_inside_are_followed(place):
    (place / "link.jpg").symlink_to("sub/a.jpg")
    (place / "folder").symlink_to(place / "sub")

    assert read(place / "link.jpg", [str(place)]) == read(place / "folder/a.jpg", [str(place)]) == b"photo"


def test_a_root_that_is_reached_by_a_link_is_one(place):
    (place.parent / "alias").symlink_to(place)

    assert read(place.parent / "alias/sub/a.jpg", [str(place.parent / "alias")]) == b"photo"
    assert read(place / "sub/a.jpg", [str(place.parent / "alias")]) == b"photo"


OUTSIDE = {
    "dots": "root/../secret",
    "dots after a folder": "root/sub/../../secret",
    "a neighbour whose name begins alike": "root-of-others/b.jpg",
    "a link to a file": "root/to_secret",
    "a link to a folder": "root/to_parent/secret",
    "a link through a link": "root/twice",
    "a link that leads nowhere, outside": "root/dangling",
    "something of the kernel's": "/proc/self/environ",
    "a descriptor": "/proc/self/fd/0",
    "a device": "/dev/zero",
}


@pytest.mark.parametrize("path", OUTSIDE.values(), ids=OUTSIDE)
def test_what_lies_outside_is_denied(place, path):
    (place / "to_secret").symlink_to(place.parent / "secret")
    (place / "to_parent").symlink_to("..")
    (place / "twice").symlink_to("to_secret")
    (place / "dangling").symlink_to("/nowhere/a.jpg")

    with pytest.raises(FetchDenied, match="ask the operator"):
        open_regular(str(place.parent / path), [str(place)])
    with pytest.raises(FetchDenied):
        check_inside(str(place.parent / path), [str(place)])


def test_with_no_root_at_all_everything_is_denied(place):
    with pytest.raises(FetchDenied, match="none"):
        open_regular(str(place / "sub/a.jpg"), [])


@pytest.mark.parametrize("swapped", ["sub", "sub/a.jpg"])
def test_a_link_that_comes_between_check_and_opening_is_not_followed(place, monkeypatch, swapped):
    """The check sees the honest path; then somebody puts a link there."""
    honest = paths._split

    def checked_then_swapped(path, roots):
        found = honest(path, roots)
        (place / swapped).rename(place / "away")
        target = place.parent / ("root-of-others" if swapped == "sub" else "secret")
        (place / swapped).symlink_to(target)
        return found

    (place.parent / "root-of-others/a.jpg").write_bytes(b"others")
    monkeypatch.setattr(paths, "_split", checked_then_swapped)

    with pytest.raises(OSError, match=r"symbolic link|Not a directory"):
        open_regular(str(place / "sub/a.jpg"), [str(place)])


@pytest.mark.parametrize("roots", [True, False], ids=["with roots", "without"])
def test_only_regular_files_are_opened(place, roots):
    os.mkfifo(place / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "socket"))
        for name, words in {"pipe": "a pipe", "sub": "a folder"}.items():
            with pytest.raises(NotRegular, match=words):
                open_regular(str(place / name), [str(place)] if roots else None)
        with pytest.raises(OSError, match="No such device"):
            open_regular(str(place / "socket"), [str(place)] if roots else None)


def test_nothing_stays_open(place):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("sub/a.jpg", "sub", "gone", "../secret", "sub/gone/x"):
        try:
            os.close(open_regular(str(place / name), [str(place)])[0])
        except (OSError, FetchDenied):
            continue

    assert len(list(Path("/proc/self/fd").iterdir())) == before
